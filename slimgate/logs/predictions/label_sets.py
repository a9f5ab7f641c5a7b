"""The labels of a task in prediction files, and the predictions that are not labels.

A prediction outside the labels is wrong, in both models, and is counted. It is not a class: a macro average
would have another class with a score of 0 in the model that predicts it.

A prediction that differs from a label only in case, spaces or the writing of a number is neither right nor
wrong: it is not known whether the program that reads the answers accepts it. So it is refused.

The values of a column of scores (1 if the answer was right, else 0) are not answers either. An evaluation log
has many columns, and a column of scores is easily mistaken for the answers. It would give a wrong accuracy
without any error. So a column of predictions must hold values of the same kind as the labels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from slimgate._system.names import group_by_spelling, normalize_spelling
from slimgate._system.toml import format_value as quoted
from slimgate.data.labels import list_class_names
from slimgate.errors import DataError, SuiteError, format_suggestion
from slimgate.logs.predictions.codes import list_distinct
from slimgate.logs.predictions.files import Predictions, format_examples

# The forms of a score of 0 or 1.
SCORES = frozenset({"0", "1", "0.0", "1.0", "true", "false"})
# Names that evaluation tools give to columns of scores, in lower case.
SCORE_NAMES = frozenset({"acc", "acc_norm", "accuracy", "correct", "is_correct", "em", "exact_match"})
# A teacher that answers only 0 and 1 is taken for scores if more than this share of the rows has another
# label: a classifier that never predicts the labels of a quarter of its rows is not a teacher.
MOST_NEVER_PREDICTED = 0.25


def read_label_set(teacher: Predictions, variant: Predictions, declared: Sequence[str]) -> tuple[str, ...]:
    """The possible labels: as declared, or those of the rows and of the probabilities that both files have.

    Raises DataError for a row whose label is not declared, and for files that state other labels.
    """
    of_rows = list_distinct(teacher.labels)
    stated = [file.label_set for file in (teacher, variant) if file.label_set is not None]
    if not declared and stated and set(stated[0]) != set(stated[-1]):
        raise DataError(
            f"{teacher.shown} and {variant.shown} have different labels: "
            f"{format_examples(stated[0])} and {format_examples(stated[-1])}"
        )
    labels = tuple(declared) or list_class_names(stated[0] if stated else ())
    if not labels:
        _check_missing_labels(teacher, variant)
        names = list_class_names(of_rows | (set(teacher.classes) & set(variant.classes)))
        for spellings in group_by_spelling(names):
            raise DataError(
                f"{teacher.shown}: the labels {format_examples(spellings)} differ only in case, "
                "spaces or the writing of a number; write them the same way in all rows, or if they are "
                "different classes, give all labels with --labels"
            )
        return names
    if unknown := sorted(of_rows - set(labels)):
        hint = format_suggestion(unknown[0], labels)
        raise DataError(
            f"{teacher.shown}: label {format_examples(unknown)} is not one of --labels "
            f"{','.join(labels)}{hint}"
        )
    return labels


def _check_missing_labels(teacher: Predictions, variant: Predictions) -> None:
    """Raises DataError for a label that is how tools write a missing one, unless a file answers it.

    Such rows are wrong in both files, so what the variant loses there would not be seen.
    """
    answers = _list_all_answers((teacher, variant))
    rows = _count_rows(teacher.labels)
    for name in sorted(rows.keys() - answers):
        if name.strip().lower() in ("", "nan"):
            raise DataError(
                f"{teacher.shown}: {rows[name]:,} of {len(teacher.labels):,} rows have the label "
                f"{quoted(name)}, which no file predicts, as if the label were missing; remove these rows, "
                "or if it is a class, give all labels with --labels"
            )


def check_declared(labels: Sequence[str]) -> None:
    """Raises SuiteError for labels that were given twice, or for fewer than two labels."""
    if twice := sorted(name for name, times in Counter(labels).items() if times > 1):
        raise SuiteError(f'--labels: "{twice[0]}" was given twice, expected each label once')
    if len(labels) == 1:
        raise SuiteError(f"--labels {labels[0]}: expected at least two labels, separated by commas")


def list_stray_names(files: Sequence[Predictions], labels: Sequence[str]) -> list[str]:
    """The names that the files predict, or have probabilities of, and that are not labels; sorted."""
    return sorted(_list_all_answers(files) - set(labels))


def _list_all_answers(files: Iterable[Predictions]) -> set[str]:
    """The names that the files predict, or have probabilities of."""
    return set().union(*(list_distinct(file.predictions) | set(file.classes) for file in files))


def check_spelling(file: Predictions, labels: Sequence[str]) -> None:
    """Raises DataError if a prediction, or the class of a probability, is a label in another spelling."""
    rows = _count_rows(file.predictions)
    by_plain = {normalize_spelling(label): label for label in labels}
    names = sorted((rows.keys() | set(file.classes)) - set(labels))
    alike = [
        (name, by_plain[normalize_spelling(name)]) for name in names if normalize_spelling(name) in by_plain
    ]
    if not alike:
        return
    name, label = alike[0]
    if name in rows:
        actual = f"{rows[name]:,} of {len(file.labels):,} rows predict {quoted(name)}"
    else:
        actual = f"it has a probability of {quoted(name)}"
    more = f" ({len(alike) - 1} more are so)" if len(alike) > 1 else ""
    raise DataError(
        f"{file.shown}: {actual}, and the label is {quoted(label)}{more}: they differ only in case, "
        "spaces or the writing of a number, so slimgate cannot tell whether the answer is right; write "
        "predictions exactly like the labels"
    )


def list_spelling_warnings(shown: str, labels: Sequence[str]) -> list[str]:
    """Warnings on declared labels that differ only in case, spaces or the writing of a number."""
    return [
        f"{shown}: the labels {format_examples(names)} differ only in spelling, and count as "
        f"{len(names)} classes"
        for names in group_by_spelling(labels)
    ]


def _count_rows(column: pa.Array | None) -> dict[str, int]:
    """The rows of each different text."""
    if column is None:
        return {}
    counted = pc.value_counts(column.cast(pa.large_string()))
    return dict(zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True))


def check_answers(teacher: Predictions, variant: Predictions) -> None:
    """Raises DataError if the predictions of a file are not answers to its labels.

    The two files have the same labels. A variant may answer what only its teacher answers, and may have
    collapsed to few answers: then it is judged.
    """
    answers = list_distinct(teacher.predictions)
    predictions = pa.array(sorted(answers), teacher.labels.dictionary.type)
    known = pc.is_in(teacher.labels.dictionary, value_set=predictions).to_numpy(zero_copy_only=False)
    never_predicted = float(np.mean(~known[teacher.labels.indices.to_numpy()]))  # the share of the rows
    labels = list_distinct(teacher.labels)
    _check_predictions(teacher, labels, zero_one_is_score=never_predicted > MOST_NEVER_PREDICTED)
    _check_predictions(variant, labels | answers, zero_one_is_score=False)


def _check_predictions(file: Predictions, known: set[str], *, zero_one_is_score: bool) -> None:
    """Raises DataError if the predictions of a file are scores, or none of the known answers.

    zero_one_is_score: whether predictions of only 0 and 1 are scores, even if the column's name does not say
    so.
    """
    predicted = list_distinct(file.predictions)
    if not predicted:
        return
    named_so = file.names.prediction.lower() in SCORE_NAMES
    if (named_so or zero_one_is_score) and {value.lower() for value in predicted} <= SCORES:
        hint = "these look like scores of the answers"
    elif not predicted & known and all(map(_is_number, [*predicted, *known])):
        raise DataError(
            f"{_describe_values(file)}: no prediction is one of the labels, and all are numbers; for a "
            "regression, give tables with the columns id, score (the error of the row) and metric (such as "
            "mae); for labels, write the predictions like the labels"
        )
    elif not predicted & known:
        hint = "no prediction is one of the labels"
    else:
        return
    raise DataError(
        f"{_describe_values(file)}: {hint}; expected answers that are written like the labels; name the "
        "column of the answers with --prediction COLUMN, and the column of the right answers with --label "
        "COLUMN"
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _describe_values(file: Predictions) -> str:
    """`a.csv: column "acc" holds "0" and "1", column "label" holds "0", "1", "2" and 1 more`."""
    columns = ((file.names.prediction, file.predictions), (file.names.label, file.labels))
    return f"{file.shown}: " + ", ".join(
        f'column "{name}" holds {format_examples(sorted(list_distinct(values)))}' for name, values in columns
    )

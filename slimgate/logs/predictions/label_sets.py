"""The labels of a task, as prediction files have them, and the predictions that are none of them.

A prediction outside the labels is wrong, in both models, and is counted. It is no class of its own: a macro
average would have a class more with a score of 0 in the model that says it.

A prediction that is a label but for its case, its spaces or how a number is written is neither right nor
wrong: nobody knows whether the program that reads the answers takes it. So it is refused.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from slimgate._system.toml import format_value as quoted
from slimgate.data.labels import class_names
from slimgate.errors import DataError, SuiteError, format_suggestion
from slimgate.logs.predictions.files import Predictions, some
from slimgate.outcomes import plain_spelling


def read_label_set(teacher: Predictions, variant: Predictions, declared: Sequence[str]) -> tuple[str, ...]:
    """The labels that a row can have: declared, or of the rows and of the probabilities that both files have.

    Raises DataError for a row whose label is not declared, and for files that state other labels.
    """
    of_rows = _distinct(teacher.labels)
    stated = [file.label_set for file in (teacher, variant) if file.label_set is not None]
    if not declared and stated and set(stated[0]) != set(stated[-1]):
        raise DataError(
            f"{teacher.shown} and {variant.shown} are of tasks with other labels: "
            f"{some(pa.array(stated[0]))} and {some(pa.array(stated[-1]))}"
        )
    labels = tuple(declared) or class_names(stated[0] if stated else ())
    if not labels:
        return class_names(of_rows | (set(teacher.classes) & set(variant.classes)))
    if unknown := sorted(of_rows - set(labels)):
        hint = format_suggestion(unknown[0], labels)
        raise DataError(
            f"{teacher.shown}: label {some(pa.array(unknown))} is none of --labels {','.join(labels)}{hint}"
        )
    return labels


def check_declared(labels: Sequence[str]) -> None:
    """Raises SuiteError for labels that came twice, or are fewer than two."""
    if twice := sorted({name for name in labels if list(labels).count(name) > 1}):
        raise SuiteError(f'--labels: "{twice[0]}" came twice, expected each label once')
    if len(labels) == 1:
        raise SuiteError(f"--labels {labels[0]}: expected at least two labels, separated by commas")


def stray_names(files: Sequence[Predictions], labels: Sequence[str]) -> list[str]:
    """What the files predict, or have probabilities of, and is no label; sorted."""
    names = set().union(*(_distinct(file.predictions) | set(file.classes) for file in files))
    return sorted(names - set(labels))


def check_spelling(file: Predictions, labels: Sequence[str]) -> None:
    """Raises DataError where a prediction, or the class of a probability, is a label in another spelling."""
    by_plain = {plain_spelling(label): label for label in labels}
    names = sorted((_distinct(file.predictions) | set(file.classes)) - set(labels))
    alike = [(name, by_plain[plain_spelling(name)]) for name in names if plain_spelling(name) in by_plain]
    if not alike:
        return
    name, label = alike[0]
    if file.predictions is not None and name in _distinct(file.predictions):
        rows = int(
            np.sum(pc.equal(file.predictions.cast(pa.large_string()), name).to_numpy(zero_copy_only=False))
        )
        came = f"{rows:,} of {len(file.labels):,} rows predict {quoted(name)}"
    else:
        came = f"it has a probability of {quoted(name)}"
    more = f" ({len(alike) - 1} more are so)" if len(alike) > 1 else ""
    raise DataError(
        f"{file.shown}: {came}, and the label is {quoted(label)}{more}: neither right nor wrong; write "
        "predictions as the labels are written"
    )


def spelling_warnings(shown: str, labels: Sequence[str]) -> list[str]:
    """Labels of the rows that differ in case, spaces or the writing of a number alone."""
    by_plain: dict[str, list[str]] = {}
    for label in labels:
        by_plain.setdefault(plain_spelling(label), []).append(label)
    return [
        f"{shown}: the labels {some(pa.array(names))} differ in their spelling alone, and count as "
        f"{len(names)} classes"
        for names in by_plain.values()
        if len(names) > 1
    ]


def _distinct(column: pa.Array | None) -> set[str]:
    return set() if column is None else set(pc.unique(column).to_pylist())

"""Matches the rows of two prediction files by id, and makes the outcomes of both over the same classes."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from slimgate._system.names import normalize_group
from slimgate._system.toml import format_value as quoted
from slimgate.data.labels import list_class_names
from slimgate.errors import DataError, SuiteError, format_suggestion
from slimgate.logs.predictions.codes import (
    LONGEST_ID,
    ROWS_AT_ONCE,
    SHOWN_ID,
    TEXT,
    drop_negligible_groups,
    find_different,
    find_places,
    group_equal,
    list_distinct,
    list_missing,
    match_ids,
)
from slimgate.logs.predictions.columns import ColumnNames, note_unused_weights, require_group
from slimgate.logs.predictions.files import EXAMPLES, Predictions, format_examples, read_predictions
from slimgate.logs.predictions.label_sets import (
    check_answers,
    check_declared,
    check_spelling,
    list_spelling_warnings,
    list_stray_names,
    read_label_set,
)
from slimgate.outcomes import ClassOutcomes, Floats, Ints, Texts

# The share of a file's predictions that must agree with its numbered probabilities in the order of the sorted
# labels. Predictions by a threshold differ in fewer rows than those by a wrong order.
_MIN_AGREEMENT = 0.9


@dataclass(frozen=True, eq=False)
class Pair:
    """Outcomes of two models on the rows of the teacher's file, in its order. warnings: likely mistakes."""

    teacher: ClassOutcomes
    variant: ClassOutcomes
    warnings: tuple[str, ...]


def read_pair(
    teacher: Path,
    variant: Path,
    names: ColumnNames,
    *,
    labels: Sequence[str] = (),
    positive: str | None = None,
) -> Pair:
    """Reads two prediction files and matches their rows. Raises SuiteError or DataError in one line.

    labels: all labels that a row can have, in the order of numbered probabilities; default: the rows' labels.
    positive: which of two labels precision, recall, F1 and PR-AUC are about.
    """
    check_declared(labels)
    if teacher.is_file() and variant.is_file() and teacher.samefile(variant):
        raise DataError(f"{teacher} and {variant} are the same file, expected the predictions of two models")
    files = [read_predictions(path, names) for path in (teacher, variant)]
    columns = list(dict.fromkeys(column for file in files for column in file.columns))
    has_groups = any(file.groups is not None for file in files)
    require_group(names, [file.shown for file in files], columns, has_groups=has_groups)
    # pop removes the files from the list, so that `pair_predictions` can free their columns
    pair = pair_predictions(files.pop(0), files.pop(0), labels=labels, positive=positive)
    pa.default_memory_pool().release_unused()
    return pair


def pair_predictions(
    teacher: Predictions, variant: Predictions, *, labels: Sequence[str] = (), positive: str | None = None
) -> Pair:
    """Matches rows by id. Raises DataError if they do not belong together, with examples.

    labels, positive: as in `read_pair`.
    """
    order = _match_rows(teacher, variant)
    _check_same(
        "label", teacher.ids, (teacher, teacher.labels), (variant, variant.labels.take(pa.array(order)))
    )
    check_answers(teacher, variant)
    groups = _match_groups(teacher, variant, order)
    shown_ids = _shorten_ids(teacher.ids)
    teacher, variant = _drop_ids(teacher), _drop_ids(variant)
    columns = (teacher.labels, teacher.predictions, variant.labels, variant.predictions)
    stated = set[str]().union(*map(list_distinct, columns))
    warnings = [line for file in (teacher, variant) for line in note_unused_weights(file.shown, file.columns)]
    files = [_name_probabilities(file, labels, stated, warnings) for file in (teacher, variant)]
    label_set = read_label_set(files[0], files[1], labels)
    for file in files:
        check_spelling(file, label_set)
    warnings += list_spelling_warnings(teacher.shown, label_set)
    strays = list_stray_names(files, label_set)
    classes = (*label_set, *strays)
    positive = _find_positive_label(files, label_set, positive)
    gold = find_places(teacher.labels, classes)
    outcomes = []
    for file, rows in ((files[0], None), (files[1], order)):
        probabilities = _spread_over_classes(file, rows, classes)
        predictions = _read_predicted(file, rows, classes, probabilities)
        warnings += _list_warnings(file, gold, predictions, probabilities, classes, len(strays))
        outcomes.append(
            ClassOutcomes(
                shown_ids,
                gold,
                predictions,
                classes,
                probabilities,
                groups=groups,
                strays=len(strays),
                positive=positive,
            )
        )
    _check_same_columns(files, gold, label_set)
    before, after = outcomes
    if _has_same_answers(before, after):
        warnings.append(
            f"all {len(before):,} answers are the same: check that these are the files of two models"
        )
    return Pair(before, after, tuple(warnings))


def _has_same_answers(teacher: ClassOutcomes, variant: ClassOutcomes) -> bool:
    """Whether all answers are the same, and all probabilities if both have them."""
    same = np.array_equal(teacher.predictions, variant.predictions)
    if teacher.probabilities is None or variant.probabilities is None:
        return same
    return same and np.array_equal(teacher.probabilities, variant.probabilities)


def _check_same_columns(files: Sequence[Predictions], gold: Ints, labels: Sequence[str]) -> None:
    """Raises DataError if only one of two files with probabilities has a column for a label of the rows.

    If the missing probabilities were taken as 0, that file's model would look worse than it is.
    """
    if not all(file.classes for file in files):
        return
    labelled = {labels[k] for k in np.unique(gold)}
    for file, other in (files, files[::-1]):
        if lacking := sorted((labelled - set(file.classes)) & set(other.classes)):
            raise DataError(
                f"{file.shown} has no probability of {format_examples(lacking)}, but {other.shown} "
                "has one, and rows have this label; expected probabilities of the same classes in both files"
            )


def _find_positive_label(
    files: Sequence[Predictions], labels: Sequence[str], stated: str | None
) -> str | None:
    """The positive label: as stated, or as slimgate's own outcomes state it. Raises SuiteError, DataError."""
    if stated is None:
        recorded = dict.fromkeys(file.positive for file in files if file.positive is not None)
        if len(recorded) > 1:
            raise DataError(
                f"{files[0].shown} and {files[1].shown} have different positive labels: {', '.join(recorded)}"
            )
        return next(iter(recorded), None)
    if stated not in labels:
        hint = format_suggestion(stated, labels)
        raise SuiteError(f"--positive {stated}: no such label{hint}")
    if len(labels) != 2:
        raise SuiteError(
            f"--positive {stated}: the rows have {len(labels)} labels, but only one of two labels can be "
            "positive; use the _macro, _micro or _weighted metrics"
        )
    return stated


def _match_rows(teacher: Predictions, variant: Predictions) -> Ints:
    """(rows,) the row of the variant's file that has the id of each row of the teacher's."""
    order = match_ids(teacher.ids, teacher.by_id, variant.ids, variant.by_id)
    if order is not None:
        return order
    lacking = [
        f"{file.shown} lacks {len(ids):,} of the {len(other):,} ids of {other.shown}: {format_examples(ids)}"
        for file, other in ((variant, teacher), (teacher, variant))
        if len(ids := list_missing(other.ids, file.ids))
    ]
    raise DataError("; ".join(lacking))


def _shorten_ids(ids: pa.Array) -> Texts:
    """(rows,) the first 64 characters of the ids."""
    ids_shown = np.empty(len(ids), dtype=SHOWN_ID)
    for start in range(0, len(ids), ROWS_AT_ONCE):
        part = slice(start, start + ROWS_AT_ONCE)
        ids_shown[part] = pc.utf8_slice_codeunits(ids[part], 0, LONGEST_ID).to_pylist()
    return cast(Texts, ids_shown)


def _drop_ids(file: Predictions) -> Predictions:
    """The file without its ids, which are not needed once its rows are matched."""
    # a slice of the ids would keep all of them in memory
    return replace(file, ids=pa.array([], TEXT), by_id=np.empty(0, np.int64))


def _check_same(noun: str, ids: pa.Array, *sides: tuple[Predictions, pa.Array]) -> None:
    """Raises DataError if two columns in the same order differ."""
    (base, before), (other, after) = sides
    rows = find_different(before, after)
    if not len(rows):
        return
    named = (column.take(rows[:EXAMPLES]).to_pylist() for column in (ids, before, after))
    examples = [f"{quoted(i)} ({quoted(a)} and {quoted(b)})" for i, a, b in zip(*named, strict=True)]
    more = f" and {len(rows) - EXAMPLES:,} more" if len(rows) > EXAMPLES else ""
    raise DataError(
        f"{base.shown} and {other.shown} have a different {noun} for {len(rows):,} of {len(ids):,} ids: "
        f"{', '.join(examples)}{more}"
    )


def _match_groups(teacher: Predictions, variant: Predictions, order: Ints) -> Ints | None:
    """(rows,) int64, equal for rows of one group; None without groups. Raises DataError if they differ.

    If neither file has groups, rows with the same text are a group. One file may lack the texts.
    """
    teacher_groups = None if teacher.groups is None else _normalize_groups(teacher.groups)
    variant_groups = (
        None if variant.groups is None else _normalize_groups(variant.groups).take(pa.array(order))
    )
    if teacher_groups is not None and variant_groups is not None:
        _check_same("group", teacher.ids, (teacher, teacher_groups), (variant, variant_groups))
    groups = variant_groups if teacher_groups is None else teacher_groups
    if groups is not None:
        return np.asarray(groups.dictionary_encode().indices.to_numpy(), dtype=np.int64)
    if teacher.digests is not None:
        return drop_negligible_groups(group_equal(teacher.digests))
    return None if variant.digests is None else drop_negligible_groups(group_equal(variant.digests[order]))


def _normalize_groups(groups: pa.Array) -> pa.Array:
    """The names of groups by `normalize_group`, which is called once for each different name."""
    encoded = groups.dictionary_encode()
    names = [normalize_group(name) for name in encoded.dictionary.to_pylist()]
    return pa.array(names, pa.string()).take(encoded.indices)


def _name_probabilities(
    file: Predictions, declared: Sequence[str], stated: Set[str], warnings: list[str]
) -> Predictions:
    """The file, whose numbered probabilities get the names of the labels. May add to `warnings`.

    declared: the labels that the user gives. stated: all labels and predictions of both files.

    Raises DataError if no label is among the classes of the probabilities, or if nothing says which number
    means which label.
    """
    if not file.classes or stated <= set(file.classes):
        return file
    if file.has_numbered_classes and len(declared) == len(file.classes):
        return replace(file, classes=tuple(declared))
    stated_classes = list_class_names(stated)
    for names in (list_class_names(list_distinct(file.labels)), stated_classes):
        if file.has_numbered_classes and len(names) == len(file.classes):
            warnings.append(_check_numbers(file, names))
            return replace(file, classes=names)
    if not list_distinct(file.labels).isdisjoint(file.classes):
        return file
    raise DataError(
        f"{file.shown}: {len(file.classes)} probabilities, of classes "
        f"{format_examples(file.classes)}, none of which is a label; the "
        f"{len(stated_classes)} classes are {format_examples(stated_classes)}: name the columns "
        "p_<class>, or write a mapping from classes to probabilities"
    )


def _check_numbers(file: Predictions, names: tuple[str, ...]) -> str:
    """A warning that numbered probabilities are taken for the sorted labels.

    Raises DataError unless the file's own predictions agree. If two classes are exchanged, each loss of
    accuracy looks like a gain.
    """
    expected = f"give the labels in the order of the numbers, such as --labels {','.join(names)}"
    if file.predictions is None or file.probabilities is None:
        raise DataError(
            f"{file.shown}: its probabilities are numbered, but nothing says which label each number "
            f"means; {expected}, or add a column of predictions"
        )
    predicted = find_places(file.predictions, [*names, *(list_distinct(file.predictions) - set(names))])
    agreement = float(np.mean(predicted == file.probabilities.argmax(axis=1)))
    if agreement < _MIN_AGREEMENT:
        raise DataError(
            f"{file.shown}: nothing says which label each numbered probability means; with "
            f"{_format_order(names)}, the largest probability is the prediction on only "
            f"{100 * agreement:.1f} % of the rows; {expected}"
        )
    return (
        f"{file.shown}: its numbered probabilities are taken for these classes: {_format_order(names)}; its "
        f"predictions agree on {100 * agreement:.1f} % of the rows"
    )


def _format_order(names: Sequence[str]) -> str:
    """The labels by number, such as `0 = neg, 1 = neutral, 2 = pos`."""
    listed = ", ".join(f"{k} = {name}" for k, name in enumerate(names[:EXAMPLES]))
    return listed + (", …" if len(names) > EXAMPLES else "")


def _spread_over_classes(file: Predictions, rows: Ints | None, classes: tuple[str, ...]) -> Floats | None:
    """(rows, classes) probabilities in the order of these rows and classes; 0 for a class without any."""
    if file.probabilities is None:
        return None
    if rows is None and file.classes == classes:
        return file.probabilities
    positions = [classes.index(name) for name in file.classes]
    spread_out = np.zeros((len(file.probabilities), len(classes)))
    for k, column in enumerate(positions):
        values = file.probabilities[:, k]
        spread_out[:, column] = values if rows is None else values[rows]
    return spread_out


def _read_predicted(
    file: Predictions, rows: Ints | None, classes: tuple[str, ...], probabilities: Floats | None
) -> Ints:
    """(rows,) the predictions of the file, or the most probable classes if it has none."""
    if file.predictions is not None:
        codes = find_places(file.predictions, classes)
        return codes if rows is None else codes[rows]
    if probabilities is None:
        raise DataError(f"{file.shown}: it has neither predictions nor probabilities")
    return np.asarray(probabilities.argmax(axis=1), dtype=np.int64)


def _list_warnings(
    file: Predictions,
    labels: Ints,
    predictions: Ints,
    probabilities: Floats | None,
    classes: tuple[str, ...],
    stray_count: int,
) -> list[str]:
    """Warnings on valid values that are likely mistakes. The last `stray_count` classes are not labels."""
    warnings = []
    labelled = np.bincount(labels, minlength=len(classes))
    predicted = np.bincount(predictions, minlength=len(classes))
    if len(unlabelled := np.flatnonzero((labelled == 0) & (predicted > 0))):
        no_label = unlabelled[unlabelled >= len(classes) - stray_count]
        why = "which is the label of no row" if len(no_label) < len(unlabelled) else "which is not a label"
        warnings.append(
            f"{file.shown} predicts {_list_classes(unlabelled, classes)}, {why}, in "
            f"{predicted[unlabelled].sum():,} rows: counted as wrong"
        )
    if probabilities is None:
        return warnings
    lacking = np.array([k for k, name in enumerate(classes) if labelled[k] and name not in file.classes], int)
    if len(lacking):
        warnings.append(
            f"{file.shown} has no probability of {_list_classes(lacking, classes)}, which is the label of "
            f"{labelled[lacking].sum():,} rows: taken as 0"
        )
    chosen = probabilities[np.arange(len(predictions)), predictions]
    if rows := int((chosen < probabilities.max(axis=1)).sum()):
        warnings.append(f"{file.shown}: in {rows:,} rows the prediction is not the most probable class")
    return warnings


def _list_classes(indices: Ints, classes: tuple[str, ...]) -> str:
    return format_examples([classes[k] for k in indices])

"""Two prediction files -> the outcomes of both on the same rows: matched by id, over the classes of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from slimgate.errors import DataError
from slimgate.labels import class_names
from slimgate.outcomes import ClassOutcomes, Floats, Ints
from slimgate.prediction_checks import EXAMPLES, some
from slimgate.prediction_files import TEXT, Predictions
from slimgate.suite_errors import shown as quoted

# Ids are fixed-width text from here on, where they only name rows in messages: one long id must not cost
# its length in every row.
LONGEST_ID = 64


@dataclass(frozen=True, eq=False)
class Pair:
    """ClassOutcomes of both on the rows of the teacher's file, in its order. warnings: likely mistakes."""

    teacher: ClassOutcomes
    variant: ClassOutcomes
    warnings: tuple[str, ...]


def pair_predictions(teacher: Predictions, variant: Predictions) -> Pair:
    """Matches rows by id. Raises DataError where ids, labels or groups disagree, with examples."""
    order = _matched(teacher, variant)
    ids = teacher.ids
    _same("label", ids, (teacher, teacher.labels), (variant, variant.labels.take(order)))
    groups = _groups(teacher, variant, order)
    stated = _names([teacher.labels, teacher.predictions, variant.labels, variant.predictions])
    warnings: list[str] = []
    files = [_with_names(file, stated, warnings) for file in (teacher, variant)]
    classes = class_names([*stated, *files[0].classes, *files[1].classes])
    labels = _indices(teacher.labels, classes)
    shown_ids = np.array(pc.utf8_slice_codeunits(ids, 0, LONGEST_ID).to_pylist(), dtype=np.str_)
    outcomes = []
    for file, rows in ((files[0], None), (files[1], order.to_numpy())):
        probabilities = _over_classes(file, rows, classes)
        predictions = _predicted(file, rows, classes, probabilities)
        warnings += _warnings(file, labels, predictions, probabilities, classes)
        outcomes.append(ClassOutcomes(shown_ids, labels, predictions, classes, probabilities, groups=groups))
    return Pair(outcomes[0], outcomes[1], tuple(warnings))


def _matched(teacher: Predictions, variant: Predictions) -> pa.Array:
    """(rows,) the row of the variant's file that has the id of each row of the teacher's."""
    order = pc.index_in(teacher.ids, value_set=variant.ids)
    lacking = [
        f"{file.shown} lacks {len(ids):,} of the {len(other):,} ids of {other.shown}: {some(ids)}"
        for file, other in ((variant, teacher), (teacher, variant))
        if len(ids := other.ids.filter(pc.is_null(pc.index_in(other.ids, value_set=file.ids))))
    ]
    if lacking:
        raise DataError("; ".join(lacking))
    return order


def _same(what: str, ids: pa.Array, *both: tuple[Predictions, pa.Array]) -> None:
    """Raises DataError where two columns in the same order differ."""
    (one, before), (other, after) = both
    rows = np.flatnonzero(pc.not_equal(before, after).to_numpy(zero_copy_only=False))
    if not len(rows):
        return
    named = (column.take(rows[:EXAMPLES]).to_pylist() for column in (ids, before, after))
    examples = [f"{quoted(i)} ({quoted(a)} and {quoted(b)})" for i, a, b in zip(*named, strict=True)]
    more = f" and {len(rows) - EXAMPLES:,} more" if len(rows) > EXAMPLES else ""
    raise DataError(
        f"{one.shown} and {other.shown} have another {what} for {len(rows):,} of {len(ids):,} ids: "
        f"{', '.join(examples)}{more}"
    )


def _groups(teacher: Predictions, variant: Predictions, order: pa.Array) -> Ints | None:
    """(rows,) int64, equal for rows of one group; from either file where only one has groups."""
    theirs = None if variant.groups is None else variant.groups.take(order)
    if teacher.groups is not None and theirs is not None:
        _same("group", teacher.ids, (teacher, teacher.groups), (variant, theirs))
    groups = theirs if teacher.groups is None else teacher.groups
    return None if groups is None else groups.dictionary_encode().indices.to_numpy().astype(np.int64)


def _names(columns: Sequence[pa.Array | None]) -> list[str]:
    return sorted(
        {name for column in columns if column is not None for name in pc.unique(column).to_pylist()}
    )


def _with_names(file: Predictions, stated: Sequence[str], warnings: list[str]) -> Predictions:
    """The file with its probabilities under the names of the labels, where they go by number.

    Raises DataError where no label is among the classes of the probabilities.
    """
    if not file.classes or set(stated) <= set(file.classes):
        return file
    names = class_names(stated)
    if file.numbered and len(names) == len(file.classes):
        warnings.append(
            f"{file.shown}: its numbered probabilities are taken for these classes: {_order(names)}"
        )
        return file.with_classes(names)
    if set(pc.unique(file.labels).to_pylist()) & set(file.classes):
        return file
    raise DataError(
        f"{file.shown}: {len(file.classes)} probabilities, of classes {some(pa.array(file.classes))}, none "
        f"of which is a label; the {len(names)} classes are {some(pa.array(names))}: name the columns "
        "p_<class>, or give a mapping"
    )


def _order(names: Sequence[str]) -> str:
    """`0 = neg, 1 = neutral, 2 = pos`"""
    listed = ", ".join(f"{k} = {name}" for k, name in enumerate(names[:EXAMPLES]))
    return listed + (", …" if len(names) > EXAMPLES else "")


def _indices(names: pa.Array, classes: Sequence[str]) -> Ints:
    at = pc.index_in(names, value_set=pa.array(classes, TEXT))
    return np.asarray(at.to_numpy(), dtype=np.int64)


def _over_classes(file: Predictions, rows: Ints | None, classes: tuple[str, ...]) -> Floats | None:
    """(rows, classes) in the order of the given rows and of all classes; 0 for one that is not there."""
    if file.probabilities is None:
        return None
    if rows is None and file.classes == classes:
        return file.probabilities
    at = [classes.index(name) for name in file.classes]
    found = np.zeros((len(file), len(classes)))
    for k, column in enumerate(at):
        values = file.probabilities[:, k]
        found[:, column] = values if rows is None else values[rows]
    return found


def _predicted(
    file: Predictions, rows: Ints | None, classes: tuple[str, ...], probabilities: Floats | None
) -> Ints:
    """(rows,) what the file says, or the most probable class."""
    if file.predictions is not None:
        found = _indices(file.predictions, classes)
        return found if rows is None else found[rows]
    if probabilities is None:
        raise DataError(f"{file.shown}: neither predictions nor probabilities")
    return np.asarray(probabilities.argmax(axis=1), dtype=np.int64)


def _warnings(
    file: Predictions, labels: Ints, predictions: Ints, probabilities: Floats | None, classes: tuple[str, ...]
) -> list[str]:
    """What is legal and yet likely a mistake."""
    found = []
    labelled = np.bincount(labels, minlength=len(classes))
    predicted = np.bincount(predictions, minlength=len(classes))
    if len(odd := np.flatnonzero((labelled == 0) & (predicted > 0))):
        found.append(
            f"{file.shown} predicts {_listed(odd, classes)}, which no row is labelled, "
            f"in {predicted[odd].sum():,} rows"
        )
    if probabilities is None:
        return found
    lacking = np.array([k for k, name in enumerate(classes) if labelled[k] and name not in file.classes], int)
    if len(lacking):
        rows = labelled[lacking].sum()
        found.append(
            f"{file.shown} has no probability of {_listed(lacking, classes)}, which {rows:,} rows are "
            "labelled: taken as 0"
        )
    other = probabilities[np.arange(len(predictions)), predictions] < probabilities.max(axis=1)
    if other.any():
        found.append(f"{file.shown}: in {other.sum():,} rows the prediction is not the most probable class")
    return found


def _listed(indices: Ints, classes: tuple[str, ...]) -> str:
    return some(pa.array([classes[k] for k in indices]))

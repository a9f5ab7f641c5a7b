"""How well a model predicts sets of labels: for rows that have any number of labels.

| name            | is                                                                          |
|-----------------|-----------------------------------------------------------------------------|
| labels_f1_micro | F1 of all labels of all rows together                                       |
| labels_f1_macro | plain mean of each label's F1; 0 for a label without row or prediction      |
| subset_accuracy | the share of rows whose labels are all right and complete                   |
| hamming_loss    | the share of wrong answers; every pair of a row and a label is an answer    |

The values are those of scikit-learn on indicator matrices, with zero_division = 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from slimgate.errors import MeasureError
from slimgate.judge.metrics.base import (
    Metric,
    RowSums,
    compute_usual_row,
    get_share_ends,
    make_row_mean,
    mean_of,
    statistic_of_sums,
)
from slimgate.judge.metrics.classes import GOLD
from slimgate.judge.metrics.confusion import divide_or_zero
from slimgate.outcomes import RIGHT, Floats, Outcomes

# Prefix of the columns of 0 and 1 that hold the predicted labels; GOLD is that of the labels.
PREDICTED = "said:"
WRONG = "labels_wrong"


def read_label_columns(outcomes: Outcomes) -> tuple[Floats, Floats]:
    """(rows, labels) gold and (rows, labels) predicted, 0 or 1. Raises MeasureError for another task."""
    names = [name.removeprefix(GOLD) for name in outcomes.values if name.startswith(GOLD)]
    if not names:
        raise MeasureError(f'outcomes have no values "{GOLD}…": they do not come from a multi_label task')
    gold, predicted = ([outcomes.column(f"{prefix}{name}") for name in names] for prefix in (GOLD, PREDICTED))
    return np.stack(gold, axis=1), np.stack(predicted, axis=1)


def _compute_label_terms(outcomes: Outcomes) -> Floats:
    """(rows, 3 · labels) terms for each label: rightly predicted, predicted, gold."""
    gold, predicted = read_label_columns(outcomes)
    return np.concatenate([gold * predicted, predicted, gold], axis=1)


def _make_extremes(outcomes: Outcomes) -> Floats:
    """(2, 3 · labels) the terms of a usual row at its best and at its worst, for the micro average.

    It is the mean row, weighted by how many labels each row has.
    """
    gold, _ = read_label_columns(outcomes)
    return _make_right_and_wrong(compute_usual_row(gold, gold.sum(axis=1)))


def _make_rarest_extremes(outcomes: Outcomes) -> Floats:
    """(2, 3 · labels) the same for the mean of the rows with the rarest label.

    These rows move a macro average most.
    """
    gold, _ = read_label_columns(outcomes)
    counts = gold.sum(axis=0)
    rarest = int(np.where(counts > 0, counts, np.inf).argmin())
    return _make_right_and_wrong(compute_usual_row(gold, gold[:, rarest]))


def _make_right_and_wrong(gold: Floats) -> Floats:
    """(2, 3 · labels) the terms if exactly the gold labels are predicted, and if exactly the others are.

    gold: (labels,) from 0 to 1.
    """
    if not gold.any():
        gold = np.full(len(gold), 1 / len(gold))
    return np.stack([np.concatenate([gold, gold, gold]), np.concatenate([0 * gold, 1 - gold, gold])])


def _compute_macro_f1(sums: Floats) -> Floats:
    right, predicted, gold = np.split(sums, 3, axis=-1)
    return np.asarray(divide_or_zero(2 * right, predicted + gold).mean(axis=-1))


def _compute_micro_f1(sums: Floats) -> Floats:
    right, predicted, gold = (part.sum(axis=-1) for part in np.split(sums, 3, axis=-1))
    return divide_or_zero(2 * right, predicted + gold)


def _make_f1(name: str, value: Callable[[Floats], Floats], extremes: Callable[[Outcomes], Floats]) -> Metric:
    row_sums = RowSums(_compute_label_terms, value, extremes)
    # the plain mean over labels includes a label without rows; the other F1 does not
    return replace(_make_metric(name, row_sums, higher_is_better=True), over_labels=name.endswith("_macro"))


def _make_metric(name: str, row_sums: RowSums, *, higher_is_better: bool) -> Metric:
    return Metric(
        name=name,
        higher_is_better=higher_is_better,
        value_range=(0.0, 1.0),
        needs=WRONG,
        statistic=statistic_of_sums(row_sums),
        row_sums=row_sums,
    )


def _read_all_right(outcomes: Outcomes) -> Floats:
    return outcomes.column(RIGHT)


def _compute_wrong_share(outcomes: Outcomes) -> Floats:
    return np.asarray(outcomes.column(WRONG) / read_label_columns(outcomes)[0].shape[1])


_SUBSETS = mean_of(_read_all_right)

METRICS: Mapping[str, Metric] = {
    "labels_f1_micro": _make_f1("labels_f1_micro", _compute_micro_f1, _make_extremes),
    "labels_f1_macro": _make_f1("labels_f1_macro", _compute_macro_f1, _make_rarest_extremes),
    "subset_accuracy": Metric(
        name="subset_accuracy",
        higher_is_better=True,
        value_range=(0.0, 1.0),
        needs=WRONG,
        statistic=statistic_of_sums(_SUBSETS),
        row_sums=_SUBSETS,
        per_row=_read_all_right,
    ),
    "hamming_loss": replace(
        _make_metric("hamming_loss", mean_of(_compute_wrong_share), higher_is_better=False),
        row_mean=make_row_mean(_compute_wrong_share, get_share_ends),
    ),
}

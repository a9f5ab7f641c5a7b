"""How well a tagger finds spans (CoNLL's precision, recall and F1) and how many words it tags right.

A span is right if its type, its first word and its last word are right. All spans of all rows count alike
(micro); 0/0 is 0. Source: Tjong Kim Sang & De Meulder 2003 (CoNLL-2003), section 2.5.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from slimgate.judge.group_sizes import estimate_unseen_size
from slimgate.judge.metrics.base import (
    Metric,
    RowMean,
    RowSums,
    compute_usual_row,
    get_share_ends,
    statistic_of_sums,
)
from slimgate.judge.metrics.confusion import divide_or_zero
from slimgate.outcomes import Floats, Outcomes

COUNTS = ("spans_right", "spans_predicted", "spans_gold")
# Spans that a row of unknown length may predict: this many bring the F1 of any sample to 0.
_NO_LIMIT = 1e9


def _read_counts(outcomes: Outcomes) -> Floats:
    return np.stack([outcomes.column(name) for name in COUNTS], axis=1)


def _make_extremes(outcomes: Outcomes) -> Floats:
    """A row at its best and at its worst.

    It has as many spans as the row of a typical span, at least one: all right; then none right, and a wrong
    span on every word. Without `tags` the number of words is not known.
    """
    gold = outcomes.column("spans_gold")
    spans = max(float(compute_usual_row(gold[:, None], gold)[0]), 1.0)
    words = estimate_unseen_size(outcomes.column("tags")) if "tags" in outcomes.values else _NO_LIMIT
    return np.array([[spans, spans, spans], [0.0, max(words, spans), spans]])


def _describe_missing_limit(outcomes: Outcomes) -> str | None:
    """Why the rows decide nothing; None if they can."""
    if "tags" in outcomes.values:
        return None
    return "the outcomes have no column tags (words of each row), so a row may predict any number of spans"


def _make_metric(name: str, value: Callable[[Floats], Floats]) -> Metric:
    row_sums = RowSums(_read_counts, value, _make_extremes, _describe_missing_limit)
    return Metric(
        name=name,
        higher_is_better=True,
        value_range=(0.0, 1.0),
        needs="spans_right",
        statistic=statistic_of_sums(row_sums),
        row_sums=row_sums,
    )


def _read_tags(outcomes: Outcomes) -> Floats:
    return np.stack([outcomes.column("tags_right"), outcomes.column("tags")], axis=1)


_TAGS = RowSums(_read_tags, lambda sums: divide_or_zero(sums[..., 0], sums[..., 1]))

METRICS: Mapping[str, Metric] = {
    "span_precision": _make_metric("span_precision", lambda sums: divide_or_zero(sums[..., 0], sums[..., 1])),
    "span_recall": _make_metric("span_recall", lambda sums: divide_or_zero(sums[..., 0], sums[..., 2])),
    "span_f1": _make_metric(
        "span_f1", lambda sums: divide_or_zero(2 * sums[..., 0], sums[..., 1] + sums[..., 2])
    ),
    "tag_accuracy": Metric(
        name="tag_accuracy",
        higher_is_better=True,
        value_range=(0.0, 1.0),
        needs="tags_right",
        statistic=statistic_of_sums(_TAGS),
        row_sums=_TAGS,
        row_mean=RowMean(
            lambda outcomes: (outcomes.column("tags_right"), outcomes.column("tags")), get_share_ends
        ),
    ),
}

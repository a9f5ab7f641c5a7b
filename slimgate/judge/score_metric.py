"""A metric made of the scores that another tool gave each sample: 0/1 by Tango's test, others as a mean.

The mean is bounded by the declared range of the scores (`score_ranges`). One Outcomes may hold the rows of
several comparisons; the column `comparison` has the number of each row's comparison.

A figure of a whole corpus is made of sums over its samples, as word_perplexity and bits_per_byte of lm-eval:

| kind       | is                              | judged                                         |
|------------|---------------------------------|------------------------------------------------|
| perplexity | exp(sum of nats / sum of sizes) | by documents on the log scale, as `perplexity` |
| rate       | sum of scores / sum of sizes    | as a rate, as `bits_per_byte`                  |

A size is what the figure is a mean over: words, bytes or documents. It is never a mean of the figures of the
samples. Lower is better.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import inf, log
from typing import TYPE_CHECKING, Any

import numpy as np

from slimgate.budgets.base import is_length_name
from slimgate.judge.metrics.base import (
    Documents,
    Metric,
    RowMean,
    RowSums,
    check_weights,
    divide_sums,
    make_row_mean,
    mean_of,
    statistic_of_sums,
)
from slimgate.judge.metrics.language_model import CAP
from slimgate.judge.named_scores import SHARE, Range, format_range
from slimgate.outcomes import RIGHT, Floats, Ints, Outcomes
from slimgate.plugins.reader import CorpusKind

if TYPE_CHECKING:
    import numpy.typing as npt

SCORE, SIZE, COMPARISON = "score", "size", "comparison"
# Bytes of a word in plain English text: a word may lose as much as its bytes together.
_BYTES_OF_WORD = 5
# The kind of task of a record whose rows are scores in logs.
RECORD_KIND = "logs"
# Key of the record's settings for the allowed differences of the logs and for samples without a score.
RULES = "rules"
# In params, by task the digests of what the base's samples hold; in a comparison, the key of its task there.
CONTENTS, ANSWER = "contents", "answer"
# In place of the digest of the base's answers, if the base has several runs.
SEVERAL_RUNS = "several runs"
_RATE = RowSums(
    lambda outcomes: np.stack([outcomes.column(SCORE), outcomes.column(SIZE)], axis=1), divide_sums
)


def make_score_metric(
    name: str,
    *,
    higher_is_better: bool,
    zero_one: bool,
    score_range: Range | None,
    cap: float | None = None,
    number: int | None = None,
    corpus: CorpusKind | None = None,
) -> Metric:
    """The mean score.

    zero_one: whether all scores are right or wrong, 1 or 0. score_range: the lowest and the highest score
    that a sample can have; None: not known. cap: the most that a row without an end counts for.
    number: that of its comparison, if the outcomes hold several. corpus: how the figure is made of the sums
    of scores and sizes, if it is no mean of scores.
    """
    rows = None if number is None else lambda outcomes: np.flatnonzero(outcomes.column(COMPARISON) == number)
    if corpus is not None:
        return _make_corpus_metric(name, corpus, rows)
    ends = SHARE if zero_one else score_range or (-inf, inf)
    mean = make_row_mean(_read_scores, lambda _teacher, _variant: ends)
    return Metric(
        name=name,
        higher_is_better=higher_is_better,
        value_range=ends,
        needs=SCORE,
        statistic=_compute_mean,
        per_row=_read_scores if zero_one else None,
        row_sums=mean_of(_read_scores),
        row_mean=mean if cap is None else replace(mean, cap=lambda _teacher, _variant: cap),
        open_range=_explain_no_pass(name, score_range),
        rows=rows,
        unit="percent" if is_length_name(name) else "points",
    )


def _explain_no_pass(name: str, score_range: Range | None) -> str:
    metric = name.rpartition("/")[2]
    if score_range is None:
        return (
            f"the range of {metric} is not known, so rare damage cannot be ruled out: declare it by "
            f"--range {metric}=LOW:HIGH ([ranges] in a file)"
        )
    return (
        f"{metric} has no bound ({format_range(score_range)}), so rare damage cannot be ruled out: add "
        f"cap = … to its budget, or declare a range by --range {metric}=LOW:HIGH ([ranges] in a file)"
    )


def make_record_metrics(comparisons: Sequence[Mapping[str, Any]]) -> dict[str, Metric]:
    """The metrics of a record made of logs, by name. comparisons: in the order of their numbers."""
    return {
        str(comparison["name"]): make_score_metric(
            str(comparison["name"]),
            higher_is_better=bool(comparison["higher_is_better"]),
            zero_one=bool(comparison["zero_one"]),
            score_range=_read_record_range(comparison.get("range")),
            cap=comparison.get("cap"),
            number=number,
            corpus=comparison.get("corpus"),
        )
        for number, comparison in enumerate(comparisons)
    }


def _read_record_range(ends: Sequence[float | None] | None) -> Range | None:
    """The range with an infinite end for None."""
    if ends is None:
        return None
    low, high = ends
    return (-inf if low is None else low), (inf if high is None else high)


def make_score_outcomes(
    ids: npt.NDArray[np.str_],
    scores: Floats,
    groups: Ints | None,
    *,
    right: bool,
    sizes: Floats | None = None,
) -> Outcomes:
    """Makes outcomes from the scores of rows.

    scores: (rows,). right: whether 1 is a right and 0 a wrong answer. sizes: (rows,) if the figure is
    computed from the sums of scores and sizes, such as a perplexity.
    """
    values = {SCORE: scores, RIGHT: scores} if right else {SCORE: scores}
    if sizes is not None:
        return Outcomes(ids, values={**values, SIZE: sizes}, given=(SIZE,), groups=groups)
    return Outcomes(ids, values=values, groups=groups)


def _read_scores(outcomes: Outcomes) -> Floats:
    return outcomes.column(SCORE)


def _compute_mean(outcomes: Outcomes, weights: Floats) -> Floats:
    check_weights(outcomes, weights)
    return np.asarray(weights @ _read_scores(outcomes) / weights.sum(axis=-1))


def _make_corpus_metric(name: str, kind: CorpusKind, rows: Callable[[Any], Ints] | None) -> Metric:
    """The figure as a metric. rows: as a Metric has them.

    If its budget states no cap, a sample counts for at most CAP nats a word, or a document of one word; of a
    metric of bytes as much for the bytes of a word.
    """
    cap_in_nats = CAP / _BYTES_OF_WORD if "byte" in name.rpartition("/")[2].lower() else CAP
    if kind == "perplexity":
        return Metric(
            name=name,
            higher_is_better=False,
            value_range=(1.0, inf),
            needs=SIZE,
            statistic=_compute_perplexity,
            documents=Documents(
                lambda outcomes: (outcomes.column(SCORE), outcomes.column(SIZE).astype(np.int64)), cap_in_nats
            ),
            unit="percent",
            rows=rows,
        )
    return Metric(
        name=name,
        higher_is_better=False,
        value_range=(0.0, inf),
        needs=SIZE,
        statistic=statistic_of_sums(_RATE),
        row_sums=_RATE,
        row_mean=RowMean(
            lambda outcomes: (outcomes.column(SCORE), outcomes.column(SIZE)),
            lambda _teacher, _variant: (0.0, inf),
            cap=lambda _teacher, _variant: cap_in_nats / log(2),
        ),
        rows=rows,
    )


def _compute_perplexity(outcomes: Outcomes, weights: Floats) -> Floats:
    check_weights(outcomes, weights)
    return np.asarray(np.exp((weights @ outcomes.column(SCORE)) / (weights @ outcomes.column(SIZE))))

"""A figure of a whole corpus, made of sums over its samples: word_perplexity and bits_per_byte of lm-eval.

| kind       | is                              | judged                                         |
|------------|---------------------------------|------------------------------------------------|
| perplexity | exp(sum of nats / sum of sizes) | by documents on the log scale, as `perplexity` |
| rate       | sum of scores / sum of sizes    | as a rate, as `bits_per_byte`                  |

A size is what the figure is a mean over: words, bytes or documents. It is never a mean of the figures of the
samples. Lower is better.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf, log
from typing import Any

import numpy as np

from slimgate.judge.metrics.base import Documents, Metric, RowMean, RowSums, check_weights
from slimgate.judge.metrics.language_model import CAP
from slimgate.judge.metrics.row_sums import statistic_of_sums
from slimgate.outcomes import Floats, Ints, Outcomes
from slimgate.plugins.reader import CorpusKind

SCORE, SIZE = "score", "size"
# Bytes of a word in plain English text: a word may lose as much as its bytes together.
_BYTES_OF_WORD = 5


def corpus_cap(metric: str, kind: CorpusKind) -> float:
    """The most that a sample counts for, in the figure's own unit a size, if its budget does not state it.

    CAP nats a word, or a document of one word; of a metric of bytes as much for the bytes of a word.
    """
    nats = CAP / _BYTES_OF_WORD if "byte" in metric.lower() else CAP
    return nats if kind == "perplexity" else nats / log(2)


def corpus_metric(
    name: str, kind: CorpusKind, cap: float, rows: Callable[[Any], Ints] | None = None
) -> Metric:
    """The figure as a metric. cap: as `corpus_cap` has it. rows: as a Metric has them."""
    if kind == "perplexity":
        return Metric(
            name=name,
            higher_is_better=False,
            value_range=(1.0, inf),
            needs=SIZE,
            statistic=_perplexity,
            documents=Documents(_nats_and_sizes, cap),
            unit="percent",
            rows=rows,
        )
    return Metric(
        name=name,
        higher_is_better=False,
        value_range=(0.0, inf),
        needs=SIZE,
        statistic=statistic_of_sums(_SUMS),
        row_sums=_SUMS,
        row_mean=RowMean(
            lambda outcomes: (outcomes.column(SCORE), outcomes.column(SIZE)),
            lambda _teacher, _variant: (0.0, inf),
            cap=lambda _teacher, _variant: cap,
        ),
        rows=rows,
    )


def _nats_and_sizes(outcomes: Outcomes) -> tuple[Floats, Ints]:
    return outcomes.column(SCORE), outcomes.column(SIZE).astype(np.int64)


def _perplexity(outcomes: Outcomes, weights: Floats) -> Floats:
    check_weights(outcomes, weights)
    return np.asarray(np.exp((weights @ outcomes.column(SCORE)) / (weights @ outcomes.column(SIZE))))


def _terms(outcomes: Outcomes) -> Floats:
    return np.stack([outcomes.column(SCORE), outcomes.column(SIZE)], axis=1)


_SUMS = RowSums(_terms, lambda sums: np.asarray(sums[..., 0] / sums[..., 1]))

"""Answers that a model writes or chooses: scores, how written answers behave, and the likeliest choice.

| name                | value                                                                                |
|---------------------|--------------------------------------------------------------------------------------|
| the name of a score | the mean score: the share of right answers, if a score is 0 or 1                     |
| same_answers        | the share of answers that equal the teacher's; for the teacher itself, those that it |
|                     | gives again in other batches and with other threads                                  |
| similar_answers     | the mean cosine of the embeddings of an answer and of the teacher's answer           |
| truncated           | the share of answers that reach max_new_tokens before they end                       |
| empty               | the share of answers without text                                                    |
| looping             | the share of answers that end with the same tokens again and again                   |
| answer_length       | the mean tokens of an answer, as a multiple of the teacher's                         |
| failed              | the share of requests that failed, so that a server gave no answer; only endpoints   |
| acceptance_length   | the mean tokens that a pass of a model keeps, when it verifies the tokens of a draft |

If a row has several sampled answers, their mean counts, so each prompt counts once.

Of multiple choice, the share of rows whose likeliest choice is right, by lm-evaluation-harness's names:

| name            | the likeliest choice is the one with the highest |
|-----------------|--------------------------------------------------|
| acc             | log-likelihood                                   |
| acc_norm        | log-likelihood per byte of its text in UTF-8     |
| acc_norm_tokens | log-likelihood per token                         |

lm-evaluation-harness divides acc_norm by characters, which gives the same for ASCII text. Long choices have
low likelihoods, so the three metrics differ if the choices differ in length.

task_score is the score of a document, from 0 to 1, by the metric that a task of lm-evaluation-harness
defines.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf

import numpy as np

from slimgate.budgets.base import ANSWER_LENGTH
from slimgate.judge.metrics.base import Metric, RowSums, make_row_mean, mean_of, statistic_of_sums
from slimgate.judge.scores import is_better_higher, list_score_names
from slimgate.outcomes import (
    EMPTY,
    FAILED,
    LOOPING,
    MOST_TOKENS,
    PASSES,
    SAME_ANSWERS,
    SIMILAR_ANSWERS,
    TOKENS,
    TRUNCATED,
    VERIFIED_TOKENS,
    Floats,
    Outcomes,
)

FAULTS = (TRUNCATED, EMPTY, LOOPING)
ACCEPTANCE_LENGTH = "acceptance_length"
# The most tokens that a draft may propose for each pass.
MOST_DRAFT_TOKENS = 16


def make_mean_score(
    name: str, *, higher_is_better: bool = True, value_range: tuple[float, float] = (0.0, 1.0)
) -> Metric:
    """The mean of the values of that name, each in the range.

    If the range is 0 to 1 and all values are 0 or 1, Tango's test judges the metric.
    """
    values = _make_column_reader(name)
    sums = mean_of(values)
    return Metric(
        name=name,
        higher_is_better=higher_is_better,
        value_range=value_range,
        needs=name,
        statistic=statistic_of_sums(sums),
        row_sums=sums,
        row_mean=make_row_mean(values, lambda _teacher, _variant: value_range),
        per_row=values if value_range == (0.0, 1.0) else None,
    )


def make_answer_length() -> Metric:
    """The mean tokens of an answer. If the rows have a limit of tokens, the range is 0 to the limit."""
    lengths = _make_column_reader(TOKENS)
    sums = mean_of(lengths)
    return Metric(
        name=ANSWER_LENGTH,
        higher_is_better=False,
        value_range=(0.0, inf),
        needs=TOKENS,
        statistic=statistic_of_sums(sums),
        row_sums=sums,
        row_mean=make_row_mean(lengths, _find_length_ends),
        open_range="the limit of an answer is not known, or an answer is longer: add cap = … to its budget",
        unit="percent",
    )


def _find_length_ends(teacher: Outcomes, variant: Outcomes) -> tuple[float, float]:
    """0 and the limit of both models; infinite if a model has no limit, or has longer answers anyway."""
    limits = [
        side.values[MOST_TOKENS].max() if MOST_TOKENS in side.values else inf for side in (teacher, variant)
    ]
    longest = max(float(side.column(TOKENS).max()) for side in (teacher, variant))
    limit = float(max(limits))
    return 0.0, limit if longest <= limit else inf


def make_acceptance_length() -> Metric:
    """The mean tokens of a verification pass: 1 plus the tokens of the draft that were kept.

    A model without a draft writes one token with each pass. The pass over the prompt does not count, nor does
    the token that it writes. The last pass of an answer may be cut short.
    Source: Leviathan et al. 2023, section 3.1.
    """
    sums = RowSums(_read_tokens_and_passes, _compute_tokens_per_pass, extremes=_make_extremes)
    return Metric(
        name=ACCEPTANCE_LENGTH,
        higher_is_better=True,
        value_range=(1.0, 1.0 + MOST_DRAFT_TOKENS),
        needs=ACCEPTANCE_LENGTH,
        statistic=statistic_of_sums(sums),
        row_sums=sums,
    )


def _read_tokens_and_passes(outcomes: Outcomes) -> Floats:
    if PASSES not in outcomes.values:
        tokens = np.maximum(outcomes.values.get(TOKENS, np.ones(len(outcomes))), 1.0)
        return np.stack([tokens, tokens], axis=1)
    return np.stack([outcomes.column(VERIFIED_TOKENS), outcomes.column(PASSES)], axis=1)


def _compute_tokens_per_pass(sums: Floats) -> Floats:
    """1 for answers of one token each, which no pass verified."""
    tokens, passes = sums[..., 0], sums[..., 1]
    return np.where(passes > 0, tokens / np.where(passes > 0, passes, 1.0), 1.0)


def _make_extremes(outcomes: Outcomes) -> Floats:
    """For an answer of the greatest length: all tokens of the draft are kept, or none."""
    tokens = float(outcomes.values[MOST_TOKENS].max()) if MOST_TOKENS in outcomes.values else 1.0
    return np.asarray([[tokens, tokens / (1 + MOST_DRAFT_TOKENS)], [tokens, tokens]])


def _make_column_reader(name: str) -> Callable[[Outcomes], Floats]:
    return lambda outcomes: outcomes.column(name)


METRICS: Mapping[str, Metric] = {
    **{name: make_mean_score(name, higher_is_better=is_better_higher(name)) for name in list_score_names()},
    SAME_ANSWERS: make_mean_score(SAME_ANSWERS),
    ANSWER_LENGTH: make_answer_length(),
    ACCEPTANCE_LENGTH: make_acceptance_length(),
    SIMILAR_ANSWERS: make_mean_score(SIMILAR_ANSWERS, value_range=(-1.0, 1.0)),  # a cosine
    **{name: make_mean_score(name, higher_is_better=False) for name in (*FAULTS, FAILED)},
    **{name: make_mean_score(name) for name in ("acc", "acc_norm", "acc_norm_tokens", "task_score")},
}

"""Answers that a model writes: one metric for each score of judge/scores, and six of how answers behave.

| name                | is the share of answers that                                                        |
|---------------------|-------------------------------------------------------------------------------------|
| the name of a score | is right; of scores that are no 0 or 1, the mean                                    |
| same_answers        | equal the teacher's; of the teacher itself, its own with another batch and threads  |
| similar_answers     | no share: the mean cosine of the embeddings of the answer and of the teacher's      |
| truncated           | reach max_new_tokens before they end                                                |
| empty               | hold no text                                                                        |
| looping             | end with the same tokens again and again                                            |
| failed              | a server never gave: the request failed for good; measured of endpoints             |

A row of several sampled answers has their mean, so that a prompt counts once, however often it is answered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from slimgate.judge.metrics.base import Metric
from slimgate.judge.metrics.row_sums import mean_of, row_mean, statistic_of_sums
from slimgate.judge.scores import score_names
from slimgate.outcomes import SAME_ANSWERS, SIMILAR_ANSWERS, Floats, Outcomes

TRUNCATED, EMPTY, LOOPING, FAILED = "truncated", "empty", "looping", "failed"
FAULTS = (TRUNCATED, EMPTY, LOOPING)


def mean_score(
    name: str, *, higher_is_better: bool = True, value_range: tuple[float, float] = (0.0, 1.0)
) -> Metric:
    """The mean of the values of that name, each in the range; where all are 0 or 1, and that is the range,
    Tango's test judges it.
    """
    values = _column(name)
    sums = mean_of(values)
    return Metric(
        name=name,
        higher_is_better=higher_is_better,
        value_range=value_range,
        needs=name,
        statistic=statistic_of_sums(sums),
        row_sums=sums,
        row_mean=row_mean(values, lambda _teacher, _variant: value_range),
        per_row=values if value_range == (0.0, 1.0) else None,
    )


def _column(name: str) -> Callable[[Outcomes], Floats]:
    return lambda outcomes: outcomes.column(name)


METRICS: Mapping[str, Metric] = {
    **{name: mean_score(name) for name in (*score_names(), SAME_ANSWERS)},
    SIMILAR_ANSWERS: mean_score(SIMILAR_ANSWERS, value_range=(-1.0, 1.0)),  # a cosine
    **{name: mean_score(name, higher_is_better=False) for name in (*FAULTS, FAILED)},
}

"""The noise of a judge model: how much its scores of the same answer differ."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import sqrt

import numpy as np
import numpy.typing as npt

from slimgate.logs.columns import Samples, number_samples
from slimgate.logs.pairs import PairedTask
from slimgate.outcomes import Floats

# Metrics with such names are scores of a judge model.
_JUDGE_METRICS = ("*judge*", "*graded*", "*grader*", "*rubric*", "*geval*", "*g-eval*", "*g_eval*", "llm*")
# All metrics of these tools are scores of a judge model, except metrics that compare texts.
_JUDGING_TOOLS = ("deepeval",)
_TEXT_METRICS = ("*exact*", "*pattern*", "*json*", "*tool*")


@dataclass(frozen=True)
class JudgeSpread:
    """How much scores of one answer differ.

    sd: the standard deviation of the scores of an answer. answers: how many answers were scored again.
    """

    sd: float
    answers: int


@dataclass(frozen=True)
class JudgeNoise:
    """The noise of one metric in both logs. A side is None if no answer in it was scored twice."""

    base: JudgeSpread | None
    target: JudgeSpread | None

    @property
    def is_known(self) -> bool:
        """Whether both logs have answers that were scored again."""
        return self.base is not None and self.target is not None


def is_scored_by_judge(metric: str, tool: str) -> bool:
    """Whether a metric's name, or the tool, says that a judge model scores it."""
    name = metric.casefold()
    if any(fnmatchcase(name, pattern) for pattern in _JUDGE_METRICS):
        return True
    return tool in _JUDGING_TOOLS and not any(fnmatchcase(name, pattern) for pattern in _TEXT_METRICS)


def measure_judge_noise(paired: PairedTask, metric: str) -> JudgeNoise:
    """Compares the scores of equal answers to a sample, in several runs or in several epochs of one run."""
    return JudgeNoise(_measure_spread(paired.base, metric), _measure_spread(paired.target, metric))


def _measure_spread(samples: Samples, metric: str) -> JudgeSpread | None:
    """The spread of the scores between runs, or within the epochs of a sample that have the same answer."""
    if samples.runs is not None:
        return _compute_run_spread(samples.runs[metric], samples.same_answers)
    if samples.clusters is None or samples.answers is None:
        return None
    values = samples.scores[metric]
    rows = np.flatnonzero(~np.isnan(values) & (samples.answers > 0))
    _, member = np.unique(
        np.stack([number_samples(samples.ids.to_pylist())[rows], samples.answers[rows]]),
        axis=1,
        return_inverse=True,
    )
    counts = np.bincount(member)
    again = counts > 1
    if not again.any():
        return None
    centred = values[rows] - (np.bincount(member, weights=values[rows]) / counts)[member]
    # the variance within each group of epochs, pooled
    squares = np.bincount(member, weights=centred**2)[again].sum()
    return JudgeSpread(sqrt(float(squares) / float((counts[again] - 1).sum())), int(again.sum()))


def _compute_run_spread(scores: Floats, same_answers: npt.NDArray[np.bool_] | None) -> JudgeSpread | None:
    """The spread of scores between runs.

    scores: (runs, rows). same_answers: (rows,) whether all runs have the same answer.
    """
    if same_answers is None:
        return None
    scores = scores[:, same_answers]
    scores = scores[:, ~np.isnan(scores).any(axis=0)]
    if not scores.shape[1]:
        return None
    return JudgeSpread(sqrt(float(scores.var(axis=0, ddof=1).mean())), scores.shape[1])


def describe_judge_noise(noise: JudgeNoise, *, by_judge: bool, has_repeats: bool) -> str | None:
    """A note about the judge's noise in one comparison; None if there is nothing to say.

    by_judge: whether a judge model scores it. has_repeats: whether its interval is from several runs or
    epochs.
    """
    spreads = [("base", noise.base), ("target", noise.target)]
    if noise.is_known and (by_judge or any(spread and spread.sd > 0 for _, spread in spreads)):
        figures = " and ".join(
            f"{spread.sd:.2g} in the {side} ({spread.answers:,} answers)"
            for side, spread in spreads
            if spread
        )
        return f"scores of the same answer have a standard deviation of {figures}; the interval contains it"
    if not by_judge:
        return None
    if has_repeats:
        return (
            "a judge model scores it, and no answer was scored twice in both logs: the interval "
            "contains the judge's noise and that of the answers together, and nothing can separate them"
        )
    return (
        "a judge model scored each answer once: the interval does not contain how its scores change "
        "from run to run; score the same answers again and give both (--base A A-again --target B B-again)"
    )

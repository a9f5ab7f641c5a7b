"""Scores of a judge model: how much they differ on the same answers, or that nothing is known of it."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import sqrt

import numpy as np

from slimgate.logs.columns import Samples
from slimgate.logs.pairs import PairedTask
from slimgate.outcomes import Ints
from slimgate.plugins.reader import split_epoch

# Names of metrics that a judge model scores.
_JUDGED = ("*judge*", "*graded*", "*grader*", "*rubric*", "*geval*", "*g-eval*", "*g_eval*", "llm*")
# Tools whose metrics are scored by a judge model, but for those that compare texts.
_JUDGING_TOOLS = ("deepeval",)
_BY_TEXT = ("*exact*", "*pattern*", "*json*", "*tool*")


@dataclass(frozen=True)
class JudgeSpread:
    """sd: the standard deviation of the scores of one answer; answers: how many were scored again."""

    sd: float
    answers: int


@dataclass(frozen=True)
class JudgeNoise:
    """Of one metric in both logs; None where no answer was scored twice."""

    base: JudgeSpread | None
    target: JudgeSpread | None

    @property
    def is_known(self) -> bool:
        """Whether both logs have answers that were scored again."""
        return self.base is not None and self.target is not None


def is_of_judge(metric: str, tool: str) -> bool:
    """Whether a metric's name, or the tool, says that a judge model scores it."""
    name = metric.casefold()
    if any(fnmatchcase(name, pattern) for pattern in _JUDGED):
        return True
    return tool in _JUDGING_TOOLS and not any(fnmatchcase(name, pattern) for pattern in _BY_TEXT)


def measure_judge_noise(paired: PairedTask, metric: str) -> JudgeNoise:
    """From runs with the same answer to a sample, and from epochs of a sample with the same answer."""
    return JudgeNoise(_spread(paired.base, metric), _spread(paired.target, metric))


def _spread(samples: Samples, metric: str) -> JudgeSpread | None:
    if samples.runs is not None:
        if samples.same_answers is None:
            return None
        scores = samples.runs[metric][:, samples.same_answers]
        scores = scores[:, ~np.isnan(scores).any(axis=0)]
        if not scores.shape[1]:
            return None
        return JudgeSpread(sqrt(float(scores.var(axis=0, ddof=1).mean())), scores.shape[1])
    if samples.clusters is None or samples.answers is None:
        return None
    values = samples.scores[metric]
    rows = np.flatnonzero(~np.isnan(values) & (samples.answers > 0))
    _, member = np.unique(
        np.stack([number_samples(samples)[rows], samples.answers[rows]]), axis=1, return_inverse=True
    )
    counts = np.bincount(member)
    again = counts > 1
    if not again.any():
        return None
    centred = values[rows] - (np.bincount(member, weights=values[rows]) / counts)[member]
    squares = np.bincount(member, weights=centred**2)[again].sum()
    return JudgeSpread(sqrt(float(squares) / float((counts[again] - 1).sum())), int(again.sum()))


def number_samples(samples: Samples) -> Ints:
    """(rows,) equal for the epochs of one sample, from 0."""
    names = [split_epoch(name)[0] for name in samples.ids.to_pylist()]
    codes: dict[str, int] = {}
    return np.array([codes.setdefault(name, len(codes)) for name in names], np.int64)


def describe_judge_noise(name: str, noise: JudgeNoise, *, judged: bool, several: bool) -> str | None:
    """A note on one comparison; None where nothing is to be said.

    judged: whether a judge model scores it. several: whether its interval holds several runs or epochs.
    """
    spreads = [("base", noise.base), ("target", noise.target)]
    if noise.is_known and (judged or any(spread and spread.sd > 0 for _, spread in spreads)):
        figures = " and ".join(
            f"{spread.sd:.2g} in the {side} ({spread.answers:,} answers)"
            for side, spread in spreads
            if spread
        )
        return (
            f"{name}: scores of the same answer have a standard deviation of {figures}; the interval "
            "contains it"
        )
    if not judged:
        return None
    if several:
        return (
            f"{name}: a judge model scores it, and no answer was scored twice in both logs: the interval "
            "contains the judge's noise together with that of the answers, and they cannot be told apart"
        )
    return (
        f"{name}: a judge model scores it, once an answer: what a run of the judge changes in all scores is "
        "not contained; score the same answers again and give both (--base A A-again --target B B-again)"
    )

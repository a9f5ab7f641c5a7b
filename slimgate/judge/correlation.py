"""How well a model's scores of pairs follow people's: Pearson and Spearman, by a bootstrap over pairs.

Two made-up pairs are added (extremes.py), so that a few changed pairs that a sample missed do not pass for
none possible. reports/simulations/metric_verdicts.md has the error rates.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from slimgate.errors import MeasureError
from slimgate.judge.bootstrap import CELL_RESAMPLES, PairedResamples
from slimgate.judge.budget_kinds import QualityBudget, check_budget
from slimgate.judge.contrast import Paired
from slimgate.judge.evidence import by_contrast
from slimgate.judge.extremes import usual_group_size
from slimgate.judge.group_resamples import METHOD, finite_columns, group_resamples
from slimgate.judge.metrics.base import Unit
from slimgate.judge.resampling import multiplicities
from slimgate.judge.verdict import QualityJudgement, judgement_of
from slimgate.outcomes import Floats, Ints

Correlation = Literal["pearson", "spearman"]

# Bytes of one matrix of weights; about ten of that size are alive at a time.
_CHUNK_BYTES = 8 * 2**20
# More pairs than this are left out in random blocks, as in `resampling`.
_MAX_LEFT_OUT = 400
# Under these an interval is not to be taken at its word.
_FEW = 50
# Which pair a made-up change turns round: the upper decile by its part in the correlation, as in extremes.py.
_SURENESS = 0.9


@dataclass(frozen=True)
class _Score:
    """A correlation as a budget is checked against it."""

    name: str
    higher_is_better: bool = True
    value_range: tuple[float, float] = (-1.0, 1.0)
    resampled: bool = True
    no_budget: str = ""
    over_builds: bool = False
    unit: Unit = "points"


def judge_correlation(
    kind: Correlation,
    gold: Floats,
    teacher: Floats,
    variant: Floats,
    budgets: Sequence[QualityBudget],
    *,
    seed: int = 0,
    resamples: int = CELL_RESAMPLES,
    groups: Ints | None = None,
) -> QualityJudgement:
    """Judges the correlation of each model's scores with `gold`; Spearman ranks each resample anew.

    gold, teacher, variant: (pairs,) in any unit; groups: (pairs,) of pairs that are not independent, which
    are resampled whole. Raises MeasureError for scores that do not fit, are not finite, or are all equal,
    SuiteError for a budget that does not suit.
    """
    from scipy.stats import rankdata

    score = _Score(kind)
    for budget in budgets:
        check_budget(score, budget)
    given = {"gold": gold, "teacher": teacher, "variant": variant}
    _check(kind, given)
    for name, scores in given.items():
        if np.ptp(scores) == 0:
            raise MeasureError(f"{kind}: all scores of {name} are {scores[0]:g}, there is no correlation")
    ones = np.ones((1, len(gold)))
    before, after = _correlations([_column(kind, scores) for scores in given.values()], ones)[:, 0]
    if kind == "spearman":  # so that a rising transform changes nothing
        gold, teacher, variant = (rankdata(scores) for scores in given.values())
    added, groups = with_made_up_pairs((gold, teacher, variant), groups)
    columns = [_column(kind, scores) for scores in added]
    member = np.arange(len(added[0])) if groups is None else np.unique(groups, return_inverse=True)[1]
    rng, n = np.random.default_rng(seed), len(gold)
    units = None if groups is None else int(member.max()) - 1
    drawn: Paired
    if groups is None:
        drawn = _resample(kind, columns, member, rng, resamples)
    else:
        drawn = group_resamples(
            kind,
            lambda weights: _correlations(columns, weights[:, member]),
            int(member.max()) + 1,
            columns=len(member),
            rng=rng,
            resamples=resamples,
        )
    method = "paired BCa bootstrap" if groups is None else f"{METHOD}, grouped"
    evidence = by_contrast(
        drawn,
        n=n,
        method=method,
        higher_is_better=True,
        groups=units,
    )
    warnings = (f"{n} rows, under {_FEW}",) if n < _FEW else ()
    return judgement_of(score, float(before), float(after), evidence, budgets, warnings=warnings)


def with_made_up_pairs(
    columns: tuple[Floats, Floats, Floats], groups: Ints | None
) -> tuple[tuple[Floats, Floats, Floats], Ints | None]:
    """gold, teacher and variant with two made-up pairs (of grouped pairs, whole groups), as in extremes.py.

    A pair that speaks strongly for the teacher is mirrored at the variant's mean score, and the reverse.
    """
    gold, teacher, variant = columns
    weight = (gold - gold.mean()) * (teacher - teacher.mean())
    row = int(np.argsort(weight, kind="stable")[int(_SURENESS * len(weight))])
    away = (teacher[row] - teacher.mean()) / teacher.std()
    size = 1
    if groups is not None:
        size = usual_group_size(groups)
        groups = np.append(groups, groups.max() + np.repeat([1, 2], size))
    before, after = (
        np.append(scores, np.repeat(scores.mean() + signs * away * scores.std(), size))
        for scores, signs in ((teacher, np.array([1, -1])), (variant, np.array([-1, 1])))
    )
    return (np.append(gold, np.full(2 * size, gold[row])), before, after), groups


def _check(name: str, columns: Mapping[str, Floats]) -> None:
    """Raises MeasureError unless all columns are finite numbers, one a row of the same rows."""
    shapes = {column.shape for column in columns.values()}
    if len(shapes) > 1 or not all(column.ndim == 1 and len(column) for column in columns.values()):
        came = ", ".join(f"{key} {column.shape}" for key, column in columns.items())
        raise MeasureError(f"{name}: shapes are {came}, expected one score a row of each")
    for key, column in columns.items():
        bad = np.flatnonzero(~np.isfinite(column))
        if len(bad):
            raise MeasureError(f"{name}: row {bad[0]} of {key} has a score of {column[bad[0]]}")


@dataclass(frozen=True, eq=False)
class _Column:
    """One column of scores: centred values, or for ranks where the rows of equal score begin and end."""

    values: Floats
    order: npt.NDArray[np.intp] | None = None
    first: npt.NDArray[np.intp] | None = None
    last: npt.NDArray[np.intp] | None = None

    def of(self, weights: Floats) -> Floats:
        """(k, pairs) or (pairs,) what is correlated: mid-ranks among the drawn pairs, or the values."""
        if self.order is None:
            return self.values
        by_rank = weights[:, self.order]
        upto = np.cumsum(by_rank, axis=1)
        below = upto[:, self.first] - by_rank[:, self.first]
        ranks = np.empty_like(weights)
        ranks[:, self.order] = (below + upto[:, self.last]) / 2
        return ranks


def _column(kind: Correlation, scores: Floats) -> _Column:
    values = scores - scores.mean()
    if kind == "pearson":
        return _Column(values)
    order = np.argsort(values, kind="stable")
    rising = values[order]
    first = np.searchsorted(rising, rising, side="left")
    return _Column(values, order, first, np.searchsorted(rising, rising, side="right") - 1)


def _resample(
    kind: str, columns: Sequence[_Column], member: Ints, rng: np.random.Generator, resamples: int
) -> PairedResamples:
    """member: (pairs,) the unit of each pair, from 0 on."""
    pairs, units = len(member), int(member.max()) + 1
    ones = np.ones(units, dtype=np.int64)
    chunk = max(1, _CHUNK_BYTES // (8 * pairs))
    found = [
        _correlations(columns, multiplicities(rng, ones, min(chunk, resamples - start))[:, member])
        for start in range(0, resamples, chunk)
    ]
    # at random, since pairs often come sorted
    block = (rng.permutation(units) % min(units, _MAX_LEFT_OUT))[member]
    left_out = [_correlations(columns, weights) for weights in _without(block, chunk)]
    return PairedResamples(
        sample=_correlations(columns, np.ones((1, pairs)))[:, 0],
        resampled=finite_columns(kind, np.concatenate(found, axis=1)),
        left_out=np.concatenate(left_out, axis=1),
        left_out_counts=np.ones(int(block.max()) + 1, dtype=np.int64),
    )


def _without(block: Ints, chunk: int) -> Iterator[Floats]:
    """(k, pairs) weights without one block each."""
    for start in range(0, int(block.max()) + 1, chunk):
        out = np.arange(start, min(start + chunk, int(block.max()) + 1))
        yield (block[None, :] != out[:, None]).astype(np.float64)


def _correlations(columns: Sequence[_Column], weights: Floats) -> Floats:
    """(2, k) of teacher and variant with gold; NaN where a resample has one value only."""
    total = weights.sum(axis=1, keepdims=True)
    gold, *models = (column.of(weights) for column in columns)
    centred = gold - (weights * gold).sum(axis=1, keepdims=True) / total
    spread = (weights * centred**2).sum(axis=1)
    found = np.full((2, len(weights)), np.nan)
    for line, scores in zip(found, models, strict=True):
        own = scores - (weights * scores).sum(axis=1, keepdims=True) / total
        both = spread * (weights * own**2).sum(axis=1)
        np.divide((weights * centred * own).sum(axis=1), np.sqrt(both), out=line, where=both > 0)
    return found

"""Several verdicts in one run, by Holm's correction, and several analyses of the same growing sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from math import sqrt

import numpy as np

from slimgate.judge.decision import ALPHA, z_quantile
from slimgate.judge.root import find_root
from slimgate.judge.verdict import QualityJudgement
from slimgate.outcomes import Floats
from slimgate.results.base import BudgetFacts, Verdict

MOST_ANALYSES = 20
# Integrals over a normal distribution begin at -_END and have this many nodes.
_END = 9.0
_NODES = 200


@dataclass(frozen=True)
class InterimAnalysis:
    """The analysis that is due.

    number: from 1. total: how many are planned. rows: so far. planned_rows: rows at the last analysis.
    """

    number: int
    total: int
    rows: int
    planned_rows: int

    def compute_level(self, alpha: float = ALPHA) -> float:
        """The one-sided level at which this analysis decides, if all analyses together have `alpha`."""
        return compute_analysis_levels(self.total, alpha)[self.number - 1]


@cache
def compute_analysis_levels(analyses: int, alpha: float = ALPHA) -> tuple[float, ...]:
    """The one-sided level of each analysis: a p-value at or under it decides. The levels rise to
    `alpha` at most.

    Raises ValueError for a number of analyses that is not from 1 to 20.
    """
    from slimgate._system.special_functions import ndtr

    if not 1 <= analyses <= MOST_ANALYSES:
        raise ValueError(f"{analyses} analyses, expected 1 to {MOST_ANALYSES}")
    times = np.arange(1, analyses + 1) / analyses
    spent = 2 * ndtr(-z_quantile(alpha / 2) / np.sqrt(times))
    levels = [float(spent[0])]
    bound = z_quantile(levels[0]) * sqrt(times[0])
    nodes, weights = _compute_nodes(bound)
    # density of the sum so far, if no analysis has decided yet, times the weights of the integral
    mass = weights * _compute_density(nodes / sqrt(times[0])) / sqrt(times[0])
    step = sqrt(1 / analyses)
    for at in range(1, analyses):
        bound = _find_bound(nodes, mass, step, float(spent[at] - spent[at - 1]))
        levels.append(float(ndtr(-bound / sqrt(times[at]))))
        next_nodes, weights = _compute_nodes(bound)
        mass = weights * (_compute_density((next_nodes[:, None] - nodes) / step) / step @ mass)
        nodes = next_nodes
    return tuple(levels)


def compute_analysis_rows(planned: int, analyses: int) -> tuple[int, ...]:
    """(analyses,) the number of rows from which each analysis is due."""
    return tuple(-(-planned * number // analyses) for number in range(1, analyses + 1))


def find_due_analysis(rows: int, planned: int, analyses: int) -> InterimAnalysis | None:
    """The latest analysis that is due with this number of rows; None before the first."""
    number = sum(rows >= due for due in compute_analysis_rows(planned, analyses))
    return InterimAnalysis(number, analyses, rows, planned) if number else None


def _find_bound(nodes: Floats, mass: Floats, step: float, spend: float) -> float:
    """The bound that the sum exceeds with probability `spend` while no earlier analysis has decided."""
    from slimgate._system.special_functions import ndtr

    def excess(bound: float) -> float:
        return float(ndtr((nodes - bound) / step) @ mass) - spend

    return find_root(excess, 0.0, _END, xtol=1e-12)


def _compute_nodes(bound: float) -> tuple[Floats, Floats]:
    """(nodes,) points from -_END up to the bound, and (nodes,) their weights (Gauss-Legendre)."""
    points, weights = np.polynomial.legendre.leggauss(_NODES)
    half = (bound + _END) / 2
    return half * points + bound - half, half * weights


def _compute_density(z: Floats) -> Floats:
    density: Floats = np.exp(-(z**2) / 2) / sqrt(2 * np.pi)
    return density


# The search for a bound ends at this distance from the bound of a variant that was not chosen.
_FURTHEST = 2**30
_BISECTIONS = 20


def compute_family_bound(judged: QualityJudgement, count: int) -> float | None:
    """The upper bound of the drop if the variant is chosen among `count`; None if there is no interval.

    By Bonferroni's correction: a true drop of any of the variants is above its bound in at most 5 % of runs.
    In the unit of `drop_points`.
    """
    if judged.interval is None or judged.p_at_least is None:
        return None
    bound_alone = judged.interval[1]
    if count == 1:
        return bound_alone
    # The bound is where the p-value falls to the level. It is sought between `low` and `high`.
    level, step = ALPHA / count, max(bound_alone - judged.drop_points, 1e-3)
    low, high = bound_alone, bound_alone + step
    while judged.p_at_least(high) > level:
        step *= 2
        high = bound_alone + step
        if step > _FURTHEST:
            return None
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if judged.p_at_least(middle) > level else (low, middle)
    return high


def withhold_family_pass(judged: QualityJudgement, adjusted: Sequence[float], tests: int) -> QualityJudgement:
    """The judgement in which a budget passes only if its adjusted p-value is at most 5 %.

    adjusted: for each budget of the metric, corrected over all `tests` budgets of the family.
    """
    why = f"would PASS alone, but not as one of {tests} budgets of all variants (Holm's correction)"
    return _withhold_verdict(judged, [p > ALPHA for p in adjusted], Verdict.PASS, why)


def withhold_family_fails(
    judgements: Sequence[QualityJudgement], analyses: Sequence[InterimAnalysis | None] | None = None
) -> list[QualityJudgement]:
    """The judgements of one model, in which a budget fails only by Holm's correction over all of them.

    A single failure fails the gate. Without the correction, an equal model would fail more often the more
    tasks there are. A PASS needs no correction, because every budget must pass. analyses: for each judgement,
    if its rows are judged more than once.
    """
    analyses = analyses or [None] * len(judgements)
    judgements = [
        _decide_at_analysis(judged, analysis) for judged, analysis in zip(judgements, analyses, strict=True)
    ]
    p_values = [
        (1.0 if budget.p_holds is None else budget.p_holds, analysis)
        for judged, analysis in zip(judgements, analyses, strict=True)
        for budget in judged.budgets
    ]
    rejections = iter(_reject_by_holm(p_values))
    why = f"would FAIL alone, but not as one of {len(p_values)} budgets (Holm's correction)"
    return [
        _withhold_verdict(
            judged,
            [not next(rejections) and budget.p_holds is not None for budget in judged.budgets],
            Verdict.FAIL,
            why,
        )
        for judged in judgements
    ]


def _reject_by_holm(p_values: Sequence[tuple[float, InterimAnalysis | None]]) -> list[bool]:
    """Which hypotheses are rejected: each at the level shared by all that remain, until no more are rejected.

    At an analysis, the level is the part of this share that the analysis may spend.
    """
    rejected = [False] * len(p_values)
    while not all(rejected):
        share = ALPHA / rejected.count(False)
        levels = [share if analysis is None else analysis.compute_level(share) for _, analysis in p_values]
        now = [old or p <= level for old, (p, _), level in zip(rejected, p_values, levels, strict=True)]
        if now == rejected:
            break
        rejected = now
    return rejected


def _decide_at_analysis(judged: QualityJudgement, analysis: InterimAnalysis | None) -> QualityJudgement:
    """The judgement in which a verdict must hold at the level of its analysis."""
    if analysis is None:
        return judged
    judged = replace(judged, budgets=tuple(map(_drop_conditions, judged.budgets)))
    level = analysis.compute_level()
    place = f"analysis {analysis.number} of {analysis.total}"
    why = f"decided alone, but not at {place} (level {100 * level:.2g} %)"
    for verdict, name in ((Verdict.PASS, "p_value"), (Verdict.FAIL, "p_holds")):
        p_values = [getattr(budget, name) for budget in judged.budgets]
        judged = _withhold_verdict(judged, [p is None or p > level for p in p_values], verdict, why)
    return judged


def _drop_conditions(budget: BudgetFacts) -> BudgetFacts:
    """The budget without conditions of a capped mean that are undecided at 5 %: an analysis is stricter."""
    return budget if budget.capped is None else replace(budget, capped=replace(budget.capped, undecided=()))


def _withhold_verdict(
    judged: QualityJudgement, removed: Sequence[bool], verdict: Verdict, why: str
) -> QualityJudgement:
    """The judgement in which budgets with that verdict become INCONCLUSIVE if the correction removes it.

    removed: for each budget of the metric, whether the correction removes that verdict. why: for the line.
    """
    budgets = tuple(
        replace(budget, verdict=Verdict.INCONCLUSIVE) if budget.verdict is verdict and is_removed else budget
        for budget, is_removed in zip(judged.budgets, removed, strict=True)
    )
    if budgets == judged.budgets:
        return judged
    return replace(
        judged,
        budgets=budgets,
        n_needed=None,
        family=why,
    )

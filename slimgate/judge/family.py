"""Many verdicts at once, by Holm's correction: PASS of many variants, FAIL of many tasks.

The bound of a variant that was chosen among many.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from slimgate.judge.decision import ALPHA
from slimgate.judge.slices import adjust_by_holm
from slimgate.judge.verdict import QualityJudgement, Verdict, worst_verdict

# A bound is looked for between points of which the larger is at most this many interval widths away.
_FURTHEST = 2**30
_BISECTIONS = 20


def bound_among(judged: QualityJudgement, count: int) -> float | None:
    """The upper bound of the drop if the variant is chosen among `count`; None where there is no interval.

    By Bonferroni's correction: a true drop of any of the variants is above its bound in at most 5 % of runs.
    In the unit of `drop_points`.
    """
    if judged.interval is None or judged.p_at_least is None:
        return None
    low = judged.interval[1]
    if count == 1:
        return low
    level, step = ALPHA / count, max(low - judged.drop_points, 1e-3)
    high = low + step
    while judged.p_at_least(high) > level:
        step *= 2
        high = low + step
        if step > _FURTHEST:
            return None
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if judged.p_at_least(middle) > level else (low, middle)
    return high


def within_family(judged: QualityJudgement, adjusted: Sequence[float], tests: int) -> QualityJudgement:
    """The judgement in which a budget passes only if its adjusted p-value is at most 5 %.

    adjusted: of each of the metric's budgets, corrected over all `tests` budgets of the family.
    """
    why = f"inside its budget alone, but not by Holm's correction over the {tests} budgets of all variants"
    return _undecided_if(judged, [p > ALPHA for p in adjusted], Verdict.PASS, why)


def fails_within_family(judgements: Sequence[QualityJudgement]) -> list[QualityJudgement]:
    """The judgements of one model in which a budget fails only by Holm's correction over all of them.

    A failure of any one fails the gate, so that without the correction an equal model fails more often the
    more tasks there are. A PASS needs none, because every budget must pass.
    """
    found = [one.p_holds for judged in judgements for one in judged.budgets]
    adjusted = iter(adjust_by_holm(np.array([1.0 if p is None else p for p in found])).tolist())
    why = f"over its budget alone, but not by Holm's correction over the {len(found)} budgets"
    return [
        _undecided_if(
            judged,
            [next(adjusted) > ALPHA and one.p_holds is not None for one in judged.budgets],
            Verdict.FAIL,
            why,
        )
        for judged in judgements
    ]


def _undecided_if(
    judged: QualityJudgement, lost: Sequence[bool], verdict: Verdict, why: str
) -> QualityJudgement:
    """The judgement in which budgets with that verdict are undecided where the correction takes it away.

    lost: of each of the metric's budgets; why: as the judgement's line says it.
    """
    budgets = tuple(
        replace(one, verdict=Verdict.INCONCLUSIVE) if one.verdict is verdict and gone else one
        for one, gone in zip(judged.budgets, lost, strict=True)
    )
    if budgets == judged.budgets:
        return judged
    return replace(
        judged,
        budgets=budgets,
        verdict=worst_verdict([one.verdict for one in budgets]),
        n_needed=None,
        family=why,
    )

"""The faults that the self-test plants, and what the gate made of each.

Two kinds: answers of the teacher that are made wrong until a metric has lost twice its budget (whole groups,
if rows come in groups), and a copy of the teacher with one damaged layer, which is saved, loaded and predicts
as every variant does. The first tests the judge at the size of fault that matters, the second tests the way
from a file to a verdict.

A budget on both sides gets a third: the first, with both models exchanged, so that the variant is better by
twice the budget.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from slimgate.errors import MeasureError
from slimgate.judge.budget_kinds import EQUIVALENT, POINT_KINDS, QualityBudget, allowed_drop
from slimgate.judge.decision import ALPHA, Z_ALPHA, Z_POWER, z_quantile
from slimgate.judge.metrics import load_metric, value_of
from slimgate.judge.metrics.base import Metric
from slimgate.judge.quality import judge_quality
from slimgate.judge.verdict import QualityJudgement, Verdict
from slimgate.outcomes import Outcomes
from slimgate.run.damaged_layer import KINDS, NothingToDamage
from slimgate.run.run import ModelHandle
from slimgate.run.selftest import ROUNDING, Spoil, damaged_copy, plant_fault

# The noise, of the matrix's own spread, is raised until every metric has lost twice its budget.
STRENGTHS = (2.0, 8.0, 32.0)
EXCHANGED = "answers exchanged"


@dataclass(frozen=True)
class Fault:
    """A planted fault and what came of it.

    verdict: FAIL also if the damaged copy could not be judged at all; None if no damage was large enough,
    so that nothing is tested. wrong: the gate did not see a fault that it must see.
    """

    how: str
    metric: str
    verdict: Verdict | None
    wrong: bool
    found: str
    drop_points: float | None = None

    @property
    def line(self) -> str:
        """`answers exchanged: accuracy drop 4.0 points of a budget of 2, 6,000 rows: FAIL`."""
        outcome = self.verdict or "no test"
        undecided = (
            ", too few rows to tell" if self.verdict is Verdict.INCONCLUSIVE and not self.wrong else ""
        )
        return f"{self.how}: {self.metric} {self.found}: {outcome}{undecided}"


def exchanged_fault(
    outcomes: Outcomes, metric: str, budget: QualityBudget, *, seed: int, spoil: Spoil | None = None
) -> Fault:
    """Answers made wrong until the metric has lost twice its budget."""
    measured = load_metric(metric)
    allowed = allowed_drop(budget, value_of(measured, outcomes))
    damaged = plant_fault(outcomes, measured, 2 * allowed, seed=seed, spoil=spoil)
    how = EXCHANGED if outcomes.groups is None else f"{EXCHANGED} in whole groups"
    found = judge_fault(how, measured, outcomes, damaged, budget, seed=seed)
    changed = int(outcomes.changed_rows(damaged).sum())
    if found.verdict is None and changed and value_of(measured, damaged) == value_of(measured, outcomes):
        told = f"does not change, although {changed:,} answers were made wrong"
        return replace(found, verdict=Verdict.PASS, wrong=True, found=told)
    return found


def exchanged_gain(
    outcomes: Outcomes, metric: str, budget: QualityBudget, *, seed: int, spoil: Spoil | None = None
) -> Fault:
    """What a budget on both sides makes of a variant that is better than its teacher by twice the budget.

    The damaged answers are the teacher's, and the teacher's are the variant's.
    """
    measured = load_metric(metric)
    damaged = plant_fault(outcomes, measured, 2 * budget.limit / 100, seed=seed, spoil=spoil)
    return judge_fault(f"{EXCHANGED}, as a gain", measured, damaged, outcomes, budget, seed=seed)


def damaged_faults(teacher: ModelHandle, budgets: Mapping[str, QualityBudget], *, seed: int) -> list[Fault]:
    """Of each metric, what came of a copy of the teacher with one damaged layer.

    Raises NothingToDamage for a teacher without weights that slimgate can change.
    """
    kind = teacher.built.artifact.kind
    if kind not in KINDS:
        raise NothingToDamage(f"a teacher of kind {kind} has no weights to damage here")
    found: list[Fault] = []
    for strength in STRENGTHS:
        found = _judge_damage(teacher, budgets, strength, seed=seed)
        if all(one.verdict is not None for one in found):
            break
    return found


def _judge_damage(
    teacher: ModelHandle, budgets: Mapping[str, QualityBudget], strength: float, *, seed: int
) -> list[Fault]:
    try:
        stored, damaged, layer = damaged_copy(teacher, strength=strength, seed=seed)
        how = f"teacher with noise on {layer}"
        return [
            judge_fault(how, load_metric(metric), stored, damaged, budget, seed=seed)
            for metric, budget in budgets.items()
        ]
    except NothingToDamage:
        raise
    except MeasureError as error:  # scores that are not finite: a variant like that does not pass either
        return [Fault("teacher with a damaged layer", next(iter(budgets)), Verdict.FAIL, False, str(error))]


def judge_fault(
    how: str, metric: Metric, teacher: Outcomes, damaged: Outcomes, budget: QualityBudget, *, seed: int
) -> Fault:
    """What the gate makes of a damaged model: a fault where it lost at least twice the budget."""
    allowed = allowed_drop(budget, value_of(metric, teacher))
    judged = judge_quality(metric, teacher, damaged, [budget], seed=seed)
    found = _words(judged, budget)
    # in the metric's own unit, as `allowed` is: the judgement's drop is in percent of a perplexity
    drop = (judged.teacher - judged.value) * (1 if metric.higher_is_better else -1)
    drop = abs(drop) if budget.kind == EQUIVALENT else drop
    if drop < 2 * max(allowed, 0) - ROUNDING:
        blind = not teacher.changed_rows(damaged).any()
        verdict = judged.verdict if blind else None
        return Fault(how, metric.name, verdict, blind, found, judged.drop_points)
    must_fail = judged.verdict is Verdict.INCONCLUSIVE and is_decidable(
        metric, teacher, damaged, budget, allowed
    )
    wrong = judged.verdict is Verdict.PASS or must_fail
    return Fault(how, metric.name, judged.verdict, wrong, found, judged.drop_points)


def is_decidable(
    metric: Metric, teacher: Outcomes, damaged: Outcomes, budget: QualityBudget, allowed: float
) -> bool:
    """Whether these rows show a fault of this size 80 % of the time: (1.645 + 0.842)² psi / gap² rows.

    Of a budget on both sides (1.960 + 0.842)², since its FAIL takes half of the 5 %.
    psi: the share of answers that changed; gap: how far the drop is beyond what the budget allows. Groups
    count as one row each, because a planted fault takes whole groups. False if nothing is known: for metrics
    that are no mean over rows, and for budgets that are not on a drop in points.
    """
    if metric.per_row is None or budget.kind not in POINT_KINDS:
        return False
    change = metric.per_row(teacher) - metric.per_row(damaged)
    drop = float(change.mean()) * (1 if metric.higher_is_better else -1)
    z_level = Z_ALPHA
    if budget.kind == EQUIVALENT:
        drop, z_level = abs(drop), z_quantile(ALPHA / 2)
    if drop <= allowed:
        return False
    needed = (z_level + Z_POWER) ** 2 * float(np.abs(change).mean()) / (drop - allowed) ** 2
    return _independent_rows(teacher) >= needed


def _independent_rows(outcomes: Outcomes) -> float:
    """Rows, or groups of equal size that tell as much as these (Kish 1965: n² / the sum of their n²)."""
    if outcomes.groups is None:
        return float(len(outcomes))
    sizes = np.unique(outcomes.groups, return_counts=True)[1]
    return float(sizes.sum() ** 2 / (sizes**2).sum())


def _words(judged: QualityJudgement, budget: QualityBudget) -> str:
    kind = {"drop_points": "", EQUIVALENT: "±"}.get(budget.kind, f"{budget.kind} ")
    drop = f"drop {judged.drop_points:.1f} {judged.unit}"
    return f"{drop} of a budget of {kind}{budget.limit:g}, {judged.n:,} rows"

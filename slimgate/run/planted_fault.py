"""Plants the faults of the self-test and judges each of them with the gate.

There are two kinds of faults. The first makes answers of the teacher wrong until a metric has lost twice its
budget (whole groups, if rows come in groups). It tests whether the judge detects a loss of this size. The
second damages one layer of a copy of the teacher. The copy is saved, loaded and predicts like every variant,
so this fault tests all steps from a file to a verdict.

A two-sided budget gets a third fault: the first one with both models exchanged. The variant is then better
than its teacher by twice the budget.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from slimgate.budgets.registry import is_in_points, is_two_sided_kind
from slimgate.errors import MeasureError
from slimgate.judge.budget_kinds import (
    QualityBudget,
    compute_allowed_drop,
    format_kind,
)
from slimgate.judge.decision import ALPHA, Z_ALPHA, Z_POWER, z_quantile
from slimgate.judge.metrics import compute_value, load_metric
from slimgate.judge.metrics.base import Metric, compute_row_values
from slimgate.judge.quality import judge_quality
from slimgate.judge.verdict import QualityJudgement
from slimgate.outcomes import Outcomes
from slimgate.results.base import Verdict
from slimgate.run.damaged_layer import NothingToDamage
from slimgate.run.model_handle import ModelHandle
from slimgate.run.selftest import (
    KINDS,
    ROUNDING,
    DamageRows,
    plant_fault,
    predict_damaged_copy,
)

# Noise as a multiple of the matrix's standard deviation. The next one is used until every metric has lost
# twice its budget.
STRENGTHS = (2.0, 8.0, 32.0)
EXCHANGED = "answers exchanged"


@dataclass(frozen=True)
class Fault:
    """A planted fault and the gate's verdict.

    damage: what was damaged. verdict: FAIL also if the damaged copy could not be judged; None if no damage
    was large enough, so nothing is tested. wrong: the gate missed a fault that it must detect. description:
    the drop and the budget.
    """

    damage: str
    metric: str
    verdict: Verdict | None
    wrong: bool
    description: str
    drop_points: float | None = None

    @property
    def is_unchanged(self) -> bool:
        """Whether the damage changed no answer: it was too small, or the gate ignores it."""
        return self.wrong and self.drop_points == 0

    @property
    def line(self) -> str:
        """The result in one line.

        Example: `answers exchanged: accuracy drop 4.0 points of a budget of 2, 6,000 rows: FAIL`.
        """
        outcome = self.verdict or "no test"
        undecided = (
            ", too few rows to tell" if self.verdict is Verdict.INCONCLUSIVE and not self.wrong else ""
        )
        return f"{self.damage}: {self.metric} {self.description}: {outcome}{undecided}"


def judge_exchanged_answers(
    outcomes: Outcomes,
    metric: str,
    budget: QualityBudget,
    *,
    seed: int,
    damage_rows: DamageRows | None = None,
) -> Fault:
    """Makes answers wrong until the metric has lost twice its budget, and judges them.

    If all answers are wrong and the metric is no worse, it measures something else: a wrong direction.
    """
    loaded = load_metric(metric)
    allowed = compute_allowed_drop(budget, compute_value(loaded, outcomes))
    damaged = plant_fault(outcomes, loaded, 2 * allowed, seed=seed, damage_rows=damage_rows)
    name = EXCHANGED if outcomes.groups is None else f"{EXCHANGED} in whole groups"
    fault = judge_fault(name, loaded, outcomes, damaged, budget, seed=seed)
    changed = int(outcomes.changed_rows(damaged).sum())
    gain = compute_value(loaded, damaged) - compute_value(loaded, outcomes)
    gain = gain if loaded.higher_is_better else -gain
    if fault.verdict is None and changed and gain >= 0:
        change, remedy = "does not change", ""
        if gain:
            change = f"gets better by {gain:.3g}, so its higher_is_better may be wrong"
            remedy = "; if it does not measure right answers, give it a two-sided budget (equivalent_points)"
        description = f"{change}, although {changed:,} answers were made wrong{remedy}"
        return replace(fault, verdict=Verdict.PASS, wrong=True, description=description)
    return fault


def judge_exchanged_gain(
    outcomes: Outcomes,
    metric: str,
    budget: QualityBudget,
    *,
    seed: int,
    damage_rows: DamageRows | None = None,
) -> Fault:
    """Judges, by a two-sided budget, a variant that is better than its teacher by twice the budget.

    The damaged answers count as the teacher's, and the teacher's as the variant's.
    """
    loaded = load_metric(metric)
    damaged = plant_fault(outcomes, loaded, 2 * budget.limit / 100, seed=seed, damage_rows=damage_rows)
    return judge_fault(f"{EXCHANGED}, as a gain", loaded, damaged, outcomes, budget, seed=seed)


def judge_damaged_layer(
    teacher: ModelHandle, budgets: Mapping[str, QualityBudget], *, seed: int
) -> list[Fault]:
    """Judges a copy of the teacher with one damaged layer, on each metric.

    Raises NothingToDamage if slimgate cannot change the teacher's weights.
    """
    kind = teacher.built.artifact.kind
    if kind not in KINDS:
        raise NothingToDamage(f"a teacher of kind {kind} has no weights to damage here")
    faults: list[Fault] = []
    for strength in STRENGTHS:
        faults = _judge_damage(teacher, budgets, strength, seed=seed)
        if all(fault.verdict is not None and not fault.is_unchanged for fault in faults):
            break
    return faults


def _judge_damage(
    teacher: ModelHandle, budgets: Mapping[str, QualityBudget], strength: float, *, seed: int
) -> list[Fault]:
    try:
        stored, damaged, layer = predict_damaged_copy(teacher, strength=strength, seed=seed)
        name = f"teacher with noise on {layer}"
        return [
            judge_fault(name, load_metric(metric), stored, damaged, budget, seed=seed)
            for metric, budget in budgets.items()
        ]
    except NothingToDamage:
        raise
    except MeasureError as error:  # scores that are not finite: a variant like that does not pass either
        return [Fault("teacher with a damaged layer", next(iter(budgets)), Verdict.FAIL, False, str(error))]


def judge_fault(
    name: str, metric: Metric, teacher: Outcomes, damaged: Outcomes, budget: QualityBudget, *, seed: int
) -> Fault:
    """Judges a damaged model. The verdict counts only if the model lost at least twice the budget."""
    allowed = compute_allowed_drop(budget, compute_value(metric, teacher))
    judged = judge_quality(metric, teacher, damaged, [budget], seed=seed)
    description = _describe_drop(judged, budget)
    # in the unit of the metric and of `allowed`; of a perplexity, `judged.drop_points` is in percent
    is_loss_if_smaller = metric.higher_is_better or budget.kind == "length_ratio_min"
    drop = (judged.teacher - judged.value) * (1 if is_loss_if_smaller else -1)
    drop = abs(drop) if is_two_sided_kind(budget.kind) else drop
    if drop < 2 * max(allowed, 0) - ROUNDING:
        is_unchanged = not teacher.changed_rows(damaged).any()
        verdict = judged.verdict if is_unchanged else None
        return Fault(name, metric.name, verdict, is_unchanged, description, judged.drop_points)
    must_fail = judged.verdict is Verdict.INCONCLUSIVE and is_decidable(
        metric, teacher, damaged, budget, allowed
    )
    wrong = judged.verdict is Verdict.PASS or must_fail
    return Fault(name, metric.name, judged.verdict, wrong, description, judged.drop_points)


def is_decidable(
    metric: Metric, teacher: Outcomes, damaged: Outcomes, budget: QualityBudget, allowed: float
) -> bool:
    """Whether there are enough rows to detect a fault of this size in 80 % of all cases.

    This needs (1.645 + 0.842)² psi / gap² rows; for a two-sided budget (1.960 + 0.842)² psi / gap², because
    each side has half of the 5 %. psi: the share of answers that changed; gap: how far the drop exceeds the
    budget. A group counts as one row, because a planted fault damages whole groups. False if the number is
    not known: for metrics that are not a mean over rows, and for budgets that do not limit a drop in points.
    """
    if metric.per_row is None or not is_in_points(budget.kind):
        return False
    change = compute_row_values(metric, teacher) - compute_row_values(metric, damaged)
    drop = float(change.mean()) * (1 if metric.higher_is_better else -1)
    z_level = Z_ALPHA
    if is_two_sided_kind(budget.kind):
        drop, z_level = abs(drop), z_quantile(ALPHA / 2)
    if drop <= allowed:
        return False
    needed = (z_level + Z_POWER) ** 2 * float(np.abs(change).mean()) / (drop - allowed) ** 2
    return _count_independent_rows(teacher) >= needed


def _count_independent_rows(outcomes: Outcomes) -> float:
    """The effective number of rows, or of equal-sized groups (Kish 1965: n² / the sum of their n²)."""
    if outcomes.groups is None:
        return float(len(outcomes))
    sizes = np.unique(outcomes.groups, return_counts=True)[1]
    return float(sizes.sum() ** 2 / (sizes**2).sum())


def _describe_drop(judged: QualityJudgement, budget: QualityBudget) -> str:
    kind = format_kind(budget.kind)
    drop = f"drop {judged.drop_points:.1f} {judged.unit}"
    return f"{drop} of a budget of {kind}{budget.limit:g}, {judged.n:,} rows"

"""The judgement of one metric of a variant: its values, its interval and the verdict of each budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from slimgate.budgets.base import MetricProperties, Unit
from slimgate.budgets.registry import list_metric_kinds
from slimgate.judge.budget_kinds import QualityBudget
from slimgate.judge.contrast import make_relative_to_value
from slimgate.judge.decision import LEVEL, choose_band, withhold_budget_pass
from slimgate.judge.evidence import ChangedRows, Evidence
from slimgate.judge.metric_budgets import (
    add_runs_needed,
    check_ratio,
    judge_budget,
    judge_over_builds,
    require_paired,
)
from slimgate.judge.over_builds import OverBuilds
from slimgate.judge.over_runs import OverRuns
from slimgate.results.base import BudgetFacts, Verdict, find_worst_verdict


@dataclass(frozen=True)
class QualityJudgement:
    """One metric of one variant compared with its teacher's.

    teacher, value: in the metric's own unit. drop_points, interval: 100 times that unit (percentage points;
    for log loss hundredths of a nat), positive if the variant is worse; if `unit` is "percent", how much
    the value has grown, in percent of the teacher's value. interval: None for a metric that is not resampled.
    variance: n times the squared standard error of the drop; None if it is not known.
    design_effect: for groups of rows that are right or wrong. changed: for rows that are right or wrong.
    p_at_least(drop_points): the p-value of a true drop of at least this; None if it is not known.
    family: why a budget that holds alone is no PASS in its family; None if it is a PASS.
    withheld: why no budget passes whatever the interval is, such as a label without rows; else None.
    strays: rows whose prediction is no label of the task, of teacher and variant; None if neither has any.
    runs: how many runs of teacher and variant were judged; None if each has a single run.
    """

    metric: str
    teacher: float
    value: float
    drop_points: float
    interval: tuple[float, float] | None
    level: float
    method: str
    n: int
    n_needed: int | None
    budgets: tuple[BudgetFacts, ...]
    band: str
    groups: int | None
    design_effect: float | None
    changed: ChangedRows | None
    variance: float | None
    warnings: tuple[str, ...]
    unit: Unit = "points"
    p_at_least: Callable[[float], float] | None = field(default=None, compare=False, repr=False)
    family: str | None = None
    withheld: str | None = None
    strays: tuple[int, int] | None = None
    runs: tuple[int, int] | None = None

    @property
    def verdict(self) -> Verdict | None:
        """The worst verdict of its budgets; None without a budget."""
        return find_worst_verdict([budget.verdict for budget in self.budgets])


def judge_evidence(
    metric: MetricProperties,
    before: float,
    after: float,
    evidence: Evidence,
    budgets: Sequence[QualityBudget],
    *,
    warnings: tuple[str, ...] = (),
    builds: OverBuilds | None = None,
    runs: OverRuns | None = None,
) -> QualityJudgement:
    """The judgement of two values and the evidence of the rows, by budgets that `check_budget` accepted.

    builds: what budgets over builds are judged by; None if the variant has one build. runs: what the
    evidence is of, if runs of both were judged.
    """
    drop = before - after if metric.higher_is_better else after - before
    judged = tuple(
        judge_budget(metric, budget, before, after, evidence)
        if budget.over == "rows"
        else judge_over_builds(metric, budget, before, after, evidence, builds)
        for budget in budgets
    )
    if runs is not None:
        judged = tuple(add_runs_needed(metric, *pair, runs) for pair in zip(judged, budgets, strict=True))
    return QualityJudgement(
        metric=metric.name,
        teacher=before,
        value=after,
        drop_points=100 * drop,
        interval=evidence.interval and (100 * evidence.interval[0], 100 * evidence.interval[1]),
        level=LEVEL,
        method=evidence.method,
        n=evidence.n,
        n_needed=find_most_rows(judged),
        budgets=judged,
        band=choose_band(100 * drop),
        groups=evidence.groups,
        design_effect=evidence.design_effect,
        changed=evidence.changed,
        variance=evidence.variance if evidence.interval else None,
        warnings=warnings,
        p_at_least=lambda points: evidence.p_at_least(points / 100),
        runs=None if runs is None else (runs.base.runs, runs.target.runs),
    )


def withhold_pass(judged: QualityJudgement, why: str) -> QualityJudgement:
    """The judgement in which no budget passes, since no number of similar rows would show that it holds.

    why: as the end of its line.
    """
    budgets = tuple(map(withhold_budget_pass, judged.budgets))
    return replace(judged, budgets=budgets, n_needed=None, withheld=why)


def find_most_rows(judged: Sequence[BudgetFacts]) -> int | None:
    """The rows that would decide every undecided budget; None if there are none, or no number would."""
    undecided = [budget for budget in judged if budget.verdict is Verdict.INCONCLUSIVE]
    rows = [None if budget.needs_both else budget.n_needed for budget in undecided]
    known = [count for count in rows if count is not None]
    return max(known, default=None) if len(known) == len(rows) else None


def convert_to_growth(
    metric: MetricProperties, judged: QualityJudgement, evidence: Evidence
) -> QualityJudgement:
    """The judgement of a metric that is compared as a multiple: drop and interval as percent of growth."""
    check_ratio(metric, judged.teacher)
    relative, paired = make_relative_to_value(higher_is_better=False), require_paired(evidence)
    growth = judged.value / judged.teacher - 1
    of_ratio = [budget for budget in judged.budgets if list_metric_kinds()[budget.kind].question == "ratio"]
    if of_ratio and of_ratio[0].builds is None:  # its interval, less 1
        bounds = of_ratio[0].interval
        interval = bounds and (bounds[0] - 1, bounds[1] - 1)
    else:
        interval = relative.compute_interval(paired, growth)
    return replace(
        judged,
        drop_points=100 * growth,
        interval=interval and (100 * interval[0], 100 * interval[1]),
        band=choose_band(100 * growth),
        unit=metric.unit,
        variance=None,
        p_at_least=lambda percent: paired.p_at_least(relative.make_excess_contrast(percent / 100), 0.0),
    )

"""[budgets] family = "holm": the chance that any variant over one of its budgets passes is at most 5 %.

The family is every budget on a metric of every gated variant. Whether one passes depends on all, so that all
variants are built and answered before the first verdict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np

from slimgate.errors import SlimgateError
from slimgate.judge.budget_kinds import QualityBudget
from slimgate.judge.family import within_family
from slimgate.judge.metrics import load_metric
from slimgate.judge.quality import judge_quality
from slimgate.judge.slices import adjust_by_holm
from slimgate.judge.verdict import QualityJudgement
from slimgate.outcomes import Outcomes
from slimgate.run.run import SuiteRun
from slimgate.suite.suite import TEACHER, Suite

Metric = tuple[str, str]  # of a variant


def in_family(run: SuiteRun, name: str, metric: str, judged: QualityJudgement) -> QualityJudgement:
    """The judgement as the suite's family has it; unchanged for a suite without one."""
    adjusted = _adjust_p_values(run).get((name, metric)) if run.suite.family is not None else None
    if adjusted is None:
        return judged
    return within_family(judged, adjusted, sum(map(len, _adjust_p_values(run).values())))


def builds_for(run: SuiteRun, name: str, budgets: Sequence[QualityBudget]) -> tuple[Outcomes, ...]:
    """The answers of a variant's further builds where a budget asks for them; else they are not built."""
    over_builds = any(budget.over == "builds" for budget in budgets)
    return tuple(run.rebuilds(name).values()) if over_builds else ()


def chosen_among(suite: Suite, metric: str) -> int:
    """How many gated variants have a budget on a metric: among so many the one that ships is chosen."""
    gated = [name for name, variant in suite.variants.items() if variant.gated]
    return sum(metric in suite.budgets[name].quality for name in gated)


@cache
def _adjust_p_values(run: SuiteRun) -> Mapping[Metric, tuple[float, ...]]:
    """Holm's p-values of each budget, by variant and metric."""
    adjusted = {
        (name, metric): _p_values(run, name, metric)
        for name, variant in run.suite.variants.items()
        if variant.gated
        for metric in run.suite.budgets[name].quality
    }
    flat = adjust_by_holm(np.array([p for values in adjusted.values() for p in values])).tolist()
    return {key: tuple(flat.pop(0) for _ in values) for key, values in adjusted.items()}


def _p_values(run: SuiteRun, name: str, metric: str) -> tuple[float, ...]:
    """Of each budget; 1 where the variant cannot be judged, so that it stays a member of the family."""
    budgets = run.suite.budgets[name].quality[metric]
    try:
        answers = run.outcomes(TEACHER), run.outcomes(name)
        builds = builds_for(run, name, budgets)
        judged = judge_quality(load_metric(metric), *answers, budgets, builds=builds, seed=run.suite.seed)
    except SlimgateError:  # its own test says why
        return (1.0,) * len(budgets)
    return tuple(1.0 if p_value_of.p_value is None else p_value_of.p_value for p_value_of in judged.budgets)

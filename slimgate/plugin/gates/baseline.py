"""Baseline: has a variant lost more than it may since the release that the suite is held against?"""

from __future__ import annotations

from typing import Any

from slimgate.judge.budget_kinds import QualityBudget, list_actions
from slimgate.judge.facts import budget_facts, since_facts
from slimgate.judge.message import message
from slimgate.judge.metrics import load_metric, value_of
from slimgate.judge.quality import judge_quality, undecided_verdicts, waiting_facts
from slimgate.judge.verdict import Verdict
from slimgate.plugin.gates.reporting import Report, conclude, report_build
from slimgate.plugins.rows import GATE
from slimgate.record.comparing.since_baseline import Since, since
from slimgate.record.results import SINCE
from slimgate.run.gate_results import format_now, make_part
from slimgate.run.run import ModelHandle
from slimgate.suite.suite import Suite


def test_baseline(
    suite: Suite, teacher: ModelHandle, variant: ModelHandle, baseline_metric: str, report_part: Report
) -> None:
    """A metric of one model beside that of the same model in the baseline, on the same gate rows.

    A variant that is new since then is said to be, and is not held against anything. Rows that cannot be
    paired leave the budget undecided.
    """
    report_build(teacher, report_part)
    report_build(variant, report_part)
    baseline, metric = variant.run.baseline, baseline_metric
    budgets, default = suite.find_budgets(variant.name).baseline[metric], suite.measure.on_inconclusive
    earlier = since(baseline.run, variant.name, variant.outcomes, variant.run.rows.reports[GATE].digest)
    facts: dict[str, Any]
    if earlier.pair is not None:
        judged = judge_quality(load_metric(metric), *earlier.pair, budgets, seed=suite.seed)
        line = message(variant.name, judged, since=baseline.name)
        facts = since_facts(judged, list_actions(budgets, default), line)
    else:
        facts = _make_untested_facts(suite, variant, metric, earlier)
    report_part(make_part(SINCE, variant.name, metric, {**facts, "measured": format_now()}))
    conclude(variant, facts)


def _make_untested_facts(suite: Suite, variant: ModelHandle, metric: str, earlier: Since) -> dict[str, Any]:
    """The values alone, where they are known."""
    budgets, default = suite.find_budgets(variant.name).baseline[metric], suite.measure.on_inconclusive
    then = earlier.model.quality.get(metric) if earlier.model else None
    facts = {
        "baseline": then and then.value,
        "value": value_of(load_metric(metric), variant.outcomes),
        "note": earlier.why_not,
    }
    where = f"{variant.name}: {metric} against the baseline {variant.run.baseline.name}"
    if earlier.model is None:
        waiting = [waiting_facts(*pair) for pair in zip(budgets, list_actions(budgets, default), strict=True)]
        line = f"{where}: {earlier.why_not}, not gated"
        return {**facts, "new": True, "waiting": waiting, "verdict": None, "message": line}
    line = f"{where}, {_limits(budgets)}: {Verdict.INCONCLUSIVE}, {earlier.why_not}"
    judged = [
        budget_facts(*pair)
        for pair in zip(undecided_verdicts(budgets), list_actions(budgets, default), strict=True)
    ]
    return {**facts, "budgets": judged, "verdict": Verdict.INCONCLUSIVE.value, "message": line}


def _limits(budgets: tuple[QualityBudget, ...]) -> str:
    return ", ".join(f"budget {budget.kind} {budget.limit:g}" for budget in budgets)

"""Baseline: has a variant lost more than it may since the release that the suite is held against?"""

from __future__ import annotations

from typing import Any

from slimgate.judge.budget_kinds import QualityBudget, on_inconclusive_of, wishes
from slimgate.judge.facts import budget_facts, since_facts
from slimgate.judge.message import message
from slimgate.judge.metrics import load_metric, value_of
from slimgate.judge.quality import judge_quality, undecided_verdicts, waiting_facts
from slimgate.judge.verdict import Verdict
from slimgate.plugin.gates.reporting import Report, conclude, report_build
from slimgate.protocols import GATE
from slimgate.record.comparing.since_baseline import Since, since
from slimgate.record.results import SINCE
from slimgate.run.gate_results import now, part
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
    budgets, otherwise = suite.budgets_of(variant.name).baseline[metric], suite.measure.on_inconclusive
    found = since(baseline.kept, variant.name, variant.outcomes, variant.run.rows.reports[GATE].digest)
    facts: dict[str, Any]
    if found.pair is not None:
        judged = judge_quality(load_metric(metric), *found.pair, budgets, seed=suite.seed)
        line = message(variant.name, judged, since=baseline.name)
        facts = since_facts(judged, wishes(budgets, otherwise), line)
        wish = on_inconclusive_of(budgets, judged.budgets, otherwise)
    else:
        facts = _make_untested_facts(suite, variant, metric, found)
        wish = on_inconclusive_of(budgets, undecided_verdicts(budgets), otherwise)
    report_part(part(SINCE, variant.name, metric, {**facts, "measured": now()}))
    verdict = facts["verdict"]
    conclude(variant, verdict and Verdict(verdict), facts["message"], wish)


def _make_untested_facts(suite: Suite, variant: ModelHandle, metric: str, found: Since) -> dict[str, Any]:
    """The values alone, where they are known."""
    budgets, otherwise = suite.budgets_of(variant.name).baseline[metric], suite.measure.on_inconclusive
    then = found.model.quality.get(metric) if found.model else None
    facts = {
        "baseline": then and then.value,
        "value": value_of(load_metric(metric), variant.outcomes),
        "note": found.why_not,
    }
    where = f"{variant.name}: {metric} against the baseline {variant.run.baseline.name}"
    if found.model is None:
        waiting = [waiting_facts(*pair) for pair in zip(budgets, wishes(budgets, otherwise), strict=True)]
        told = f"{where}: {found.why_not}, not gated"
        return {**facts, "new": True, "waiting": waiting, "verdict": None, "message": told}
    told = f"{where}, {_limits(budgets)}: {Verdict.INCONCLUSIVE}, {found.why_not}"
    judged = [
        budget_facts(*pair)
        for pair in zip(undecided_verdicts(budgets), wishes(budgets, otherwise), strict=True)
    ]
    return {**facts, "budgets": judged, "verdict": Verdict.INCONCLUSIVE.value, "message": told}


def _limits(budgets: tuple[QualityBudget, ...]) -> str:
    return ", ".join(f"budget {one.kind} {one.limit:g}" for one in budgets)

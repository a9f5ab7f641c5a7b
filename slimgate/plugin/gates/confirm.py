"""Confirm: does a metric of a variant that passed on the gate hold its budgets on rows that nothing read?"""

from __future__ import annotations

from slimgate.judge.budget_kinds import list_actions
from slimgate.judge.facts import quality_facts
from slimgate.judge.family import bound_among
from slimgate.judge.message import message
from slimgate.judge.metrics import load_metric
from slimgate.judge.quality import judge_quality
from slimgate.outcomes import same_rows
from slimgate.plugin.confirmation import Passed
from slimgate.plugin.gates.family import builds_for
from slimgate.plugin.gates.reporting import Report, conclude
from slimgate.record.run_verdict import CONFIRMED
from slimgate.run.gate_results import format_now, make_part
from slimgate.run.run import ModelHandle
from slimgate.suite.suite import Suite


def test_confirm(
    suite: Suite,
    teacher: ModelHandle,
    variant: ModelHandle,
    confirm_metric: str,
    passed: Passed,
    report_part: Report,
) -> None:
    """A metric of one variant beside the teacher's, on the confirm rows."""
    for model in (teacher, variant):
        passed.require_same(model.name, model.built.artifact.digest)
    same_rows(teacher.outcomes, variant.outcomes)
    budgets, default = suite.budgets[variant.name].quality[confirm_metric], suite.measure.on_inconclusive
    judged = judge_quality(
        load_metric(confirm_metric),
        teacher.outcomes,
        variant.outcomes,
        budgets,
        builds=builds_for(variant.run, variant.name, budgets),
        seed=suite.seed,
    )
    line = f"confirm: {message(variant.name, judged)}"
    among = sum(confirm_metric in metrics for metrics in passed.metrics.values())
    facts = quality_facts(judged, line, list_actions(budgets, default)) | {"measured": format_now()}
    facts |= {"among": among, "bound_among": bound_among(judged, among)}
    report_part(make_part(CONFIRMED, variant.name, confirm_metric, facts))
    conclude(variant, facts)

"""Footprint: is the artifact as much smaller than the teacher's as its budget wants?"""

from __future__ import annotations

from slimgate.judge.facts import budget_facts
from slimgate.judge.size import judge_compression
from slimgate.plugin.gates.reporting import Report, conclude, report_build
from slimgate.run.gate_results import now, part
from slimgate.run.run import ModelHandle
from slimgate.suite.suite import Suite

MEGABYTE = 1024**2


def test_footprint(suite: Suite, teacher: ModelHandle, variant: ModelHandle, report_part: Report) -> None:
    """Bytes of one variant's artifact beside the teacher's."""
    report_build(teacher, report_part)
    report_build(variant, report_part)
    before, after = teacher.built.artifact.manifest["bytes"], variant.built.artifact.manifest["bytes"]
    budget = suite.budgets[variant.name].size
    judged = judge_compression(before, after, budget.limit, budget.reason) if budget else None
    sizes = f"{after / MEGABYTE:.1f} vs {before / MEGABYTE:.1f} MB"
    line = f"{variant.name}: size {sizes}, {before / after:.2f}× smaller"
    if judged:
        line += f", budget {judged.limit:g}×: {judged.verdict}"
    facts = {
        "compression": before / after,
        "budgets": [budget_facts(judged)] if judged else [],
        "verdict": judged.verdict.value if judged else None,
        "message": line,
        "measured": now(),
    }
    report_part(part("footprint", variant.name, "size", facts))
    conclude(variant, judged.verdict if judged else None, line, "fail")

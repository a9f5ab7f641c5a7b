"""Size: is the artifact as much smaller as its budget wants, and does it compute as much less?"""

from __future__ import annotations

from typing import Any

import pytest

from slimgate.errors import MeasureError
from slimgate.judge.budget_tables import FlopsBudget
from slimgate.judge.facts import budget_facts
from slimgate.judge.size import judge_compression, judge_flops
from slimgate.plugin.gates.reporting import Report, conclude, report_build
from slimgate.record.results import FLOPS
from slimgate.run.gate_results import format_now, make_part
from slimgate.run.measure.operations import Operations
from slimgate.run.run import ModelHandle
from slimgate.suite.suite import TEACHER, Suite

MEGABYTE = 1024**2
GIGA = 10**9


def test_size(suite: Suite, teacher: ModelHandle, variant: ModelHandle, report_part: Report) -> None:
    """Bytes of one variant's artifact, and operations of one of its calls, beside the teacher's."""
    if (reason := why_not_sized(suite, variant.name)) is not None:
        pytest.skip(reason)
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
        "measured": format_now(),
    }
    report_part(make_part("size", variant.name, "", facts))
    flops = _report_flops(teacher, variant, suite.budgets[variant.name].flops, report_part)
    conclude(variant, facts, flops)


def why_not_sized(suite: Suite, name: str) -> str | None:
    """Why the files and calls of these two models are not compared; None where they are."""
    if name in suite.sized:
        return None
    endpoint = TEACHER if suite.teacher.is_endpoint else name
    return f"{endpoint} is an endpoint: slimgate does not see its files, its calls and its memory"


def _report_flops(
    teacher: ModelHandle, variant: ModelHandle, budget: FlopsBudget | None, report_part: Report
) -> dict[str, Any]:
    """The budget on a call's operations. Raises MeasureError where it gates and they are not known."""
    before, after = teacher.operations, variant.operations
    report_part(make_part(FLOPS, TEACHER, "", _facts(before)))
    facts = _facts(after)
    if before.macs is None or after.macs is None:
        uncounted, unknown = (teacher, before) if before.macs is None else (variant, after)
        if budget is not None and variant.variant.gated:
            off = f'flops = {{ {budget.kind} = "off", reason = "not counted" }}'
            raise MeasureError(
                f"{variant.name}: the FLOPs of {uncounted.name} are not known ({unknown.note}), "
                "so the budget on "
                f"them cannot be judged; switch it off: [budgets.variants.{variant.name}] {off}"
            )
        report_part(make_part(FLOPS, variant.name, "", facts))
        return facts
    ratio = after.macs / before.macs
    judged = judge_flops(before.macs, after.macs, budget.limit, budget.reason) if budget else None
    line = f"{variant.name}: {_giga(after)} vs {_giga(before)} GFLOPs a row, {ratio:.3f} of the teacher's"
    if judged:
        line += f", budget {judged.limit:g}: {judged.verdict}"
    facts |= {
        "ratio": ratio,
        "budgets": [budget_facts(judged)] if judged else [],
        "verdict": judged.verdict.value if judged else None,
        "message": line,
    }
    report_part(make_part(FLOPS, variant.name, "", facts))
    return facts


def _facts(operations: Operations) -> dict[str, Any]:
    return {
        "flops": operations.flops,
        "macs": operations.macs,
        "macs_by_type": dict(operations.by_type),
        "tokens": operations.tokens,
        "note": operations.note,
        "measured": format_now(),
    }


def _giga(operations: Operations) -> str:
    return f"{(operations.flops or 0) / GIGA:.3g}"

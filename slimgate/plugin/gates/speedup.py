"""Speed-up: is a variant as many times faster than the teacher as its budget wants?"""

from __future__ import annotations

from typing import Any

import pytest

from slimgate.judge.facts import budget_facts
from slimgate.judge.speed import FINE, clearance, judge_speedup, speed_message
from slimgate.plugin.gates.latency import describe_speedup, times_of_another_format, why_not_timed
from slimgate.plugin.gates.planted_delay import find_delay
from slimgate.plugin.gates.reporting import Report, conclude, report_build
from slimgate.plugins.workloads import Workload
from slimgate.run.duels import Duels
from slimgate.run.gate_results import format_now, make_part
from slimgate.run.run import ModelHandle
from slimgate.suite.suite import Suite


def test_speedup(
    suite: Suite,
    teacher: ModelHandle,
    arena: Duels,
    variant: ModelHandle,
    workload: Workload,
    report_part: Report,
    request: pytest.FixtureRequest,
) -> None:
    """One workload through the teacher, its copy and a variant, by turns.

    A verdict needs that the duel sees a planted delay that is no larger than what it decides; where
    no self-test looked for it, this test does.
    """
    budget = suite.budgets[variant.name].find_speed_budget(workload)
    action = (budget and budget.on_inconclusive) or suite.measure.on_inconclusive
    reason = why_not_timed(request.config) or times_of_another_format(teacher, variant)
    if reason is not None:
        if budget is not None and variant.variant.gated:
            pytest.fail(f"{variant.name}: {workload.id} carries a speed budget, but {reason}", pytrace=False)
        pytest.skip(reason)
    report_build(teacher, report_part)
    report_build(variant, report_part)
    variant.run.measure_peak_rates()
    visible = find_delay(arena, report_part) if budget else FINE
    speedup = arena.speedup(variant, workload)
    judged = (
        judge_speedup(speedup, budget.limit, budget.reason, visible=visible, kind=budget.kind)
        if budget
        else None
    )
    line = speed_message(variant.name, workload.id, speedup, judged, visible=visible)
    facts: dict[str, Any] = {
        "speedup": speedup.speedup,
        "speedup_interval": list(speedup.claimed_interval),
        "noise_floor": speedup.noise_floor,
        "clearance": clearance(visible),
        "speedup_of_minima": speedup.of_minima,
        "duel_rounds": speedup.rounds,
        "duel_threads": speedup.threads,
        "budgets": [budget_facts(judged, action)] if judged else [],
        "verdict": judged.verdict.value if judged else None,
        "message": line,
        "measured": format_now(),
    }
    report_part(make_part("speedup", variant.name, workload.id, facts))
    describe_speedup(request.config, (suite.path, variant.name, workload.id), speedup)
    conclude(variant, facts)

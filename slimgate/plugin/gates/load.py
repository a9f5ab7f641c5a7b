"""Load: is a variant's server as many times faster than the teacher's as its budget wants?"""

from __future__ import annotations

from typing import Any

import pytest

from slimgate.judge.facts import budget_facts
from slimgate.judge.speed import judge_speedup, speed_message
from slimgate.plugin.gates.latency import why_not_timed
from slimgate.plugin.gates.reporting import Report, conclude, report_build
from slimgate.protocols import Load
from slimgate.run.gate_results import now, part
from slimgate.run.load_duels import LoadDuels
from slimgate.run.measure.latency import summarise
from slimgate.run.measure.load import BASE, COPY, VARIANT, LoadTimes
from slimgate.run.run import ModelHandle
from slimgate.suite.suite import TEACHER, Suite


def test_load(
    suite: Suite,
    teacher: ModelHandle,
    load_duels: LoadDuels,
    variant: ModelHandle,
    load: Load,
    report_part: Report,
    request: pytest.FixtureRequest,
) -> None:
    """The same requests to the teacher's server, to it again, and to the variant's, by turns."""
    budget = suite.budgets[variant.name].speed_of(load)
    wish = (budget and budget.on_inconclusive) or suite.measure.on_inconclusive
    reason = why_not_timed(request.config)
    if reason is not None:
        if budget is not None and variant.variant.gated:
            pytest.fail(f"{variant.name}: {load.id} carries a speed budget, but {reason}", pytrace=False)
        pytest.skip(reason)
    report_build(teacher, report_part)
    report_build(variant, report_part)
    times = load_duels.times(variant, load)
    found = times.speedup(load.part)
    judged = judge_speedup(found, budget.limit, budget.reason, kind=budget.kind) if budget else None
    line = speed_message(variant.name, load.id, found, judged, more="blocks")
    for name, contenders in ((TEACHER, (BASE, COPY)), (variant.name, (VARIANT,))):
        report_part(part("latency", name, load.id, _time_facts(times, contenders, load)))
    facts: dict[str, Any] = {
        "speedup": found.speedup,
        "speedup_interval": list(found.claimed_interval),
        "noise_floor": found.noise_floor,
        "clearance": 1.0,
        "speedup_of_minima": found.of_minima,
        "duel_rounds": found.rounds,
        "duel_threads": None,
        "budgets": [budget_facts(judged, wish)] if judged else [],
        "verdict": judged.verdict.value if judged else None,
        "message": line,
        "measured": now(),
    }
    report_part(part("speedup", variant.name, load.id, facts))
    conclude(variant, judged.verdict if judged else None, line, wish)


def _time_facts(times: LoadTimes, contenders: tuple[str, ...], load: Load) -> dict[str, Any]:
    """Percentiles over all requests; answered requests a second, of whole answers alone."""
    seconds = [one for name in contenders for one in times.seconds(name, load.part)]
    rate = sum(map(times.per_second, contenders)) / len(contenders)
    return {
        **vars(summarise(seconds, 1)),
        "throughput_per_s": rate if load.part == "answer" else None,
        "failed_requests": sum(times.failed(name).total() for name in contenders),
        "measured": now(),
    }

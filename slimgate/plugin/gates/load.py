"""Load: is a variant's server as fast as its budgets want, beside the teacher's and by itself?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import pytest

from slimgate.judge.budget_kinds import on_inconclusive_of
from slimgate.judge.budget_tables import GOODPUT, LimitBudget
from slimgate.judge.call_times import CallTimes, call_times_message, judge_call_times
from slimgate.judge.decision import Verdict
from slimgate.judge.facts import budget_facts
from slimgate.judge.speed import judge_speedup, speed_message
from slimgate.plugin.gates.latency import limit_facts, why_not_timed
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
    own = suite.budgets[variant.name]
    budget, limits = own.speed_of(load), own.times_of(load)
    wish = (budget and budget.on_inconclusive) or suite.measure.on_inconclusive
    reason = why_not_timed(request.config)
    if reason is not None:
        if (budget is not None or limits) and variant.variant.gated:
            pytest.fail(f"{variant.name}: {load.id} carries a speed budget, but {reason}", pytrace=False)
        pytest.skip(reason)
    report_build(teacher, report_part)
    report_build(variant, report_part)
    times = load_duels.times(variant, load)
    found = times.speedup(load.part)
    judged = judge_speedup(found, budget.limit, budget.reason, kind=budget.kind) if budget else None
    line = speed_message(variant.name, load.id, found, judged, more="blocks")
    held = judge_limits(times, load, limits)
    wishes = on_inconclusive_of(limits, held.budgets, suite.measure.on_inconclusive)
    said = limits_message(variant.name, load, held)
    for name, contenders in ((TEACHER, (BASE, COPY)), (variant.name, (VARIANT,))):
        found_times = _time_facts(times, contenders, load)
        if limits and name == variant.name:
            found_times["limits"] = limit_facts(held, limits, suite.measure.on_inconclusive, said)
        report_part(part("latency", name, load.id, found_times))
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
    failed = [
        message
        for message, verdict, inconclusive in (
            (line, judged and judged.verdict, wish),
            (said, held.verdict, wishes),
        )
        if verdict is Verdict.FAIL or (verdict is Verdict.INCONCLUSIVE and inconclusive == "fail")
    ]
    conclude(variant, Verdict.FAIL if failed else None, "\n".join(failed), "fail")


def judge_limits(times: LoadTimes, load: Load, limits: Sequence[LimitBudget]) -> CallTimes:
    """The budgets on the variant's own times: on milliseconds by its requests, on goodput by its blocks."""
    if not limits:
        return CallTimes(0, 0, ())
    on_ms = [one for one in limits if one.kind != GOODPUT]
    found = judge_call_times(times.sent_ms(VARIANT, load.part), on_ms)
    if load.level is None or len(on_ms) == len(limits):
        return found
    goodput = judge_call_times(
        times.ms_per_good(VARIANT, load.level), [one for one in limits if one.kind == GOODPUT], tokens=1
    )
    by_kind = {one.kind: one for one in (*found.budgets, *goodput.budgets)}
    first = found if on_ms else goodput
    return CallTimes(first.rounds, first.counted, tuple(by_kind[one.kind] for one in limits))


def limits_message(name: str, load: Load, held: CallTimes) -> str:
    """Their line; goodput is of blocks, all others of requests."""
    on_ms = tuple(one for one in held.budgets if one.kind != GOODPUT)
    goodput = tuple(one for one in held.budgets if one.kind == GOODPUT)
    of_blocks = CallTimes(load.blocks, load.blocks, goodput) if on_ms else held
    lines = [
        *([call_times_message(name, load.id, replace(held, budgets=on_ms), of="requests")] if on_ms else []),
        *([call_times_message(name, load.id, of_blocks, of="blocks")] if goodput else []),
    ]
    return "\n".join(lines)


def _time_facts(times: LoadTimes, contenders: tuple[str, ...], load: Load) -> dict[str, Any]:
    """Percentiles over all requests; answered and good requests a second, of whole answers alone."""
    seconds = [one for name in contenders for one in times.seconds(name, load.part)]
    rate = sum(map(times.per_second, contenders)) / len(contenders)
    return {
        **vars(summarise(seconds, 1)),
        "throughput_per_s": rate if load.part == "answer" else None,
        "failed_requests": sum(times.failed(name).total() for name in contenders),
        **_goodput_facts(times, contenders, load),
        "measured": now(),
    }


def _goodput_facts(times: LoadTimes, contenders: tuple[str, ...], load: Load) -> dict[str, Any]:
    """How many requests met the load's service level; nothing without one."""
    if load.level is None or load.part != "answer":
        return {}
    good = sum(int(times.good(name, load.level).sum()) for name in contenders)
    sent = sum(len(block) for name in contenders for block in times.requests[name])
    return {
        "service_level": {key: most for key, most in asdict(load.level).items() if most is not None},
        "good_share": good / sent,
        "goodput_per_s": good / sum(sum(times.wall[name]) for name in contenders),
    }

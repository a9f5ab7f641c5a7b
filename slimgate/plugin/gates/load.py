"""Load: is a variant's server within its budgets, both relative to the teacher's and in absolute times?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from slimgate._system.timestamps import format_now
from slimgate.judge.budget_tables import LimitBudget
from slimgate.judge.call_times import CallTimes, format_call_times, judge_call_times
from slimgate.judge.latency_budgets import GOODPUT
from slimgate.judge.speed import format_speed_message, judge_speedup
from slimgate.plugin.gates.latency import describe_not_timed, make_limit_facts, make_speedup_facts
from slimgate.plugin.gates.reporting import Report, conclude, refuse_unmeasured, report_builds
from slimgate.plugins.workloads import Load
from slimgate.results.checks import LATENCY, SPEEDUP, TEACHER
from slimgate.results.latency import TimesFacts
from slimgate.run.duels import LoadDuels
from slimgate.run.gate_results import GateResult
from slimgate.run.measure.latency import summarise_times
from slimgate.run.measure.load import BASE, COPY, VARIANT, LoadTimes
from slimgate.run.model_handle import ModelHandle
from slimgate.suite.suite import Suite


def test_load(
    suite: Suite,
    teacher: ModelHandle,
    load_duels: LoadDuels,
    variant: ModelHandle,
    load: Load,
    report_result: Report,
    request: pytest.FixtureRequest,
) -> None:
    """Sends the same requests in turn to the teacher's server, to it again, and to the variant's."""
    budgets_of_variant = suite.budgets[variant.name]
    budget, limits = budgets_of_variant.find_speed_budget(load), budgets_of_variant.find_time_budgets(load)
    action = (budget and budget.on_inconclusive) or suite.measure.on_inconclusive
    has_budget = budget is not None or bool(limits)
    reason = describe_not_timed(request.config)
    refuse_unmeasured(variant, reason, f"{load.id} has a speed budget" if has_budget else None)
    report_builds(report_result, teacher, variant)
    times = load_duels.measure_times(variant, load)
    speedup = times.compute_speedup(load.part)
    judged = judge_speedup(speedup, budget.limit, budget.reason, kind=budget.kind) if budget else None
    line = format_speed_message(variant.name, load.id, speedup, judged, scarce="blocks")
    judged_limits = judge_limits(times, load, limits)
    limits_line = format_limits_message(variant.name, load, judged_limits)
    limits_facts = make_limit_facts(judged_limits, limits, suite.measure.on_inconclusive, limits_line)
    teacher_times = _describe_times(times, (BASE, COPY), load)
    variant_times = _describe_times(times, (VARIANT,), load)
    if limits:
        variant_times = variant_times.replace(limits=limits_facts)
    report_result(GateResult(LATENCY, TEACHER, load.id, teacher_times))
    report_result(GateResult(LATENCY, variant.name, load.id, variant_times))
    facts = make_speedup_facts(speedup, judged, action, line, threads=None)
    report_result(GateResult(SPEEDUP, variant.name, load.id, facts))
    conclude(variant, facts, limits_facts)


def judge_limits(times: LoadTimes, load: Load, limits: Sequence[LimitBudget]) -> CallTimes:
    """Judges the budgets on the variant's times, in the order of `limits`.

    A budget in milliseconds has one value for each request; a budget on goodput has one for each block. The
    numbers of rounds are those of the requests, unless all budgets are on goodput.
    """
    if not limits:
        return CallTimes(0, 0, ())
    ms_limits = [budget for budget in limits if budget.kind != GOODPUT]
    judged_ms = judge_call_times(times.list_sent_ms(VARIANT, load.part), ms_limits)
    if load.level is None or len(ms_limits) == len(limits):
        return judged_ms
    judged_goodput = judge_call_times(
        times.compute_ms_per_good(VARIANT, load.level),
        [budget for budget in limits if budget.kind == GOODPUT],
        tokens=1,
    )
    by_kind = {budget.kind: budget for budget in (*judged_ms.budgets, *judged_goodput.budgets)}
    counts = judged_ms if ms_limits else judged_goodput
    return CallTimes(counts.rounds, counts.counted, tuple(by_kind[budget.kind] for budget in limits))


def format_limits_message(name: str, load: Load, judged_limits: CallTimes) -> str:
    """The message about these budgets: a line about requests, and a line about blocks for goodput."""
    ms_budgets = tuple(budget for budget in judged_limits.budgets if budget.kind != GOODPUT)
    goodput_budgets = tuple(budget for budget in judged_limits.budgets if budget.kind == GOODPUT)
    lines: list[str] = []
    if ms_budgets:
        requests = replace(judged_limits, budgets=ms_budgets)
        lines.append(format_call_times(name, load.id, requests, timed="requests"))
    if goodput_budgets:
        blocks = CallTimes(load.blocks, load.blocks, goodput_budgets) if ms_budgets else judged_limits
        lines.append(format_call_times(name, load.id, blocks, timed="blocks"))
    return "\n".join(lines)


def _describe_times(times: LoadTimes, contenders: tuple[str, ...], load: Load) -> TimesFacts:
    """Percentiles over all requests; answered and good requests per second count only complete answers."""
    seconds = [row for name in contenders for row in times.list_seconds(name, load.part)]
    fields = {
        **vars(summarise_times(seconds, 1)),
        "throughput_per_s": times.count_per_second(contenders) if load.part == "answer" else None,
        **_describe_goodput(times, contenders, load),
    }
    failed = sum(map(times.count_failed, contenders))
    return TimesFacts(**fields, failed_requests=failed, measured=format_now())


def _describe_goodput(times: LoadTimes, contenders: tuple[str, ...], load: Load) -> dict[str, Any]:
    """How many requests met the load's service level; empty without a service level."""
    if load.level is None or load.part != "answer":
        return {}
    good = sum(int(times.count_good(name, load.level).sum()) for name in contenders)
    sent = sum(len(block) for name in contenders for block in times.requests[name])
    return {
        "service_level": load.level.list_limits(),
        "good_share": good / sent,
        "goodput_per_s": good / sum(sum(times.block_seconds[name]) for name in contenders),
    }

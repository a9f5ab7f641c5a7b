"""The tests of speed: the times of a call, by pytest-benchmark, and the speed-up over the teacher."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from slimgate._system.garbage import no_collection
from slimgate._system.threads import tokenizer_threads
from slimgate._system.timestamps import format_now
from slimgate.judge.budget_kinds import list_actions
from slimgate.judge.budget_tables import LimitBudget
from slimgate.judge.call_times import (
    P95,
    QUANTILES,
    CallTimes,
    count_fewest_rounds,
    format_call_times,
    judge_call_times,
)
from slimgate.judge.facts import add_actions
from slimgate.judge.speed import (
    FINE,
    Speedup,
    compute_clearance,
    compute_duel_clearance,
    format_delay_message,
    format_speed_message,
    judge_speedup,
)
from slimgate.models.quantized_files import read_weight_format
from slimgate.plugin.config import BENCHMARKS, is_xdist_worker
from slimgate.plugin.gates.reporting import Report, conclude, refuse_unmeasured, report_builds
from slimgate.plugins.rows import Rows
from slimgate.plugins.workloads import END_TO_END, Workload
from slimgate.results.base import BudgetFacts, OnInconclusive
from slimgate.results.checks import LATENCY, SELF_TEST, SPEEDUP, TEACHER
from slimgate.results.latency import SpeedupFacts, TimeLimitFacts, TimesFacts
from slimgate.results.self_test import PLANTED_DELAY, PlantedDelay
from slimgate.run.duels import Duels
from slimgate.run.gate_results import GateResult
from slimgate.run.measure.end_to_end import Texts
from slimgate.run.measure.latency import Times, plan_rounds, summarise_times, time_tokenizing
from slimgate.run.measure.timed_call import TimedCall
from slimgate.run.model_handle import ModelHandle
from slimgate.run.workload_inputs import WorkloadInputs
from slimgate.runtimes.cascade import CascadePredictor
from slimgate.suite.suite import Suite
from slimgate.suite.tables import MeasureTable

if TYPE_CHECKING:
    from slimgate.plugins.base import Arrays

# A budget on a 95th percentile needs more rounds than a budget on a median, and rounds that resemble the
# round before them count as fewer. So it gets this many times the rounds, if they fit into the time.
TIMES_FOR_P95 = 10
EXTRA_INFO = (
    "p50_ms",
    "p90_ms",
    "p95_ms",
    "p99_ms",
    "throughput_per_s",
    "tokens_per_s",
    "rounds",
    "tokens",
    "threads",
)


def test_latency(
    suite: Suite,
    timed: ModelHandle,
    workload: Workload,
    report_result: Report,
    request: pytest.FixtureRequest,
) -> None:
    """Times one workload of the teacher or a variant, and judges its budgets on milliseconds.

    It times the forward call on prepared tensors, or the call from text to answer. For a model that writes
    text it times the full answer, or the time to its first token, or each token after the first.
    """
    budgets = suite.find_budgets(timed.name).find_time_budgets(workload)
    reason = describe_not_timed(request.config) or describe_unpacked_weights(timed)
    refuse_unmeasured(timed, reason, f"{workload.id} has a budget on times" if budgets else None)
    timed.run.measure_peak_rates()
    batch = timed.run.make_workload(timed.name, workload)
    call = timed.prepare_call(*batch.timed, part=workload.part)
    report_builds(report_result, timed)
    benchmark: Any = request.getfixturevalue("benchmark")
    _label_benchmark(benchmark, suite, timed.name, workload.id)
    cascade = timed.predictor if isinstance(timed.predictor, CascadePredictor) else None
    warmup_calls = _time_call(benchmark, call, timed, workload, budgets)
    seconds = np.asarray(benchmark.stats.stats.data) / workload.steps
    times = summarise_times(seconds, workload.batch, by_turns=suite.has_cascade)
    judged = judge_call_times(1000 * seconds, budgets, tokens=workload.tokens_per_call) if budgets else None
    line = format_call_times(timed.name, workload.id, judged) if judged else ""
    limits = make_limit_facts(judged, budgets, suite.measure.on_inconclusive, line) if judged else None
    fields = {**vars(times), **_describe_writing(timed, workload, batch.inputs, times)}
    facts = TimesFacts(
        **fields,
        warmup=warmup_calls,
        threads=suite.threads,
        tokens=int(next(iter(batch.inputs.values())).shape[1]),
        turns=min(len(batch.timed), times.rounds) if suite.has_cascade else None,
        passed_on=None if cascade is None else list(cascade.passed_on),
        tokenize_ms=None if workload.writes else _measure_tokenizing(timed, batch),
        limits=limits,
        measured=format_now(),
    )
    shown = {key: getattr(facts, key) for key in EXTRA_INFO}
    benchmark.extra_info.update({key: value for key, value in shown.items() if value is not None})
    benchmark_entries = request.config.stash.setdefault(BENCHMARKS, {})
    benchmark_entries[suite.path, timed.name, workload.id] = benchmark.extra_info
    report_result(GateResult(LATENCY, timed.name, workload.id, facts))
    if limits is not None:
        conclude(timed, limits)


def _time_call(
    benchmark: Any, call: TimedCall, timed: ModelHandle, workload: Workload, budgets: Sequence[LimitBudget]
) -> int:
    """Warms a call up and times its rounds. Returns the number of warm-up calls."""
    suite, end_to_end = timed.run.suite, workload.phase == END_TO_END
    with (
        tokenizer_threads(suite.threads, workload.batch) if end_to_end else nullcontext(),
        timed.run.watch.stage(f"{timed.name} · rounds of {workload.id}", still=True),
    ):
        warmup_calls, rounds = _warm_up(call, suite.measure, budgets)
        if isinstance(timed.predictor, CascadePredictor):
            timed.predictor.forget()  # it counts the rows that it passes on; the warm-up's rows do not count
        with no_collection():
            _time_rounds(benchmark, call, rounds)
    return warmup_calls


def _warm_up(call: TimedCall, measure: MeasureTable, budgets: Sequence[LimitBudget]) -> tuple[int, int]:
    """Warms a call up. Returns the numbers of warm-up calls and of rounds to time for the budgets."""
    has_p95 = any(QUANTILES[budget.kind] == P95 for budget in budgets)
    return plan_rounds(
        call,
        warmup=measure.warmup,
        rounds=measure.rounds * (TIMES_FOR_P95 if has_p95 else 1),
        max_seconds=measure.max_seconds / 2,
        min_rounds=max((count_fewest_rounds(budget.kind) for budget in budgets), default=0),
    )


def _measure_tokenizing(timed: ModelHandle, batch: WorkloadInputs) -> float:
    """Measures the milliseconds to tokenize the rows of a call.

    For an end-to-end workload the rows keep their own lengths, and the tokenizer has the threads of the call.
    """
    folder, first = timed.built.artifact.folder, batch.timed[0]
    if isinstance(first, Texts):
        with tokenizer_threads(timed.run.suite.threads, len(first.rows)):
            return time_tokenizing(first.plugin, first.rows, folder)
    rows = Rows(timed.run.rows.gate.table.take(batch.positions))
    return time_tokenizing(timed.run.suite.setup.task, rows, folder)


def _time_rounds(benchmark: Any, call: TimedCall, rounds: int) -> None:
    """Times the rounds. The start of a call, such as reading the prompt, is not timed."""
    if call.begins:
        benchmark.pedantic(call.call, setup=lambda: ((call.begin(),), {}), rounds=rounds, iterations=1)
    else:
        benchmark.pedantic(call, rounds=rounds, iterations=1)


def _describe_writing(timed: ModelHandle, workload: Workload, inputs: Arrays, times: Times) -> dict[str, Any]:
    """Facts about a written answer in addition to its times; empty for a workload that writes none."""
    if not workload.writes:
        return {}
    rate = workload.tokens_per_call
    return {
        # A phase is only a part of an answer, so it has no rows per second.
        "throughput_per_s": None if workload.phase else times.throughput_per_s,
        "new_tokens": workload.new_tokens,
        "tokens_per_s": None if rate is None else 1000 * rate / times.p50_ms,
        "cache_bytes": None if workload.phase else timed.cache_bytes(inputs),
    }


def make_limit_facts(
    judged: CallTimes, budgets: Sequence[LimitBudget], default: OnInconclusive, line: str
) -> TimeLimitFacts:
    """Makes the facts on budgets on times that the record stores.

    default: the on_inconclusive of a budget that does not set it. line: the message.
    """
    return TimeLimitFacts(
        rounds=judged.rounds,
        counted=judged.counted,
        budgets=add_actions(judged.budgets, list_actions(budgets, default)),
        verdict=judged.verdict,
        message=line,
        measured=format_now(),
    )


def _label_benchmark(benchmark: Any, suite: Suite, name: str, workload: str) -> None:
    """Sets the names in pytest-benchmark's table and files. It copies them when timing begins.

    pytest-benchmark fills `params` with the test's parameters, and would write a Workload as
    "UNSERIALIZABLE".
    """
    benchmark.group = f"{suite.shown} {workload}"
    benchmark.params = {"variant": name, "workload": workload}
    benchmark.extra_info.update(suite=suite.shown, variant=name, workload=workload)


def add_speedup_to_benchmark(config: pytest.Config, key: tuple[Path, str, str], speedup: Speedup) -> None:
    """Adds a duel's result to pytest-benchmark's entry for the same model, if this run has one.

    key: suite file, variant, workload.
    """
    entry = config.stash.get(BENCHMARKS, {}).get(key)
    if entry is not None:
        entry.update(speedup=speedup.speedup, speedup_interval=list(speedup.claimed_interval))


def describe_unpacked_weights(*models: ModelHandle) -> str | None:
    """Why these models are not measured: the weights of one were unpacked. None if they can be measured."""
    for model in models:
        stored = model.built.artifact.manifest.get("stored")
        if stored and read_weight_format(stored) not in model.variant.runtime.object.formats:
            return (
                f"{model.name} is not measured: its weights ({stored['format']}, {stored['scheme']}) were "
                "unpacked to floating point, so its times and memory would not be those of the format"
            )
    return None


def describe_not_timed(config: pytest.Config) -> str | None:
    """Why this run times nothing; None if it does."""
    if not config.pluginmanager.hasplugin("benchmark"):
        return "latency was not measured: pytest-benchmark is not loaded"
    if config.getoption("benchmark_skip", False) and not config.getoption("benchmark_only", False):
        return "latency was not measured: --benchmark-skip"
    if is_xdist_worker(config):
        return "latency was not measured: xdist workers share the machine (-n)"
    if getattr(getattr(config, "_benchmarksession", None), "disabled", False):
        return "latency was not measured: --benchmark-disable"
    return None


def test_speedup(
    suite: Suite,
    teacher: ModelHandle,
    duels: Duels,
    variant: ModelHandle,
    workload: Workload,
    report_result: Report,
    request: pytest.FixtureRequest,
) -> None:
    """Times the teacher, its copy and a variant in turns, and judges the speed-up.

    A verdict counts only if the duel also detects a planted delay that is small enough. If no self-test
    planted one before, this test does.
    """
    budget = suite.budgets[variant.name].find_speed_budget(workload)
    action = (budget and budget.on_inconclusive) or suite.measure.on_inconclusive
    reason = describe_not_timed(request.config) or describe_unpacked_weights(teacher, variant)
    refuse_unmeasured(variant, reason, f"{workload.id} has a speed budget" if budget else None)
    report_builds(report_result, teacher, variant)
    variant.run.measure_peak_rates()
    companions = list_companions(teacher, workload, request.node)
    visible: float | None = FINE
    if any(suite.budgets[model.name].find_speed_budget(workload) for model in (variant, *companions)):
        delay = measure_delay(duels, report_result)
        visible = delay if budget else FINE
    speedup = duels.measure_speedup(variant, workload, companions=companions)
    judged = (
        judge_speedup(speedup, budget.limit, budget.reason, visible=visible, kind=budget.kind)
        if budget
        else None
    )
    line = format_speed_message(variant.name, workload.id, speedup, judged, visible=visible)
    facts = make_speedup_facts(
        speedup,
        judged,
        action,
        line,
        clearance=compute_duel_clearance(speedup, visible),
        threads=speedup.threads,
    )
    report_result(GateResult(SPEEDUP, variant.name, workload.id, facts))
    add_speedup_to_benchmark(request.config, (suite.path, variant.name, workload.id), speedup)
    conclude(variant, facts)


def list_companions(teacher: ModelHandle, workload: Workload, item: pytest.Item) -> list[ModelHandle]:
    """The variants that can share the duel of a test: their own tests on the same workload follow.

    Variants that are not built yet, or that no test measures, are left out.
    """
    run, items = teacher.run, item.session.items
    names = [
        str(other.callspec.params["variant"])
        for other in items[items.index(item) + 1 :]
        if other.parent is item.parent
        and isinstance(other, pytest.Function)
        and other.originalname == test_speedup.__name__
        and other.callspec.params["workload"] == workload
    ]
    models = [run.make_handle(name) for name in names if run.is_built(name)]
    return [model for model in models if describe_unpacked_weights(model) is None]


def measure_delay(duels: Duels, report: Report) -> float | None:
    """Measures which slow-down of the teacher a duel can detect on this machine, once for each suite.

    Reports the result. Returns the smallest delay that was detected, as a share of a call; None if none was.
    """
    planted = duels.plant_delay()
    facts = PlantedDelay(
        seen=planted.visible is not None,
        percent=100 * planted.share,
        clearance=compute_clearance(planted.visible),
        speedup_interval=planted.speedup.claimed_interval,
        message=format_delay_message(planted.workload.id, planted.speedup, planted.share),
        workload=planted.workload.id,
        measured=planted.measured,
    )
    report(GateResult(SELF_TEST, TEACHER, PLANTED_DELAY, facts))
    return planted.visible


def make_speedup_facts(
    speedup: Speedup,
    judged: BudgetFacts | None,
    action: OnInconclusive,
    line: str,
    *,
    clearance: float | None = 1.0,
    threads: int | None,
) -> SpeedupFacts:
    """Makes the facts on a duel that the record stores.

    action: what an undecided budget does. line: the message. clearance: the factor by which the speed-up must
    clear its budget. threads: the threads of a call; None if the models ran in servers.
    """
    return SpeedupFacts(
        speedup=speedup.speedup,
        speedup_interval=speedup.claimed_interval,
        noise_floor=speedup.noise_floor,
        clearance=clearance,
        speedup_of_minima=speedup.of_minima,
        duel_rounds=speedup.rounds,
        duel_threads=threads,
        budgets=[replace(judged, on_inconclusive=action)] if judged else [],
        verdict=judged.verdict if judged else None,
        message=line,
        duel_measured=format_now(),
    )

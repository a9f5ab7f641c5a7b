"""Latency: absolute times of one call, by pytest-benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from slimgate._system.garbage import no_collection
from slimgate.judge.speed import Speedup
from slimgate.models.quantized_files import COMPUTED_UNPACKED
from slimgate.plugin.config import BENCHMARKS
from slimgate.plugin.gates.reporting import Report, report_build
from slimgate.protocols import Workload
from slimgate.run.gate_results import now, part
from slimgate.run.measure.latency import (
    plan_rounds,
    summarise,
    tokenize_ms,
)
from slimgate.run.run import ModelHandle
from slimgate.suite.suite import Suite

EXTRA_INFO = ("p50_ms", "p90_ms", "p95_ms", "p99_ms", "throughput_per_s", "rounds", "tokens", "threads")


def test_latency(
    suite: Suite, timed: ModelHandle, workload: Workload, report_part: Report, request: pytest.FixtureRequest
) -> None:
    """One workload through the teacher or a variant; the forward call on prepared tensors."""
    reason = why_not_timed(request.config) or times_of_another_format(timed)
    if reason is not None:
        pytest.skip(reason)
    batch = timed.run.workload(timed.name, workload)
    call = timed.caller(batch.inputs)
    report_build(timed, report_part)
    measure = suite.measure
    benchmark: Any = request.getfixturevalue("benchmark")
    _describe(benchmark, suite, timed.name, workload.id)
    with timed.run.watch.stage(f"{timed.name} · rounds of {workload.id}", still=True):
        made, rounds = plan_rounds(
            call, warmup=measure.warmup, rounds=measure.rounds, max_seconds=measure.max_seconds / 2
        )
        with no_collection():
            benchmark.pedantic(call, rounds=rounds, iterations=1)
    times = summarise(benchmark.stats.stats.data, workload.batch)
    facts: dict[str, Any] = {
        **vars(times),
        "warmup": made,
        "threads": suite.threads,
        "tokens": int(next(iter(batch.inputs.values())).shape[1]),
        "tokenize_ms": tokenize_ms(suite, timed.run.rows.gate, batch.positions, timed.built.artifact.folder),
        "measured": now(),
    }
    benchmark.extra_info.update({key: facts[key] for key in EXTRA_INFO if facts[key] is not None})
    described = request.config.stash.setdefault(BENCHMARKS, {})
    described[suite.path, timed.name, workload.id] = benchmark.extra_info
    report_part(part("latency", timed.name, workload.id, facts))


def _describe(benchmark: Any, suite: Suite, name: str, workload: str) -> None:
    """What pytest-benchmark's table and files say of an entry; it copies these when timing begins.

    Its own `params` are pytest's, of which it writes the workload as "UNSERIALIZABLE".
    """
    benchmark.group = f"{suite.shown} {workload}"
    benchmark.params = {"variant": name, "workload": workload}
    benchmark.extra_info.update(suite=suite.shown, variant=name, workload=workload)


def describe_speedup(config: pytest.Config, key: tuple[Path, str, str], found: Speedup) -> None:
    """Adds a duel's result to the entry of its latency, where that was measured in the same run.

    key: suite file, variant, workload.
    """
    entry = config.stash.get(BENCHMARKS, {}).get(key)
    if entry is not None:
        entry.update(speedup=found.speedup, speedup_interval=list(found.claimed_interval))


def times_of_another_format(*models: ModelHandle) -> str | None:
    """Why the times and the memory of these models say nothing: the weights of one were unpacked."""
    for model in models:
        stored = model.built.artifact.manifest.get("stored")
        if stored and stored["computed"] == COMPUTED_UNPACKED:
            return (
                f"{model.name} is not timed: its weights ({stored['format']}, {stored['scheme']}) were "
                "unpacked to floating point, and times of those are not times of that format"
            )
    return None


def why_not_timed(config: pytest.Config) -> str | None:
    """Why nothing is timed in this run; None where it is."""
    if not config.pluginmanager.hasplugin("benchmark"):
        return "latency was not measured: pytest-benchmark is not loaded"
    if config.getoption("benchmark_skip", False) and not config.getoption("benchmark_only", False):
        return "latency was not measured: --benchmark-skip"
    if hasattr(config, "workerinput"):
        return "latency was not measured: xdist workers share the machine (-n)"
    if getattr(getattr(config, "_benchmarksession", None), "disabled", False):
        return "latency was not measured: --benchmark-disable"
    return None

"""Makes lines for a dashboard from a record: a flat object for each figure of a model.

All lines have the same fields. A field is None if it does not apply to the figure, or was not measured. If a
value has a unit, the name of the field ends with the unit.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import Field

from slimgate.budgets.base import Unit
from slimgate.judge.budget_kinds import find_builds_budget
from slimgate.record.run import RunRecord, VariantRecord
from slimgate.results.base import BudgetFacts, Verdict
from slimgate.results.facts import Facts, JudgedFacts
from slimgate.results.latency import LatencyFacts
from slimgate.results.quality import QualityFacts, SinceFacts

Kind = Literal[
    "metric",
    "since_baseline",
    "confirm",
    "behaviour",
    "size",
    "memory",
    "flops",
    "measurement",
    "latency",
    "load_test",
    "kl_log",
    "error",
]
Bounds = tuple[float, float] | None
_TIMES = ("p50_ms", "p95_ms", "mean_ms", "throughput_per_s", "tokens_per_s")


def _make_column(description: str) -> Any:
    return Field(default=None, description=description)


class Line(Facts):
    """One figure of one model of one run."""

    run: str = Field(description="when the run ended; together with `suite` it identifies the run")
    suite: str = Field(description="the suite's path")
    suite_digest: str = Field(description="digest of the suite's file and of all files that it extends")
    release: str | None = _make_column("the name under which the run was accepted")
    status: str = Field(
        description="the status of the whole run: PASS, FAIL, INCONCLUSIVE, partial, measured"
    )
    slimgate: str = Field(description="the version of slimgate that judged the run")
    device: str = Field(description="cpu, cuda, …")
    cpu: str = Field(description="the processor's name")
    gate_digest: str | None = _make_column(
        "digest of the gate rows; do not compare values from different gate rows"
    )
    variant: str = Field(description="the name of the model; the teacher's name is `teacher`")
    gated: bool = Field(description="whether the model can fail the run")
    artifact_digest: str | None = _make_column("digest of the files needed to predict")
    runtime: str | None = _make_column("the runtime that executes these files")
    kind: Kind = Field(
        description="the subject of the line: `metric`, `since_baseline` (a metric compared with the "
        "baseline), `confirm` (a metric on the confirm rows), `behaviour` (flips and agreement with the "
        "teacher), `size`, `memory`, `flops`, `measurement`, `latency`, `load_test`, `kl_log`, or `error` "
        "(the model could not be built or judged)"
    )
    name: str | None = _make_column(
        "the name of the metric, measurement or figure of a KL log, the workload of a latency, or the load "
        "of a load test; for a time of a load test, also the part of the answer and the percentile"
    )
    error: str | None = _make_column("why the model could not be built or judged")
    value: float | None = _make_column("the value of the metric, measurement or figure of a KL log")
    reference_value: float | None = _make_column(
        "the teacher's value; for since_baseline, the baseline's value"
    )
    value_ratio: float | None = _make_column("variant / teacher of a measurement, the median over rounds")
    drop: float | None = _make_column("how much worse the model is, in `drop_unit`")
    drop_low: float | None = _make_column("lower bound of the drop's 90 % interval")
    drop_high: float | None = _make_column("upper bound of the drop's 90 % interval")
    drop_unit: Unit | None = _make_column("points, or percent of the teacher's value")
    builds: int | None = _make_column("number of builds by seed; `drop` is that of the first seed's build")
    builds_drop: float | None = _make_column("mean drop of the builds, in `drop_unit`")
    builds_drop_low: float | None = _make_column(
        "lower bound of the 90 % interval of `builds_drop`, over builds and rows; only for a budget with "
        '`over = "builds"`'
    )
    builds_drop_high: float | None = _make_column("upper bound of the same interval")
    builds_drop_sd: float | None = _make_column(
        "standard deviation of the drop between builds, on the same rows"
    )
    rows: int | None = _make_column(
        "number of judged rows, of requests of a load test, or of chunks of a KL log"
    )
    rows_needed: int | None = _make_column("number of gate rows that would decide an undecided budget")
    flips_percent: float | None = _make_column("percentage of rows that turned from right to wrong")
    agreement: float | None = _make_column("share of rows with the same answer as the teacher")
    artifact_bytes: int | None = _make_column("bytes of the files needed to predict")
    compression: float | None = _make_column("teacher bytes / variant bytes")
    peak_bytes: int | None = _make_column("peak memory of a process that loads the model and predicts")
    memory_ratio: float | None = _make_column("variant peak / teacher peak")
    flops: int | None = _make_column("floating-point operations of one row, two for each multiply-add")
    flops_ratio: float | None = _make_column("variant FLOPs / teacher FLOPs")
    time_ms: float | None = _make_column("the percentile of the times of a load test that `name` states")
    p50_ms: float | None = _make_column("median time of a call")
    p95_ms: float | None = _make_column("95th percentile of the time of a call")
    mean_ms: float | None = _make_column("mean time of a call")
    throughput_per_s: float | None = _make_column("rows per second")
    tokens_per_s: float | None = _make_column("new tokens per second, over all rows of a call")
    speedup: float | None = _make_column("teacher time / variant time, from their duel or their load tests")
    speedup_low: float | None = _make_column(
        "lower bound of the speed-up's 95 % interval; 90 % for load tests"
    )
    speedup_high: float | None = _make_column(
        "upper bound of the speed-up's 95 % interval; 90 % for load tests"
    )
    budgets: str | None = _make_column("kind=limit of each budget, separated by commas")
    verdict: Verdict | None = _make_column("PASS, FAIL, INCONCLUSIVE; null without a budget")


def make_lines(record: RunRecord) -> Iterator[Line]:
    """A line for each result that a budget may limit, and for each other figure; the teacher's come first."""
    for model in record.variants:
        model_fields = _describe_model(record, model)
        for figure_fields in _list_figures(model):
            yield Line.model_validate({**model_fields, **figure_fields})


def _describe_model(record: RunRecord, model: VariantRecord) -> dict[str, object]:
    return {
        "run": record.created,
        "suite": record.suite.path,
        "suite_digest": record.suite.digest,
        "release": record.accepted.name if record.accepted else None,
        "status": record.verdict.status,
        "slimgate": record.slimgate,
        "device": record.machine.device,
        "cpu": record.machine.cpu,
        "gate_digest": record.task.find_digest("gate"),
        "variant": model.name,
        "gated": model.gated,
        "artifact_digest": model.artifact.digest if model.artifact else None,
        "runtime": model.artifact.runtime if model.artifact else None,
    }


def _list_figures(model: VariantRecord) -> Iterator[dict[str, object]]:
    for name, facts in model.quality.items():
        yield {"kind": "metric", "name": name, "reference_value": facts.teacher, **_describe_metric(facts)}
    for name, since in model.since_baseline.items():
        yield {
            "kind": "since_baseline",
            "name": name,
            "reference_value": since.baseline,
            **_describe_metric(since),
        }
    if (behaviour := model.behaviour) is not None:
        percent = behaviour.flips.percent if behaviour.flips else None
        figures = {"flips_percent": percent, "agreement": behaviour.agreement, "rows": behaviour.n}
        yield {"kind": "behaviour", **figures, **_describe_verdict(behaviour)}
    if model.artifact is not None:
        line: dict[str, object] = {"kind": "size", "artifact_bytes": model.artifact.bytes}
        if (size := model.size) is not None:
            line |= {"compression": size.compression, **_describe_verdict(size)}
        yield line
    if (memory := model.memory) is not None:
        figures = {"peak_bytes": memory.peak_bytes, "memory_ratio": memory.ratio}
        yield {"kind": "memory", **figures, **_describe_verdict(memory)}
    if (flops := model.flops) is not None:
        figures = {"flops": flops.flops, "flops_ratio": flops.ratio}
        yield {"kind": "flops", **figures, **_describe_verdict(flops)}
    for name, figure in model.measurements.items():
        values = {"value": figure.value, "reference_value": figure.teacher, "value_ratio": figure.ratio}
        yield {"kind": "measurement", "name": name, **values, **_describe_verdict(figure)}
    for name, facts in model.confirm.items():
        yield {"kind": "confirm", "name": name, "reference_value": facts.teacher, **_describe_metric(facts)}
    yield from _list_times(model)
    yield from _list_load_tests(model)
    if (kl_log := model.kl_log) is not None:
        yield {"kind": "kl_log", "rows": kl_log.chunks, **_describe_verdict(kl_log)}
        for name, kl_figure in kl_log.figures.items():
            yield {"kind": "kl_log", "name": name, "rows": kl_log.chunks, "value": kl_figure.value}
    if model.error is not None:
        yield {"kind": "error", "error": model.error}


def _list_load_tests(model: VariantRecord) -> Iterator[dict[str, object]]:
    """A line for each load with its budgets and verdict, and a line for each time."""
    for load, facts in model.load_tests.items():
        line = {"kind": "load_test", "rows": facts.target.requests}
        yield {**line, "name": load, **_describe_verdict(facts)}
        for times in facts.times:
            low, high = times.claimed_interval
            yield {
                **line,
                "name": f"{load}/{times.part}/p{100 * times.quantile:g}",
                "time_ms": times.target,
                "speedup": times.ratio,
                "speedup_low": low,
                "speedup_high": high,
            }


def _describe_metric(facts: QualityFacts | SinceFacts) -> dict[str, object]:
    low, high = _split_bounds(facts.interval)
    return {
        "value": facts.value,
        "drop": facts.drop_points,
        "drop_low": low,
        "drop_high": high,
        "drop_unit": None if facts.drop_points is None else facts.unit,
        **_describe_builds(facts),
        "rows": facts.n,
        "rows_needed": facts.n_needed,
        **_describe_verdict(facts),
    }


def _describe_builds(facts: QualityFacts | SinceFacts) -> dict[str, object]:
    """The drop of all builds; empty for a single one, and for a comparison with the baseline."""
    spread = facts.builds if isinstance(facts, QualityFacts) else None
    if spread is None:
        return {}
    judged = find_builds_budget(facts.budgets)
    low, high = _split_bounds(judged.interval if judged is not None else None)
    return {
        "builds": len(spread.seeds),
        "builds_drop": spread.mean_points,
        "builds_drop_low": low,
        "builds_drop_high": high,
        "builds_drop_sd": spread.sd_points,
    }


def _list_times(model: VariantRecord) -> Iterator[dict[str, object]]:
    for workload, times in model.latency.items():
        low, high = _split_bounds(times.speedup_interval)
        yield {
            "kind": "latency",
            "name": workload,
            **{key: getattr(times, key) for key in _TIMES},
            "speedup": times.speedup,
            "speedup_low": low,
            "speedup_high": high,
            **_describe_time_budgets(times),
        }


def _describe_time_budgets(times: LatencyFacts) -> dict[str, object]:
    """The budgets of the duel and the budgets on milliseconds, with the worst verdict."""
    in_ms = [] if times.limits is None else times.limits.budgets
    return _make_verdict_fields([*times.budgets, *in_ms], times.worst)


def _describe_verdict(facts: JudgedFacts) -> dict[str, object]:
    return _make_verdict_fields(facts.budgets, facts.verdict)


def _make_verdict_fields(budgets: list[BudgetFacts], verdict: Verdict | None) -> dict[str, object]:
    limits = ",".join(f"{budget.kind}={budget.limit:g}" for budget in budgets)
    return {"budgets": limits or None, "verdict": verdict}


def _split_bounds(interval: Bounds) -> tuple[float | None, float | None]:
    return interval or (None, None)

"""The tests of figures of a model: size, precision, FLOPs, peak memory, measurements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from math import inf, nan
from numbers import Real
from pathlib import Path
from statistics import median

import numpy as np
import pytest

from slimgate._system.error_places import format_user_error
from slimgate._system.number_text import format_apart
from slimgate._system.timestamps import format_now
from slimgate.errors import MeasureError, SlimgateError
from slimgate.judge.budget_tables import FlopsBudget, QuantizedBudget
from slimgate.judge.figures import (
    READINGS,
    MeasuredFigures,
    compute_memory_ratio,
    format_figures_message,
    format_memory_message,
    format_size_message,
    judge_compression,
    judge_figures,
    judge_flops,
    judge_memory,
    judge_quantized,
)
from slimgate.models.weight_shares import WeightShares, explain_missing_shares, read_artifact_shares
from slimgate.plugin.config import is_xdist_worker
from slimgate.plugin.gates.latency import describe_unpacked_weights
from slimgate.plugin.gates.reporting import Report, conclude, refuse_unmeasured, report_builds
from slimgate.plugins.loading import load
from slimgate.plugins.measurement import Measurement
from slimgate.results.base import BudgetFacts, find_worst_verdict
from slimgate.results.checks import FLOPS, MEASUREMENT, MEMORY, SIZE, TEACHER
from slimgate.results.figures import FlopsFacts, MeasurementFacts, MemoryFacts, SizeFacts
from slimgate.run.gate_results import GateResult
from slimgate.run.measure.memory import MemoryReading
from slimgate.run.measure.operations import Operations
from slimgate.run.model_handle import ModelHandle
from slimgate.suite.suite import Suite

GIGA = 10**9


def test_size(suite: Suite, teacher: ModelHandle, variant: ModelHandle, report_result: Report) -> None:
    """Compares the bytes of a variant's artifact, and the operations of a call, with the teacher's.

    A budget on precision is judged on the variant alone.
    """
    if (reason := describe_not_sized(suite, variant.name)) is not None:
        pytest.skip(reason)
    report_builds(report_result, teacher, variant)
    before, after = teacher.built.artifact.manifest["bytes"], variant.built.artifact.manifest["bytes"]
    budgets, judged = suite.budgets[variant.name], list[BudgetFacts]()
    if (budget := budgets.size) is not None:
        judged.append(judge_compression(before, after, budget.limit, budget.reason))
    line = format_size_message(variant.name, before, after, judged[-1] if judged else None)
    if (of_weights := budgets.quantized) is not None:
        artifact = variant.built.artifact
        shares = read_artifact_shares(artifact.kind, artifact.folder)
        judged += _judge_weights(variant, shares, of_weights)
        line += _describe_quantized(shares, judged[-1]) if shares is not None else ""
    facts = SizeFacts(
        compression=before / after,
        budgets=judged,
        verdict=find_worst_verdict([budget.verdict for budget in judged]),
        message=line,
        measured=format_now(),
    )
    report_result(GateResult(SIZE, variant.name, "", facts))
    flops = _report_flops(teacher, variant, suite.budgets[variant.name].flops, report_result)
    conclude(variant, facts, flops)


def _judge_weights(
    variant: ModelHandle, shares: WeightShares | None, budget: QuantizedBudget
) -> list[BudgetFacts]:
    """The verdict on the precision of weights; none if it is unknown and the variant is not gated.

    Raises MeasureError if the variant is gated and its files do not say their precision.
    """
    if shares is not None:
        return [judge_quantized(shares.quantized_share, budget.limit, budget.reason)]
    if variant.variant.gated:
        artifact = variant.built.artifact
        off = f'size = {{ {budget.kind} = "off", reason = "not known" }}'
        raise MeasureError(
            f"{variant.name}: {explain_missing_shares(artifact.kind, artifact.folder)}, so "
            f"{budget.kind} cannot be judged; switch it off: [budgets.variants.{variant.name}] {off}"
        )
    return []


def _describe_quantized(shares: WeightShares, judged: BudgetFacts) -> str:
    """The end of a message on the quantized share.

    Example: `; 0.0 % of the weights of its blocks have fewer than 16 bits (claimed: gptq), budget 95 %`.
    """
    claimed = f" (claimed: {shares.claim})" if shares.claim else ""
    limit = 100 * judged.limit
    [share] = format_apart([100 * shares.quantized_share], [limit])
    of_weights = f"{share} % of the weights of its blocks"
    return f"; {of_weights} have fewer than 16 bits{claimed}, budget {limit:g} %: {judged.verdict}"


def describe_not_sized(suite: Suite, name: str) -> str | None:
    """Why the files and calls of a variant are not compared with the teacher's; None if they are."""
    if suite.is_sized(name):
        return None
    endpoint = TEACHER if suite.teacher.is_endpoint else name
    return f"{endpoint} is an endpoint: slimgate cannot see its files, calls and memory"


def _report_flops(
    teacher: ModelHandle, variant: ModelHandle, budget: FlopsBudget | None, report_result: Report
) -> FlopsFacts:
    """Reports the operations of both models, and judges the budget on them.

    Raises MeasureError if the budget gates and the operations of a model are not known.
    """
    before, after = teacher.operations, variant.operations
    report_result(GateResult(FLOPS, TEACHER, "", _describe_operations(before)))
    facts = _describe_operations(after)
    if before.macs is None or after.macs is None:
        uncounted, unknown = (teacher, before) if before.macs is None else (variant, after)
        if budget is not None and variant.variant.gated:
            off = f'flops = {{ {budget.kind} = "off", reason = "not counted" }}'
            raise MeasureError(
                f"{variant.name}: the FLOPs of {uncounted.name} are not known ({unknown.note}), "
                "so the budget on "
                f"them cannot be judged; switch it off: [budgets.variants.{variant.name}] {off}"
            )
        report_result(GateResult(FLOPS, variant.name, "", facts))
        return facts
    ratio = after.macs / before.macs
    judged = judge_flops(before.macs, after.macs, budget.limit, budget.reason) if budget else None
    [share] = format_apart([ratio], [judged.limit] if judged else [], fewest=3)
    amounts = f"{_format_giga(after)} vs {_format_giga(before)} GFLOPs a row"
    line = f"{variant.name}: {amounts}, {share} of the teacher's"
    if judged:
        line += f", budget {judged.limit:g}: {judged.verdict}"
    fields = {
        "ratio": ratio,
        "budgets": [judged] if judged else [],
        "verdict": judged.verdict if judged else None,
        "message": line,
    }
    facts = facts.replace(**fields)
    report_result(GateResult(FLOPS, variant.name, "", facts))
    return facts


def _describe_operations(operations: Operations) -> FlopsFacts:
    return FlopsFacts(
        flops=operations.flops,
        macs=operations.macs,
        macs_by_type=dict(operations.by_type),
        tokens=operations.tokens,
        note=operations.note,
        measured=format_now(),
    )


def _format_giga(operations: Operations) -> str:
    return f"{(operations.flops or 0) / GIGA:.3g}"


def test_memory(
    suite: Suite, teacher: ModelHandle, memory_variant: ModelHandle, report_result: Report
) -> None:
    """Compares the peak memory of a variant with the teacher's.

    A fresh process loads the model and predicts the largest workload. There are six processes for each model
    if the variant has a budget, else one.
    """
    if (reason := describe_unpacked_weights(teacher, memory_variant)) is not None:
        pytest.skip(reason)
    report_builds(report_result, teacher, memory_variant)
    budget = suite.budgets[memory_variant.name].memory
    action = (budget and budget.on_inconclusive) or suite.measure.on_inconclusive
    readings = READINGS if budget else 1
    before, after = teacher.measure_memory(readings), memory_variant.measure_memory(readings)
    device = all(reading.device_peak_bytes is not None for reading in (*before, *after))
    teacher_peaks, variant_peaks = _list_peaks(before, device=device), _list_peaks(after, device=device)
    ratio = compute_memory_ratio(teacher_peaks, variant_peaks)
    judged = judge_memory(ratio, budget.limit, budget.reason) if budget else None
    line = format_memory_message(memory_variant.name, ratio, judged)
    workload = memory_variant.run.largest_workload.id
    report_result(GateResult(MEMORY, TEACHER, "", _describe_memory(before, teacher_peaks, workload)))
    fields = {
        "ratio": ratio.ratio,
        "spread": ratio.spread if ratio.readings > 1 else None,
        "budgets": [replace(judged, on_inconclusive=action)] if judged else [],
        "verdict": judged.verdict if judged else None,
        "message": line,
    }
    facts = _describe_memory(after, variant_peaks, workload).replace(**fields)
    report_result(GateResult(MEMORY, memory_variant.name, "", facts))
    conclude(memory_variant, facts)


def _list_peaks(readings: Sequence[MemoryReading], *, device: bool) -> list[int]:
    """The peak of each reading: of the device's memory if there is one, because that is what runs out."""
    return [reading.device_peak_bytes or 0 if device else reading.peak_bytes for reading in readings]


def _describe_memory(readings: Sequence[MemoryReading], peaks: Sequence[int], workload: str) -> MemoryFacts:
    """Medians of the readings, as the record stores them."""
    rows = [asdict(reading) for reading in readings]
    medians: dict[str, float | None] = {}
    for name in rows[0]:
        values = [row[name] for row in rows]
        medians[name] = None if None in values else median(values)
    bytes_ = {name: value if value is None else round(value) for name, value in medians.items()}
    fields = {**bytes_, "load_seconds": medians["load_seconds"]}
    return MemoryFacts(
        **fields,
        workload=workload,
        readings=len(readings),
        peaks=list(peaks),
        measured=format_now(),
    )


@dataclass(frozen=True)
class BuiltModel:
    """The model of a run that a measurement measures. It implements MeasuredModel."""

    handle: ModelHandle

    @property
    def name(self) -> str:
        return self.handle.name

    @property
    def folder(self) -> Path:
        return self.handle.built.artifact.folder

    def load_in_new_process(self) -> float:
        return self.handle.run.read_memory(self.name).load_seconds


def test_measurement(
    suite: Suite,
    teacher: ModelHandle,
    variant: ModelHandle,
    measurement: str,
    report_result: Report,
    request: pytest.FixtureRequest,
) -> None:
    """Compares a figure of a variant with the teacher's. Both are measured in turns."""
    plugin: Measurement = load("measurement", measurement)
    reason = _describe_not_measured(plugin, request.config, teacher, variant)
    refuse_unmeasured(variant, reason, f"{plugin.title} has a budget")
    report_builds(report_result, teacher, variant)
    figures = _take_readings(plugin, measurement, BuiltModel(teacher), BuiltModel(variant))
    judged = [
        replace(
            judge_figures(figures, budget),
            on_inconclusive=budget.on_inconclusive or suite.measure.on_inconclusive,
        )
        for budget in suite.budgets[variant.name].measurements[measurement]
    ]
    facts = MeasurementFacts(
        title=plugin.title,
        unit=plugin.unit,
        teacher=figures.teacher_value.value,
        value=figures.value.value,
        teacher_readings=figures.teacher.tolist(),
        readings=figures.variant.tolist(),
        ratio=figures.ratio.value,
        interval=figures.ratio.interval,
        budgets=judged,
        verdict=find_worst_verdict([facts.verdict for facts in judged]),
        message=format_figures_message(variant.name, plugin.title, plugin.unit, figures, judged),
        measured=format_now(),
    )
    report_result(GateResult(MEASUREMENT, variant.name, measurement, facts))
    conclude(variant, facts)


def _describe_not_measured(plugin: Measurement, config: pytest.Config, *models: ModelHandle) -> str | None:
    """Why the figure of these models is not measured; None if it can be."""
    if plugin.readings > 1 and is_xdist_worker(config):
        return "it was not measured: xdist workers share the machine (-n)"
    return describe_unpacked_weights(*models)


def _take_readings(
    plugin: Measurement, name: str, teacher: BuiltModel, variant: BuiltModel
) -> MeasuredFigures:
    """One reading of each model in each round, in alternating order. Raises MeasureError."""
    readings: dict[str, list[float]] = {teacher.name: [], variant.name: []}
    for number in range(plugin.readings):
        for model in (variant, teacher) if number % 2 else (teacher, variant):
            readings[model.name].append(_take_reading(plugin, name, model, number + 1))
    return MeasuredFigures(np.array(readings[teacher.name]), np.array(readings[variant.name]))


def _take_reading(plugin: Measurement, name: str, model: BuiltModel, number: int) -> float:
    stage = f"{model.name} · {plugin.title}, reading {number} of {plugin.readings}"
    try:
        with model.handle.run.watch.stage(stage, still=True):
            value: object = plugin.measure(model)
    except SlimgateError as error:
        raise type(error)(f"{model.name}: measurement {name} failed: {error}") from error
    except Exception as error:  # a user's measurement may raise anything; it becomes one line
        raise MeasureError(f"{model.name}: measurement {name} failed: {format_user_error(error)}") from error
    figure = float(value) if isinstance(value, Real) and not isinstance(value, bool) else nan
    if not 0 < figure < inf:
        raise MeasureError(f"{model.name}: measurement {name} gave {value!r}, expected a number above 0")
    return figure

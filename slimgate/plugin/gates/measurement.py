"""The test of a budget on the figure of a measurement."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf, nan
from numbers import Real
from pathlib import Path

import numpy as np
import pytest

from slimgate._system.timestamps import format_now
from slimgate.errors import MeasureError, SlimgateError, format_error
from slimgate.judge.figures import MeasuredFigures, format_figures_message, judge_figures
from slimgate.plugin.config import is_xdist_worker
from slimgate.plugin.gates.latency import describe_unpacked_weights
from slimgate.plugin.gates.reporting import Report, conclude, refuse_unmeasured, report_builds
from slimgate.plugins.loading import load
from slimgate.plugins.measurement import Measurement
from slimgate.results.base import find_worst_verdict
from slimgate.results.checks import MEASUREMENT
from slimgate.results.figures import MeasurementFacts
from slimgate.run.gate_results import GateResult
from slimgate.run.model_handle import ModelHandle
from slimgate.suite.suite import Suite


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
    except SlimgateError:
        raise
    except Exception as error:  # a user's measurement may raise anything; it becomes one line
        raise MeasureError(f"{model.name}: measurement {name} failed: {format_error(error)}") from error
    figure = float(value) if isinstance(value, Real) and not isinstance(value, bool) else nan
    if not 0 < figure < inf:
        raise MeasureError(f"{model.name}: measurement {name} gave {value!r}, expected a number above 0")
    return figure

"""The lines that slimgate would write now for the results of a record, next to the lines in the record."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from math import exp

from slimgate.judge.figures import format_size_message
from slimgate.judge.message import format_message
from slimgate.judge.speed import Speedup, format_speed_message
from slimgate.judge.verdict import QualityJudgement
from slimgate.record.run import RunRecord
from slimgate.results.latency import LatencyFacts
from slimgate.results.quality import QualityFacts


def list_recorded_lines(record: RunRecord) -> Iterator[tuple[str | None, str]]:
    """(line in the record, line of the current code) for each metric, size and speed-up."""
    teacher, *variants = record.variants
    assert teacher.artifact is not None
    for model in variants:
        for name, facts in model.quality.items():
            yield facts.message, _format_quality(model.name, name, facts)
        for workload, times in model.latency.items():
            yield times.message, _format_speed(model.name, workload, times)
        if model.size is not None and model.artifact is not None:
            sizes = teacher.artifact.bytes or 0, model.artifact.bytes or 0
            budget = next(iter(model.size.budgets), None)
            yield model.size.message, format_size_message(model.name, *sizes, budget)


def _format_quality(model: str, name: str, facts: QualityFacts) -> str:
    names = {field.name for field in fields(QualityJudgement)} & {*QualityFacts.model_fields} - {"verdict"}
    recorded = {field: getattr(facts, field) for field in names}
    other = {"metric": name, "changed": None, "budgets": tuple(facts.budgets), "warnings": ()}
    return format_message(model, QualityJudgement(**{**recorded, **other}))


def _format_speed(model: str, workload: str, times: LatencyFacts) -> str:
    assert times.speedup is not None
    assert times.speedup_interval is not None
    assert times.noise_floor is not None
    low, high = times.speedup_interval
    interval = low * exp(times.noise_floor), high / exp(times.noise_floor)
    duel = Speedup(times.speedup, interval, 1.0, times.noise_floor, times.duel_rounds or 0)
    return format_speed_message(model, workload, duel, next(iter(times.budgets), None))

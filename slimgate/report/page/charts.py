"""The data of the page's charts for each model: drops, speed-ups, sizes, bits, sparsity, times of a call."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from slimgate._system.number_text import MISSING, format_megabytes, format_significant
from slimgate.judge.message import format_cap
from slimgate.record.files import StoredRecord
from slimgate.record.run import RunRecord, VariantRecord
from slimgate.report.figures import (
    describe_compression,
    describe_duel,
    describe_speedup,
    format_compression,
    format_drop_words,
)
from slimgate.report.history import find_metric_value, list_gated_metrics, list_model_names
from slimgate.report.page.drawing import select_drop_limits
from slimgate.report.page.embedding import round_number
from slimgate.report.status import (
    describe_workload,
    find_median_ms,
    find_teacher,
    format_status_cell,
    list_budgeted_metrics,
    list_model_metrics,
    list_models,
    list_shippable,
    list_variants,
    list_workloads,
)
from slimgate.results.checks import TEACHER
from slimgate.results.latency import LatencyFacts
from slimgate.results.quality import QualityFacts

# This many different values make a curve.
_CURVE = 3
_NUMBERED = re.compile(r"(.*?)-(\d+)(-.*)?$")


def make_chart_data(record: RunRecord, releases: Sequence[StoredRecord] = ()) -> dict[str, Any]:
    """The data for the scripts. metrics: those with a budget first; limits: the drop that all allow."""
    names = list(dict.fromkeys([*list_budgeted_metrics(record), *list_model_metrics(record)]))
    shippable = {model.name for model in list_shippable(record)}
    shown = [
        _make_model_entry(record, model, inside=model.name in shippable) for model in list_models(record)
    ]
    return {
        "metrics": names,
        "units": {name: _find_unit(record, name) for name in names},
        "limits": {name: _find_shared_limit(record, name) for name in names},
        "workloads": {name: describe_workload(name) for name in list_workloads(record)},
        "axes": [
            key
            for key in ("bits", "sparsity")
            if len({round(model[key], 2) for model in shown if model.get(key) is not None}) >= _CURVE
        ],
        "models": shown,
        "history": _make_history(releases),
    }


def _make_history(releases: Sequence[StoredRecord]) -> dict[str, Any] | None:
    """Values of each gated metric by model, one for each release. None if there is nothing to compare."""
    if len(releases) < 2:
        return None
    values = {metric: _list_values_by_model(releases, metric) for metric in list_gated_metrics(releases)}
    if not any(values.values()):
        return None
    gates = [release.record.task.find_digest("gate") for release in releases]
    return {
        "releases": [release.name for release in releases],
        "same_rows": [gate == gates[-1] for gate in gates],
        "joined": [before == after for before, after in pairwise(gates)],
        "metrics": {metric: lines for metric, lines in values.items() if lines},
    }


def _list_values_by_model(releases: Sequence[StoredRecord], metric: str) -> dict[str, list[float | None]]:
    """A value for each release, of the models that have any."""
    lines = {
        name: [round_number(find_metric_value(release, name, metric)) for release in releases]
        for name in list_model_names(releases)
    }
    return {name: line for name, line in lines.items() if any(value is not None for value in line)}


def _make_model_entry(record: RunRecord, model: VariantRecord, *, inside: bool) -> dict[str, Any]:
    artifact, original = model.artifact, find_teacher(record)
    entry: dict[str, Any] = {
        "name": model.name,
        "series": name_series(model.name),
        "standing": format_status_cell(record, model).replace("*", ""),
        "teacher": model.name == TEACHER,
        "inside": inside,
        "gated": model.gated,
        "drops": {name: _make_drop_entry(model, facts) for name, facts in model.quality.items()},
        "speed": {name: _make_speed_entry(original, model, name) for name in list_workloads(record)},
        "times": {name: _make_times_entry(facts) for name, facts in model.latency.items()},
    }
    if artifact is not None and artifact.bytes is not None:
        compression = model.size.compression if model.size else None
        smaller_words = describe_compression(model.size)
        if model.name == TEACHER:
            compression, smaller_words = 1.0, format_compression(1.0)
        entry |= {
            "bytes": artifact.bytes,
            "size": f"{format_megabytes(artifact.bytes)} MB",
            "compression": round_number(compression),
            "smaller": smaller_words or MISSING,
            "bits": round_number(
                8 * artifact.bytes / artifact.parameters if artifact.parameters else None, 4
            ),
            "sparsity": round_number(_compute_sparsity(artifact.parameters, artifact.nonzero_parameters), 4),
        }
    return entry


def _make_drop_entry(model: VariantRecord, facts: QualityFacts) -> list[Any] | None:
    """[drop, low, high, in words]: how much worse the value is than the teacher's."""
    if model.name == TEACHER:
        return [0.0, 0.0, 0.0, "reference"]
    if facts.drop_points is None:
        return None
    low, high = facts.interval or (None, None)
    words = format_drop_words(facts.drop_points, facts.interval, select_drop_limits(facts), unit=facts.unit)
    words = words and words + format_cap(facts.budgets)
    row = [round_number(facts.drop_points), round_number(low), round_number(high), words]
    return None if row[0] is None else row


def _make_speed_entry(
    original: VariantRecord | None, model: VariantRecord, workload: str
) -> list[Any] | None:
    """[speed-up, its lower bound or None, in words]; from the medians if there was no duel."""
    if model.name == TEACHER:
        return [1.0, 1.0, "reference"]
    facts = model.latency.get(workload)
    if facts is not None and facts.speedup is not None and facts.speedup_interval is not None:
        words = describe_duel(facts)
        return [round_number(facts.speedup), round_number(facts.speedup_interval[0]), words]
    before, after = find_median_ms(original, workload), find_median_ms(model, workload)
    if before is None or not after:
        return None
    return [
        round_number(before / after),
        None,
        f"{describe_speedup(before / after)} by the medians, no interval",
    ]


def _make_times_entry(facts: LatencyFacts) -> dict[str, Any]:
    entry = {
        "min": facts.min_ms,
        "p50": facts.p50_ms,
        "p90": facts.p90_ms,
        "p95": facts.p95_ms,
        "p99": facts.p99_ms,
    }
    known = {name: round_number(value, 4) for name, value in entry.items()}
    return {
        **{name: value for name, value in known.items() if value is not None},
        "words": ", ".join(
            f"{name} {format_significant(value)}" for name, value in entry.items() if value is not None
        ),
    }


def _compute_sparsity(parameters: int | None, nonzero: int | None) -> float | None:
    return 1 - (nonzero or 0) / parameters if parameters else None


def _find_unit(record: RunRecord, metric: str) -> str:
    units = {model.quality[metric].unit for model in list_variants(record) if metric in model.quality}
    return "percent" if units == {"percent"} else "points"


def _find_shared_limit(record: RunRecord, metric: str) -> float | None:
    """The drop that the budgets of all gated models allow; None if they differ."""
    limits = {
        limit
        for model in record.variants
        if metric in model.quality and model.gated
        for limit in select_drop_limits(model.quality[metric])
    }
    return limits.pop() if len(limits) == 1 else None


def name_series(name: str) -> str:
    """`gptq-#` for gptq-4; a name without a number stays the same."""
    match = _NUMBERED.fullmatch(name)
    return name if match is None else f"{match[1]}-#{match[3] or ''}"

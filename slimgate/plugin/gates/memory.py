"""Memory: does a variant take as little of it, beside the teacher, as its budget wants?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from statistics import median
from typing import Any

import pytest

from slimgate.judge.facts import budget_facts
from slimgate.judge.size import READINGS, judge_memory, memory_message, memory_ratio
from slimgate.plugin.gates.latency import times_of_another_format
from slimgate.plugin.gates.reporting import Report, conclude, report_build
from slimgate.run.gate_results import format_now, make_part
from slimgate.run.measure.memory import MemoryReading
from slimgate.run.run import ModelHandle
from slimgate.suite.suite import TEACHER, Suite


def test_memory(suite: Suite, teacher: ModelHandle, weighed: ModelHandle, report_part: Report) -> None:
    """Peak memory of loading one variant and predicting the largest workload, beside the teacher's.

    Each reading is a fresh process, six of each model where the variant has a budget, else one.
    """
    if (reason := times_of_another_format(teacher, weighed)) is not None:
        pytest.skip(reason)
    report_build(teacher, report_part)
    report_build(weighed, report_part)
    budget = suite.budgets[weighed.name].memory
    action = (budget and budget.on_inconclusive) or suite.measure.on_inconclusive
    readings = READINGS if budget else 1
    before, after = teacher.memory(readings), weighed.memory(readings)
    device = all(reading.device_peak_bytes is not None for reading in (*before, *after))
    of_teacher, of_variant = _peaks(before, device=device), _peaks(after, device=device)
    ratio = memory_ratio(of_teacher, of_variant)
    judged = judge_memory(ratio, budget.limit, budget.reason) if budget else None
    line = memory_message(weighed.name, ratio, judged)
    workload = weighed.run.largest_workload.id
    report_part(make_part("memory", TEACHER, "", _facts(before, of_teacher, workload)))
    facts = {
        **_facts(after, of_variant, workload),
        "ratio": ratio.ratio,
        "spread": list(ratio.spread) if ratio.readings > 1 else None,
        "budgets": [budget_facts(judged, action)] if judged else [],
        "verdict": judged.verdict.value if judged else None,
        "message": line,
    }
    report_part(make_part("memory", weighed.name, "", facts))
    conclude(weighed, facts)


def _peaks(readings: Sequence[MemoryReading], *, device: bool) -> list[int]:
    """The peak of each reading: of the device where there is one, for that is what runs out."""
    return [reading.device_peak_bytes or 0 if device else reading.peak_bytes for reading in readings]


def _facts(readings: Sequence[MemoryReading], peaks: Sequence[int], workload: str) -> dict[str, Any]:
    """Medians of the readings, as the record has them."""
    rows = [asdict(reading) for reading in readings]
    middle = {
        name: None if any(row[name] is None for row in rows) else median(row[name] for row in rows)
        for name in rows[0]
    }
    bytes_ = {name: value if value is None else round(value) for name, value in middle.items()}
    return {
        **bytes_,
        "load_seconds": middle["load_seconds"],
        "workload": workload,
        "readings": len(readings),
        "peaks": list(peaks),
        "measured": format_now(),
    }

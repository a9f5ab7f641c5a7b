"""The summary at the end of a run: a line a variant."""

from __future__ import annotations

from tabulate import tabulate

from slimgate.record import QualityFacts, RunRecord, VariantRecord
from slimgate.report.escape import visible
from slimgate.report.standing import budgeted, models, standing

MEGABYTE = 1024**2
MISSING = "–"


def summary_table(record: RunRecord) -> list[str]:
    """Lines of a table: variant, size, speed-up by workload, drop of each budgeted metric, verdict."""
    names = budgeted(record)
    rows = [
        {
            "variant": visible(model.name),
            "MB": _size(model),
            "speed-up": _speed(model),
            **{f"{name} drop": _drop(model.quality.get(name)) for name in names},
            "verdict": standing(record, model, names).replace("*", ""),
        }
        for model in models(record)
    ]
    return tabulate(rows, headers="keys", tablefmt="simple", disable_numparse=True).splitlines()


def machine_lines(record: RunRecord) -> list[str]:
    """One line where the machine was not fit for timing; none where it was."""
    found = record.machine.warnings
    return [f"times may be off: {visible('; '.join(found))}"] if found else []


def _size(model: VariantRecord) -> str:
    return MISSING if model.artifact is None else f"{model.artifact.bytes / MEGABYTE:.1f}"


def _speed(model: VariantRecord) -> str:
    found = [f"{facts.speedup:.2f}×" for facts in model.latency.values() if facts.speedup is not None]
    return " / ".join(found) or MISSING


def _drop(facts: QualityFacts | None) -> str:
    if facts is None or facts.drop_points is None or facts.interval is None:
        return MISSING
    low, high = facts.interval
    return f"{facts.drop_points:z.1f} [{low:z.1f}, {high:z.1f}]"

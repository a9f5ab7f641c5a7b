"""Memory: what loading each model and predicting with it takes, in a process of its own."""

from __future__ import annotations

from collections.abc import Callable

from slimgate._system.escape import escaped
from slimgate.record import MemoryFacts, RunRecord
from slimgate.report.figures import MISSING, count, fixed, megabytes
from slimgate.report.standing import models, workload_words
from slimgate.report.tables import Column, table, without_empty


def memory_table(record: RunRecord) -> str:
    """A line for each model that was measured; empty text where none was."""
    found = [(model.name, model.memory) for model in models(record) if model.memory is not None]

    def column(head: str, cell: Callable[[MemoryFacts], str]) -> Column:
        return Column(head, [cell(facts) for _, facts in found], right=True)

    columns = [
        Column("variant", [escaped(name) for name, _ in found]),
        column("peak MB", lambda facts: megabytes(facts.peak_bytes)),
        column("peak / teacher's", _ratio),
        column("after load MB", lambda facts: megabytes(facts.resident_after_load_bytes)),
        column("peak of load MB", lambda facts: megabytes(facts.load_peak_bytes)),
        column("before it MB", lambda facts: megabytes(facts.baseline_bytes)),
        column("device peak MB", lambda facts: megabytes(facts.device_peak_bytes)),
        column("load seconds", lambda facts: fixed(facts.load_seconds, 1)),
        column("predicting", _workload),
        column("processes", lambda facts: count(facts.readings)),
    ]
    return table(without_empty(columns)) if found else ""


def _ratio(facts: MemoryFacts) -> str:
    """`0.61 [0.60, 0.62]`: with the least and the most that several processes allow."""
    if facts.ratio is None:
        return MISSING
    if facts.spread is None:
        return fixed(facts.ratio, 3)
    return f"{fixed(facts.ratio, 3)} [{fixed(facts.spread[0], 3)}, {fixed(facts.spread[1], 3)}]"


def _workload(facts: MemoryFacts) -> str:
    return MISSING if facts.workload is None else workload_words(facts.workload)

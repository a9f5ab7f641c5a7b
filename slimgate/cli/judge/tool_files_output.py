"""What `slimgate judge` found in load tests and KL logs, for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from tabulate import tabulate

from slimgate._system.escape import visible
from slimgate.judge.budget_counts import format_verdict
from slimgate.logs.judged import JudgedFiles
from slimgate.report.tool_files import figure_notes, figure_rows


def as_text(judged: JudgedFiles, origin: str) -> str:
    """For each target its table, the lines of its budgets, notes and verdict.

    origin: what the files are, in words that follow the target's name.
    """
    return "\n\n".join(block for name in judged.targets for block in _blocks(judged, name, origin) if block)


def _blocks(judged: JudgedFiles, name: str, origin: str) -> Iterator[str]:
    target = judged.targets[name]
    rows = [{head: visible(cell) for head, cell in row.items()} for row in figure_rows(target)]
    yield visible(f"{name}{origin}")
    yield tabulate(rows, headers="keys", tablefmt="simple", disable_numparse=True)
    yield "\n".join(visible(result.facts.message) for result in target.results() if result.facts.message)
    yield "\n".join(f"note: {visible(note)}" for note in figure_notes(target))
    yield format_verdict(judged.verdict_of(name))

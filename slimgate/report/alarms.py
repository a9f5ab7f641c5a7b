"""What stands right under the verdict: a reader who stops there must know it."""

from __future__ import annotations

from collections.abc import Iterator

from slimgate.record import RunRecord
from slimgate.report.escape import escaped
from slimgate.report.since import baseline_name, new_since_baseline
from slimgate.report.standing import teacher


def alarms(record: RunRecord) -> Iterator[str]:
    """A teacher that may have learnt nothing; variants that no budget against the baseline looks at."""
    original = teacher(record)
    doubts = [facts.near_chance for facts in original.quality.values()] if original else []
    if doubt := next((one for one in doubts if one), None):
        useless = "a variant that loses nothing behind it may be as useless"
        yield f"**The teacher is near chance**: {escaped(doubt)}; {useless}."
    yield from _unlike_the_baseline(record)


def _unlike_the_baseline(record: RunRecord) -> Iterator[str]:
    new, gone = new_since_baseline(record), record.baseline.gates_gone if record.baseline else []
    if new:
        yield f"**New since the baseline {baseline_name(record)}**, so not held against it: {_listed(new)}."
    if gone:
        renamed = "; a variant that is only renamed is held against nothing" if new else ""
        yield f"**Gone since the baseline**, with their budgets: {_listed(gone)}{renamed}."


def _listed(names: list[str]) -> str:
    return ", ".join(map(escaped, names))

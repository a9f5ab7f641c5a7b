"""Where a variant that does not hold its budgets loses most: the slice, and the new mistakes."""

from __future__ import annotations

from collections.abc import Iterator

from slimgate._system.escape import escape
from slimgate.judge.verdict import Verdict
from slimgate.record import BehaviourFacts, RunRecord
from slimgate.record.words import format_count
from slimgate.report.confusions import new_mistakes
from slimgate.report.figures import drop_words, to_fixed
from slimgate.report.status import variants, verdicts

_LONGEST = 60


def list_worst_losses(record: RunRecord) -> list[str]:
    """A line for each gated variant with a FAIL: its worst slice, and its new mistakes."""
    failed = [model for model in variants(record) if model.gated and Verdict.FAIL in verdicts(model).values()]
    lines = [
        (model.name, list(_describe_losses(record, model.behaviour))) for model in failed if model.behaviour
    ]
    return [f"**{escape(name)}** loses most {'; '.join(parts)}." for name, parts in lines if parts]


def _describe_losses(record: RunRecord, behaviour: BehaviourFacts) -> Iterator[str]:
    slices = [part for part in behaviour.slices or () if part.interval[0] > 0]
    if slices:
        worst = max(
            slices, key=lambda part: part.interval[0]
        )  # the surest loss: few rows lose much by chance
        where = f"{escape(worst.column)} {escape(worst.value, longest=_LONGEST)}"
        values = f"{escape(worst.metric)} {to_fixed(worst.teacher, 3)} → {to_fixed(worst.variant, 3)}"
        drop = drop_words(worst.drop_points, worst.interval)
        yield f"on {where} ({format_count(worst.n, 'row', 'rows')}): {values}, {drop}"
    names = [escape(name, longest=_LONGEST) for name in record.task.classes]
    if mistakes := new_mistakes(behaviour, len(names)):
        label, answer, before, after = max(mistakes, key=lambda cell: cell[3] - cell[2])
        more = format_count(after - before, "more row", "more rows")
        yield f"by answering {names[answer]} for {names[label]} ({more}, {before} before)"

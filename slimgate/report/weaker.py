"""The statement that a gate demands less than an earlier gate, which a reader of a change sees first."""

from __future__ import annotations

from collections.abc import Sequence

from slimgate._system.escape import escape
from slimgate._system.number_text import format_count
from slimgate.record.verdicts import Weakening
from slimgate.report.figures import add_note
from slimgate.report.tables import blocks, format_bullets

# A reason, or a list of settings, must not fill a comment.
_LONGEST = 400


def format_weaker_gate(weaker: Sequence[Weakening], than: str) -> str:
    """A line, and a bullet for each change; empty if the gate is as strong.

    than: the gate to compare with, `the baseline v1`, as markdown.
    """
    if not weaker:
        return ""
    unexplained = sum(weakening.reason is None for weakening in weaker)
    without = f", {unexplained} without a reason" if unexplained else ", each with a reason"
    counts = format_count(len(weaker), "change", "changes")
    lines = [
        add_note(
            escape(weakening.change, longest=_LONGEST),
            escape(weakening.reason or "no reason", longest=_LONGEST),
        )
        for weakening in weaker
    ]
    return blocks(f"**The gate demands less than {than}**: {counts}{without}", format_bullets(lines))

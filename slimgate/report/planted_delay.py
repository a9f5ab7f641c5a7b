"""What the planted delay says of a run's speeds, in words."""

from __future__ import annotations

from slimgate.record import PlantedDelay
from slimgate.report.figures import percent


def delay_words(found: PlantedDelay) -> str:
    """`showed no delay under 30 % of a call`, where only a large one was seen; else nothing."""
    if not found.seen or found.clearance is None or found.clearance <= 1.0:
        return ""
    return f"showed no delay under {percent(found.clearance - 1, 0)} of a call"

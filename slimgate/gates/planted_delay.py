"""The planted delay: does the duel see, on this machine now, a teacher that is a tenth slower than itself?"""

from __future__ import annotations

from slimgate.arena import Arena
from slimgate.gates.reporting import Report
from slimgate.judge.speed import delay_message, delay_seen
from slimgate.parts import PLANTED_DELAY, part
from slimgate.suite import TEACHER


def find_delay(arena: Arena, report: Report) -> bool:
    """Duels once a suite's run, reports what came out, and says whether the delay was seen."""
    planted = arena.planted_delay()
    seen = delay_seen(planted.found)
    facts = {
        "seen": seen,
        "speedup_interval": list(planted.found.claimed),
        "message": delay_message(planted.workload.id, planted.found),
        "workload": planted.workload.id,
        "measured": planted.measured,
    }
    report(part("self_test", TEACHER, PLANTED_DELAY, facts))
    return seen

"""The planted delay: how much slower than itself must a teacher be for the duel to see it, here and now?"""

from __future__ import annotations

from slimgate.judge.speed import clearance, delay_message
from slimgate.plugin.gates.reporting import Report
from slimgate.run.duels import Duels
from slimgate.run.gate_results import make_part
from slimgate.run.self_tests import PLANTED_DELAY
from slimgate.suite.suite import TEACHER


def find_delay(duels: Duels, report: Report) -> float | None:
    """Duels once a suite's run, reports what came out, and gives the smallest delay seen; None: none was."""
    planted = duels.plant_delay()
    facts = {
        "seen": planted.visible is not None,
        "percent": 100 * planted.share,
        "clearance": clearance(planted.visible),
        "speedup_interval": list(planted.speedup.claimed_interval),
        "message": delay_message(planted.workload.id, planted.speedup, planted.share),
        "workload": planted.workload.id,
        "measured": planted.measured,
    }
    report(make_part("self_test", TEACHER, PLANTED_DELAY, facts))
    return planted.visible

"""The planted delay: how much slower than itself must a teacher be for the duel to see it, here and now?"""

from __future__ import annotations

from slimgate.judge.speed import clearance, delay_message
from slimgate.plugin.gates.reporting import Report
from slimgate.results.checks import SELF_TEST
from slimgate.results.self_test import PLANTED_DELAY, PlantedDelay
from slimgate.run.duels import Duels
from slimgate.run.gate_results import GateResult
from slimgate.suite.suite import TEACHER


def find_delay(duels: Duels, report: Report) -> float | None:
    """Duels once a suite's run, reports what came out, and gives the smallest delay seen; None: none was."""
    planted = duels.plant_delay()
    facts = PlantedDelay(
        seen=planted.visible is not None,
        percent=100 * planted.share,
        clearance=clearance(planted.visible),
        speedup_interval=planted.speedup.claimed_interval,
        message=delay_message(planted.workload.id, planted.speedup, planted.share),
        workload=planted.workload.id,
        measured=planted.measured,
    )
    report(GateResult(SELF_TEST, TEACHER, PLANTED_DELAY, facts))
    return planted.visible

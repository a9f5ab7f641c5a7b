"""The planted delay: which slow-down of the teacher can a duel detect on this machine, at this time?"""

from __future__ import annotations

from slimgate.judge.speed import compute_clearance, format_delay_message
from slimgate.plugin.gates.reporting import Report
from slimgate.results.checks import SELF_TEST, TEACHER
from slimgate.results.self_test import PLANTED_DELAY, PlantedDelay
from slimgate.run.duels import Duels
from slimgate.run.gate_results import GateResult


def measure_delay(duels: Duels, report: Report) -> float | None:
    """Runs the duels once per suite, reports them, and returns the smallest detected delay, or None."""
    planted = duels.plant_delay()
    facts = PlantedDelay(
        seen=planted.visible is not None,
        percent=100 * planted.share,
        clearance=compute_clearance(planted.visible),
        speedup_interval=planted.speedup.claimed_interval,
        message=format_delay_message(planted.workload.id, planted.speedup, planted.share),
        workload=planted.workload.id,
        measured=planted.measured,
    )
    report(GateResult(SELF_TEST, TEACHER, PLANTED_DELAY, facts))
    return planted.visible

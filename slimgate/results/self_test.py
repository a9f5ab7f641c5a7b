"""The self-tests of a suite, which show whether its gate can be trusted."""

from __future__ import annotations

from slimgate.results.base import Verdict
from slimgate.results.facts import Facts

PLANTED_DELAY = "planted_delay"
SELF_TESTS = ("identical", "planted_fault", PLANTED_DELAY)


class SelfTestFacts(Facts):
    """The identical copy or the planted fault.

    wrong: whether the gate cannot be trusted; None in records from before this field.
    """

    verdict: Verdict | None
    wrong: bool | None = None
    changed: int | None = None
    drop_points: float | None = None
    message: str
    measured: str


class PlantedDelay(Facts):
    """The teacher compared with itself plus a busy wait after each call: the last delay that was tried.

    seen: whether the speed-up's interval, widened by the noise floor, lies wholly below 1.
    percent: the delay, as a percentage of the teacher's call.
    clearance: the factor by which a speed-up must exceed its budget to be decided. It is 1 if the smallest
        delay was seen, larger if only a larger delay was seen, None if none was.
    """

    seen: bool
    percent: float = 10.0
    clearance: float | None = 1.0
    speedup_interval: tuple[float, float]
    message: str
    workload: str
    measured: str


class SelfTest(Facts):
    """identical must not FAIL; planted_fault must FAIL, or be INCONCLUSIVE if the rows are too few for it.

    An unseen delay leaves speed-ups undecided.
    """

    identical: SelfTestFacts | None = None
    planted_fault: SelfTestFacts | None = None
    planted_delay: PlantedDelay | None = None

    @property
    def failures(self) -> dict[str, SelfTestFacts]:
        """The failed self-tests, which show that the gate cannot be trusted, by the name of the check."""
        failed_checks: dict[str, SelfTestFacts] = {}
        if self.identical and (self.identical.wrong or self.identical.verdict is Verdict.FAIL):
            failed_checks["identical"] = self.identical
        if self.planted_fault and (self.planted_fault.wrong or self.planted_fault.verdict is Verdict.PASS):
            failed_checks["planted_fault"] = self.planted_fault
        return failed_checks

    @property
    def undecided_fault(self) -> SelfTestFacts | None:
        """The planted fault, if the rows could not decide whether the gate sees it."""
        fault = self.planted_fault
        if fault is None or "planted_fault" in self.failures or fault.verdict is Verdict.FAIL:
            return None
        return fault

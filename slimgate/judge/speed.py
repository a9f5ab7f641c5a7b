"""Speed: how many times faster a variant is, how sure that is, and what the machine's noise allows to say.

The estimator is the median of the paired log ratios of the rounds of a duel; its 95 % interval is a
percentile bootstrap over rounds. The noise floor is the same for the teacher against a separately loaded
copy of itself: nothing below it is claimed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from slimgate.errors import MeasureError
from slimgate.judge.verdict import BudgetVerdict, Verdict

LEVEL = 0.95
RESAMPLES = 4000


@dataclass(frozen=True)
class Speedup:
    """speedup = teacher seconds / variant seconds; above 1 is faster.

    interval: 95 %, before the noise floor is taken into account. of_minima: the ratio of the fastest calls.
    noise_floor: the larger absolute bound, on the log scale, of the teacher against its copy; 0.03 says
    that 3 % up or down may be noise.
    """

    speedup: float
    interval: tuple[float, float]
    of_minima: float
    noise_floor: float
    rounds: int

    @property
    def claimed(self) -> tuple[float, float]:
        """The interval widened by the noise floor: what may be said of the variant."""
        low, high = self.interval
        return low * float(np.exp(-self.noise_floor)), high * float(np.exp(self.noise_floor))


def log_ratio_interval(
    teacher: npt.NDArray[np.float64], variant: npt.NDArray[np.float64], *, seed: int
) -> tuple[float, float, float]:
    """Median of log(teacher / variant) over rounds, and its 95 % bootstrap interval.

    teacher, variant: (rounds,) seconds, paired by round. Raises MeasureError for times that are not positive.
    """
    if len(teacher) != len(variant) or not len(teacher):
        raise MeasureError(f"a duel has {len(teacher)} and {len(variant)} rounds, expected as many of both")
    if not (np.all(teacher > 0) and np.all(variant > 0)):
        raise MeasureError("a duel holds times that are not positive")
    ratios = np.log(teacher / variant)
    draws = np.random.default_rng(seed).integers(len(ratios), size=(RESAMPLES, len(ratios)))
    medians = np.median(ratios[draws], axis=1)
    low, high = np.percentile(medians, [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
    return float(np.median(ratios)), float(low), float(high)


def estimate_speedup(
    teacher: npt.NDArray[np.float64],
    copy: npt.NDArray[np.float64],
    variant: npt.NDArray[np.float64],
    *,
    of_minima: float,
    seed: int,
) -> Speedup:
    """The speed-up of a variant with its interval and the noise floor, all of the same rounds."""
    middle, low, high = log_ratio_interval(teacher, variant, seed=seed)
    _, floor_low, floor_high = log_ratio_interval(teacher, copy, seed=seed + 1)
    return Speedup(
        speedup=float(np.exp(middle)),
        interval=(float(np.exp(low)), float(np.exp(high))),
        of_minima=of_minima,
        noise_floor=max(abs(floor_low), abs(floor_high)),
        rounds=len(teacher),
    )


def judge_speedup(found: Speedup, minimum: float, reason: str | None) -> BudgetVerdict:
    """PASS where the widened interval lies above `minimum`, FAIL where it lies below, else INCONCLUSIVE."""
    low, high = found.claimed
    verdict = Verdict.PASS if low >= minimum else Verdict.FAIL if high < minimum else Verdict.INCONCLUSIVE
    return BudgetVerdict(kind="speedup_min", limit=minimum, verdict=verdict, reason=reason, n_needed=None)


def speed_message(name: str, workload: str, found: Speedup, budget: BudgetVerdict | None) -> str:
    """One line that can be acted on."""
    low, high = found.claimed
    line = (
        f"{name}: {workload} {found.speedup:.2f}× the teacher's speed [{low:.2f}, {high:.2f}]"
        f" (noise floor {100 * found.noise_floor:.1f} %, {found.rounds} rounds)"
    )
    if budget is None:
        return line
    line += f", budget {budget.limit:g}×: {budget.verdict}"
    if budget.verdict is Verdict.INCONCLUSIVE:
        line += ", a quieter machine or more max_seconds would tell"
    return line

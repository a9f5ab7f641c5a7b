"""Speed: how many times faster a variant is, how sure that is, and what the machine's noise allows to claim.

The estimator is the median of the paired log ratios of the rounds of a duel. Its 95 % interval goes from one
of the sorted ratios to another: the number of rounds below the true median is binomial with a chance of one
half, whatever the noise (Thompson 1936, Ann. Math. Stat. 7:122-128). The noise floor comes from the teacher
compared with a separately loaded copy of itself, and is at least LAYOUT: nothing below it is claimed.

A duel may stop early, which must not make false claims more likely. It stops when both intervals are narrow
(their width does not know which of the two is faster), or when the verdict holds at a level of 99.9 %
(Haybittle and Peto's rule; Peto et al. 1976, Br. J. Cancer 34:585-612): five interim analyses of
0.05 % on either side add at most 0.25 % to the last one's 2.5 %. reports/simulations/speed_verdicts.md has
the error rates.

Each duel tests what it can detect: it plants delays in the teacher's own calls, the smallest first. A noisy
machine shows only a larger delay. Then every budget nearer than that delay is undecided.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import inf, isfinite

import numpy as np

from slimgate._system.number_text import format_apart
from slimgate.errors import MeasureError
from slimgate.judge.latency_budgets import SpeedBudget
from slimgate.outcomes import Floats
from slimgate.plugins.workloads import format_workload
from slimgate.results.base import BudgetFacts, Verdict

LEVEL = 0.95
STRICT_LEVEL = 0.999
# Half the width of an interval, on the log scale, below which more rounds are not worth their time.
PRECISE = 0.01
# The place of a process in memory makes it some per cent faster or slower for its lifetime, and a copy is a
# single draw of that. Without a least floor, processes that differ by 1.4 % (one standard deviation) passed
# at their budget in 7 to 8 % of simulated duels. 540 duels of a real encoder with itself fit a difference of
# about 1.4 % (reports/simulations/duels.md). The copy's own difference counts twice, because it is one draw
# and the variant's is another. Counted once, processes that differ by 3 % passed at their budget in 11 % of
# simulated duels.
LAYOUT = 0.03
# Shares of the teacher's call, tried in this order until a delay is seen.
# reports/simulations/speed_verdicts.md has how often each is seen, and the remaining power.
PLANTED_DELAYS = (0.10, 0.30, 1.00)
# If a delay up to this share was seen, a verdict must only clear the noise floor: the size of a delay
# planted as 10 % is known to a few per cent.
FINE = 0.20

# If other processes kept more threads of a model than this from running, on average, another process computes
# most of the time. That slows runtimes by different factors, and the noise floor is that of one runtime.
# Measured on two cores, for models of two threads, of the contender that lost the most: up to 0.37 without
# other processes (0.6 in 1 of 32 duels), 0.75 to 0.99 next to one busy loop, 1.0 to 1.5 next to another
# model.
CROWDED_THREADS = 0.5


@dataclass(frozen=True)
class Speedup:
    """speedup = teacher seconds / variant seconds; above 1 is faster.

    interval: 95 %, before the noise floor is taken into account. of_minima: the ratio of the fastest calls.
    noise_floor: on the log scale, of the teacher compared with its copy: the ratio's distance from 1, plus
    that to its farther bound; LAYOUT if that is more. 0.03 says that 3 % up or down may be noise.
    queued_threads: how many threads other processes kept from running, on average, of the model for which it
    was the most; 0 if each model has one thread.
    """

    speedup: float
    interval: tuple[float, float]
    of_minima: float
    noise_floor: float
    rounds: int
    threads: int | None = None
    queued_threads: float = 0.0

    @property
    def is_crowded(self) -> bool:
        """Whether other processes needed the cores at the same time, so that nothing can be claimed."""
        return self.queued_threads > CROWDED_THREADS

    @property
    def claimed_interval(self) -> tuple[float, float]:
        """The interval widened by the noise floor: the claim about the variant."""
        low, high = self.interval
        return low * float(np.exp(-self.noise_floor)), high * float(np.exp(self.noise_floor))


def compute_log_ratio_interval(
    teacher: Floats, variant: Floats, *, level: float = LEVEL
) -> tuple[float, float, float]:
    """Median of log(teacher / variant) over rounds, and its exact interval; unbounded if rounds are few.

    teacher, variant: (rounds,) seconds, paired by round. Raises MeasureError for times that are not positive.
    """
    if len(teacher) != len(variant) or not len(teacher):
        raise MeasureError(
            f"a duel has {len(teacher)} and {len(variant)} rounds, expected the same number of both"
        )
    if not (np.all(teacher > 0) and np.all(variant > 0)):
        raise MeasureError("a duel has times that are not positive")
    ratios = np.sort(np.log(teacher / variant))
    left_out = _count_outside(len(ratios), level)
    low, high = (-inf, inf) if left_out < 0 else (ratios[left_out], ratios[-1 - left_out])
    return float(np.median(ratios)), float(low), float(high)


@cache
def _count_outside(rounds: int, level: float) -> int:
    """How many of the sorted ratios lie outside the interval on either side; -1 if it is unbounded."""
    from slimgate._system.special_functions import bdtr

    below = bdtr(np.arange(rounds // 2), rounds, 0.5)
    return int(np.searchsorted(below, (1 - level) / 2, side="right")) - 1


def estimate_speedup(
    teacher: Floats,
    copy: Floats,
    variant: Floats,
    *,
    of_minima: float,
    threads: int | None = None,
    queued_threads: float = 0.0,
    level: float = LEVEL,
) -> Speedup:
    """The speed-up of a variant with its interval and the noise floor, all of the same rounds."""
    middle, low, high = compute_log_ratio_interval(teacher, variant, level=level)
    copied, floor_low, floor_high = compute_log_ratio_interval(teacher, copy, level=level)
    return Speedup(
        speedup=float(np.exp(middle)),
        interval=(float(np.exp(low)), float(np.exp(high))),
        of_minima=of_minima,
        noise_floor=max(LAYOUT, abs(copied) + max(abs(floor_low), abs(floor_high))),
        rounds=len(teacher),
        threads=threads,
        queued_threads=queued_threads,
    )


def is_settled(
    teacher: Floats,
    copy: Floats,
    variant: Floats,
    *,
    minimum: float | None,
    visible: float | None = FINE,
) -> bool:
    """Whether more rounds would change nothing: the intervals are narrow, or the verdict holds.

    minimum: the budget, None if there is none. The verdict holds if it is PASS or FAIL at STRICT_LEVEL, noise
    floor included. visible: as in `judge_speedup`.
    """
    pairs = (compute_log_ratio_interval(teacher, other) for other in (variant, copy))
    if all((high - low) / 2 < PRECISE for _, low, high in pairs):
        return True
    if minimum is None:
        return False
    speedup = estimate_speedup(teacher, copy, variant, of_minima=1.0, level=STRICT_LEVEL)
    return judge_speedup(speedup, minimum, None, visible=visible).verdict is not Verdict.INCONCLUSIVE


def compute_clearance(visible: float | None) -> float | None:
    """The factor by which a claim must clear a budget to decide it; None: no factor is enough."""
    if visible is None:
        return None
    return 1.0 if visible <= FINE else 1.0 + visible


def compute_duel_clearance(speedup: Speedup, visible: float | None) -> float | None:
    """The same factor for a duel: none is enough if other processes needed its cores."""
    return None if speedup.is_crowded else compute_clearance(visible)


def judge_speedup(
    speedup: Speedup,
    minimum: float,
    reason: str | None,
    *,
    visible: float | None = FINE,
    kind: str = SpeedBudget.kind,
) -> BudgetFacts:
    """PASS if the widened interval lies above `minimum`, FAIL if it lies below, else INCONCLUSIVE.

    visible: the smallest planted delay that the duel saw, a share of the teacher's call. If it is larger than
    FINE, a claim nearer to the budget than this delay is INCONCLUSIVE. If the duel saw no delay (None),
    everything is, and if other processes needed the cores at the same time.
    """
    low, high = speedup.claimed_interval
    clear = compute_duel_clearance(speedup, visible)
    verdict = Verdict.INCONCLUSIVE
    if clear is not None and low >= minimum * clear:
        verdict = Verdict.PASS
    elif clear is not None and high * clear < minimum:
        verdict = Verdict.FAIL
    return BudgetFacts(kind=kind, limit=minimum, verdict=verdict, reason=reason)


def format_speed_message(
    name: str,
    workload: str,
    speedup: Speedup,
    budget: BudgetFacts | None,
    *,
    visible: float | None = FINE,
    scarce: str = "max_seconds",
) -> str:
    """The line of the gate. visible: as in `judge_speedup`. scarce: what would decide if there were more."""
    limits = [] if budget is None else [budget.limit]
    low, high = speedup.claimed_interval
    shown, *ends = format_apart((speedup.speedup, low, high), limits, fewest=2)
    line = (
        f"{name}: {format_workload(workload)}: {shown}× the teacher's speed [{', '.join(ends)}]"
        f" ({format_noise_floor(speedup.noise_floor)}, {speedup.rounds} rounds)"
    )
    if budget is None:
        return line
    line += f", budget {budget.limit:g}×: {budget.verdict}"
    if budget.verdict is not Verdict.INCONCLUSIVE:
        return line
    if speedup.is_crowded:
        line += f", other processes use the same cores: on average, {speedup.queued_threads:.1f} threads of"
        line += " a model had none"
    elif visible is None:
        line += ", this machine hides every planted delay (self-test)"
    elif visible > FINE and (low >= budget.limit or high < budget.limit):
        line += f", the interval is less than {100 * visible:.0f} % from the budget"
        line += ", and no smaller delay is seen here (self-test)"
    else:
        line += f", a quieter machine or more {scarce} would decide"
    return line


def format_noise_floor(floor: float) -> str:
    """`noise floor 4.2 %`. floor: on the log scale; inf if too few times bound it."""
    return f"noise floor {100 * floor:.1f} %" if isfinite(floor) else "noise floor unknown: too few times"


def is_delay_detected(speedup: Speedup) -> bool:
    """Whether a contender that is slower by construction is claimed to be slower."""
    return speedup.claimed_interval[1] < 1.0


def compute_visible_delay(speedup: Speedup, share: float) -> float | None:
    """The delay that a duel is shown to detect; None if it detected none. share: the planted share.

    It is at least the delay that the duel measured: if the machine stalled while the teacher's call was
    timed, the planted delay is longer than intended.
    """
    return max(share, 1.0 / speedup.speedup - 1.0) if is_delay_detected(speedup) else None


def format_delay_message(workload: str, speedup: Speedup, share: float) -> str:
    """The duel's result for the last planted delay, in one line. share: of the teacher's call."""
    low, high = speedup.claimed_interval
    visible = compute_visible_delay(speedup, share)
    outcome = "seen"
    if visible is None:
        outcome = "not seen, so this run's speed-up verdicts are INCONCLUSIVE"
    elif visible > FINE:
        outcome += (
            f", none smaller, so speed-ups within {100 * visible:.0f} % of their budget are INCONCLUSIVE"
        )
    return (
        f"self-test, planted delay of {100 * share:.0f} %: {format_workload(workload)}: "
        f"{speedup.speedup:.2f}× the teacher's speed [{low:.2f}, {high:.2f}] "
        f"({format_noise_floor(speedup.noise_floor)}, {speedup.rounds} rounds): {outcome}"
    )

"""How often a verdict on milliseconds is wrong: rounds that follow each other alike, drift, rare bursts.

python -m tools.simulations.call_time_verdicts [--reps N] [--seed S] [--out FILE]
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import exp

import numpy as np

from slimgate.judge.budget_tables import LimitBudget
from slimgate.judge.call_times import QUANTILES, compute_quantile_interval, judge_call_times
from slimgate.outcomes import Floats
from slimgate.results.base import Verdict
from tools.simulations.page import (
    TARGET,
    Options,
    format_error_at_5,
    format_head,
    format_percent,
    format_table,
    run,
)
from tools.simulations.rounds import RUN_AGAIN, Rates, Simulated, format_worst_cells, simulate_in_rounds

NAME = "call_time_verdicts"
ROUNDS = (59, 100, 300, 1000)
# The standard deviation of how much faster or slower a process is during its whole life, on the log scale. A
# real encoder has about as much (duels.md).
LAYOUT = 0.014
# How much slower a call is in a burst, on the log scale.
SLOWER = 0.7
# Factors by which a quantile is below its limit, where the power is simulated.
LOWER = (1.1, 1.3, 2.0)
# Calls before those that are judged, so that the start of a process has no effect on them.
_BEFORE = 200


@dataclass(frozen=True)
class Machine:
    """How the time of a call varies.

    noise: standard deviation of the logarithm of a call's time; follows: the autocorrelation of that noise
    from a call to the next, or of the share `drift` of its variance; bursts: the share of calls in slow
    moments, of `length` calls on average; turns: how much slower every second call is, on the log scale.
    """

    noise: float
    follows: float = 0.0
    drift: float = 1.0
    bursts: float = 0.0
    length: int = 1
    turns: float = 0.0

    @property
    def label(self) -> str:
        drift = f" of {self.drift:.0%}" if self.drift < 1 else ""
        bursts = f", {self.bursts:.0%} in bursts of {self.length}" if self.bursts else ""
        turns = f", every second call {exp(self.turns) - 1:.0%} slower" if self.turns else ""
        return f"noise {100 * self.noise:g} %, follows with {self.follows:g}{drift}{bursts}{turns}"

    def draw_logs(self, rng: np.random.Generator, rounds: int) -> Floats:
        """Draws (rounds,) logarithms of the times of one process, without its layout."""
        from scipy.signal import lfilter

        steps = rng.standard_normal(rounds + _BEFORE) * (1 - self.follows**2) ** 0.5
        noise = lfilter([1.0], [1.0, -self.follows], steps)[_BEFORE:]
        if self.drift < 1:
            noise = self.drift**0.5 * noise + (1 - self.drift) ** 0.5 * rng.standard_normal(rounds)
        return (
            self.noise * noise
            + self.turns * (np.arange(rounds) % 2)
            + SLOWER * self._draw_bursts(rng, rounds)
        )

    def _draw_bursts(self, rng: np.random.Generator, rounds: int) -> Floats:
        """Draws (rounds,) 1 in a slow moment, else 0. A moment ends with a chance of 1 / length a call."""
        counts = np.zeros(rounds)
        if not self.bursts:
            return counts
        quiet, slow = self.length * (1 - self.bursts) / self.bursts, float(self.length)
        start, is_slow = 0, bool(rng.random() < self.bursts)
        while start < rounds:
            calls = int(rng.geometric(min(1.0, 1 / (slow if is_slow else quiet))))
            counts[start : start + calls] = is_slow
            start, is_slow = start + calls, not is_slow
        return counts

    def compute_quantile(self, share: float) -> float:
        """The quantile of the logarithm of a call's time, without the layout of its process."""
        from scipy.optimize import brentq

        def compute_excess(at: float) -> float:
            first, second = (self._compute_share_below(at - slower) for slower in (0.0, self.turns))
            return (first + second) / 2 - share

        return float(brentq(compute_excess, -10 * self.noise, SLOWER + self.turns + 10 * self.noise))

    def _compute_share_below(self, at: float) -> float:
        from scipy.special import ndtr

        usual, slow = ndtr(at / self.noise), ndtr((at - SLOWER) / self.noise)
        return float((1 - self.bursts) * usual + self.bursts * slow)


# Bursts have tables of their own: no rule can see what does not happen in the seconds that are timed.
STEADY = tuple(Machine(noise, follows) for noise in (0.005, 0.05, 0.2) for follows in (0.0, 0.3, 0.6, 0.9))
# The worst cases that are known: two batches by turns on a machine that drifts, and a slow drift under noise.
HARD = (
    *(Machine(0.15, follows=0.95, turns=turns) for turns in (0.15, 0.3)),
    *(Machine(0.3, follows=follows, drift=drift) for follows, drift in ((0.95, 0.1), (0.98, 0.2))),
)
KINDS = ("p50_ms_max", "p95_ms_max")  # the other kinds limit the same two quantiles
BURSTS = tuple(Machine(0.05, bursts=share, length=length) for share in (0.02, 0.1) for length in (1, 5, 20))


@dataclass(frozen=True)
class Shares:
    """Shares of the runs, and `counted`, the mean number of independent rounds that the rule counts.

    passed, failed: at the limit. raw: the interval, before it is widened and as if all rounds were
    independent, does not hold the limit. power: PASS where the quantile is lower than its limit.
    """

    passed: float
    failed: float
    raw: float
    counted: float
    power: tuple[float, ...]


@dataclass(frozen=True)
class Cell:
    """A machine, a kind of budget and a number of rounds. seed: of its random numbers."""

    machine: Machine
    kind: str
    rounds: int
    seed: tuple[int, ...]

    @property
    def label(self) -> str:
        return f"{self.machine.label}, {self.rounds:,} rounds"

    def simulate(self, reps: int, *, again: int = 0) -> Shares:
        rng, share = np.random.default_rng((*self.seed, again)), QUANTILES[self.kind]
        limit = exp(self.machine.compute_quantile(share))
        counts, power, counted = np.zeros(3), np.zeros(len(LOWER)), 0
        for _ in range(reps):
            ms = np.exp(self.machine.draw_logs(rng, self.rounds))
            low, high = compute_quantile_interval(ms, share, self.rounds)
            ms *= exp(LAYOUT * rng.standard_normal())
            times = judge_call_times(ms, [LimitBudget(self.kind, limit)])
            verdict, counted = times.verdict, counted + times.counted
            counts += verdict is Verdict.PASS, verdict is Verdict.FAIL, not low <= limit <= high
            power += [self._is_pass(ms / by, limit) for by in LOWER]
        passed, failed, raw = (counts / reps).tolist()
        return Shares(passed, failed, raw, counted / reps, tuple((power / reps).tolist()))

    def _is_pass(self, ms: Floats, limit: float) -> bool:
        return judge_call_times(ms, [LimitBudget(self.kind, limit)]).verdict is Verdict.PASS


def list_cells(machines: tuple[Machine, ...], seed: int) -> Iterator[Cell]:
    for index, machine in enumerate(machines):
        for kind in KINDS:
            for rounds in ROUNDS:
                yield Cell(machine, kind, rounds, (seed, len(machines), index, rounds, len(kind)))


def make_page(options: Options) -> str:
    steady = simulate_in_rounds(
        list_cells(STEADY, options.seed),
        lambda cell, reps, number: cell.simulate(reps, again=number),
        lambda shares: max(shares.passed, shares.failed),
        reps=options.reps,
    )
    hard, bursts = (
        [
            Simulated(cell, cell.simulate(options.reps), options.reps)
            for cell in list_cells(machines, options.seed)
        ]
        for machines in (HARD, BURSTS)
    )
    text = format_head(
        "Budgets on milliseconds: how often verdicts are wrong",
        NAME,
        options,
        error=f"{format_error_at_5(options.reps)}.",
        text=_TEXT.format(again=RUN_AGAIN),
    )
    text += format_worst_cells([_make_rates(cell) for cell in steady])
    for kind in KINDS:
        text += f"\n## {kind}\n" + format_table(
            _HEADER, [_format_row(cell) for cell in steady if cell.cell.kind == kind]
        )
    text += f"\n## Calls by turns, and drift under noise\n\n{_HARD}"
    text += format_table(_HEADER, [_format_row(cell, prefix=f"{cell.cell.kind}, ") for cell in hard])
    text += f"\n## Slow moments that are rare\n\n{_BURSTS}"
    for kind in KINDS:
        text += f"\n### {kind} with bursts\n"
        text += format_table(_HEADER, [_format_row(cell) for cell in bursts if cell.cell.kind == kind])
    return text


def _make_rates(simulated: Simulated[Cell, Shares]) -> Rates:
    return Rates(
        f"latency {simulated.cell.kind}",
        simulated.cell.label,
        simulated.result.passed,
        simulated.result.failed,
        simulated.runs,
    )


def _format_row(simulated: Simulated[Cell, Shares], *, prefix: str = "") -> list[str]:
    shares = simulated.result
    return [
        prefix + simulated.cell.machine.label,
        f"{simulated.cell.rounds:,}",
        f"{shares.counted:,.0f}",
        format_percent(shares.passed, limit=TARGET, reps=simulated.runs),
        format_percent(shares.failed, limit=TARGET, reps=simulated.runs),
        format_percent(shares.raw),
        *map(format_percent, shares.power),
        f"{simulated.runs:,}",
    ]


_HEADER = (
    "machine",
    "rounds",
    "count as",
    "PASS at the limit, %",
    "FAIL at the limit, %",
    "misses as if independent, %",
    *(f"PASS where the limit is {by:g} times the quantile, %" for by in LOWER),
    "runs",
)
_TEXT = f"""\
Made-up times of calls, judged by slimgate/judge/call_times.py. The quantile is exactly its limit. Noise: of
the time of a call, log-normal; it follows the noise of the call before with the autocorrelation that is
stated. Each run is a process, which is {100 * LAYOUT:g} % faster or slower (one standard deviation) as long
as it lives. "count as": as how many independent rounds the rule counts them. "misses as if independent": the
90 % interval of the order statistics, by all rounds and without its 3 %, does not hold the quantile.
{{again}}
Bold: above 6 % by more than two standard errors.
"""
_HARD = """\
Here every second call is slower, as two batches of different rows are, and the machine drifts; or most of the
noise is independent and a small part drifts for 50 calls. Such a drift is hard to tell from noise in few
rounds. So the rule counts too many rounds, and is wrong too often.
"""
_BURSTS = f"""\
Here a share of the calls is in slow moments, and takes {exp(SLOWER):.1f} times as long. If these moments are
long and rare, the timed rounds often have none. Then a 95th percentile that is at its limit passes, by this
rule and by every other. More rounds are the only remedy: `rounds` and `max_seconds` of [measure]. So read a
budget on p95 as a statement about the seconds that were timed.
"""

if __name__ == "__main__":
    run(NAME, make_page, reps=400)

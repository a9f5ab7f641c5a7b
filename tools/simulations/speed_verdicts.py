"""How often a verdict on a speed-up is wrong: interim analyses, noise, layouts in memory, planted delays.

python -m tools.simulations.speed_verdicts [--reps N] [--seed S] [--out FILE]
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import log

import numpy as np

from slimgate.judge.speed import (
    PLANTED_DELAYS,
    Speedup,
    compute_visible_delay,
    estimate_speedup,
    is_settled,
    judge_speedup,
)
from slimgate.outcomes import Floats
from slimgate.results.base import Verdict
from slimgate.run.measure.duel import INTERIM_ROUNDS
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

NAME = "speed_verdicts"
MINIMUM = 1.5
# Factors by which a variant is faster than its budget, where the power is simulated.
FASTER = (1.1, 1.3, 2.0)


@dataclass(frozen=True)
class Machine:
    """How the time of a block varies.

    noise: standard deviation of the logarithm of a block's time; tails: of Student's t with 2 degrees.

    layout: standard deviation of how much faster or slower a process is for its whole life; drift: of each
    step of a random walk that all share. rounds: at most.
    """

    noise: float
    rounds: int
    layout: float = 0.0
    tails: bool = False
    drift: float = 0.0

    @property
    def label(self) -> str:
        tails = ", heavy tails" if self.tails else ""
        drift = f", drift {100 * self.drift:g} %" if self.drift else ""
        layout = f", layout {100 * self.layout:g} %, {self.rounds} rounds"
        return f"noise {100 * self.noise:g} %{tails}{drift}{layout}"

    def draw_times(self, rng: np.random.Generator, speedup: float) -> tuple[Floats, Floats, Floats]:
        """Draws (rounds,) seconds of the teacher, its copy, and a variant that is `speedup` times as fast."""
        shape = (3, self.rounds)
        noise = rng.standard_t(2, shape).clip(-100, 100) if self.tails else rng.standard_normal(shape)
        logs = self.noise * noise + self.layout * rng.standard_normal((3, 1))
        logs += self.drift * np.cumsum(rng.standard_normal(self.rounds))
        logs[2] -= log(speedup)
        teacher, copy, variant = np.exp(logs)
        return teacher, copy, variant


MACHINES = (
    *(
        Machine(noise, rounds, layout=layout)
        for noise in (0.005, 0.02, 0.1, 0.4)
        for rounds in (12, 60, 400)
        for layout in (0.0, 0.01, 0.015, 0.03)
    ),
    *(Machine(noise, 60, tails=True, drift=0.02) for noise in (0.02, 0.1, 0.4)),
)


def run_to_stop(times: tuple[Floats, Floats, Floats], minimum: float, visible: float | None) -> Speedup:
    """Ends a duel as `slimgate.run.measure.duel` does: when an analysis settles it, or at the end."""
    end = len(times[0])
    for rounds in INTERIM_ROUNDS:
        if rounds >= end:
            break
        so_far = times[0][:rounds], times[1][:rounds], times[2][:rounds]
        if is_settled(*so_far, minimum=minimum, visible=visible):
            end = rounds
            break
    teacher, copy, variant = (times_of_model[:end] for times_of_model in times)
    return estimate_speedup(teacher, copy, variant, of_minima=1.0)


def find_visible_delay(rng: np.random.Generator, machine: Machine) -> tuple[float, float | None]:
    """Returns the last delay that was planted, and the smallest delay that was seen, or None."""
    # the first duel has three times the rounds
    patient = replace(machine, rounds=3 * machine.rounds)
    for share in PLANTED_DELAYS:
        delayed = patient if share == PLANTED_DELAYS[0] else machine
        visible = compute_visible_delay(
            run_to_stop(delayed.draw_times(rng, 1 / (1 + share)), 1.0, 0.0), share
        )
        if visible is not None:
            return share, visible
    return PLANTED_DELAYS[-1], None


@dataclass(frozen=True)
class Shares:
    """Shares of the runs. passed, failed: at the budget; raw: 95 % intervals, before the noise floor, that do
    not hold the truth; power: PASS of a variant that is faster than its budget; seen: each delay, and none.
    """

    passed: float
    failed: float
    raw: float
    power: tuple[float, ...]
    seen: tuple[float, ...]


@dataclass(frozen=True)
class Cell:
    """A machine, and the seed of its random numbers."""

    machine: Machine
    seed: tuple[int, ...]

    def simulate(self, reps: int, *, again: int = 0) -> Shares:
        """Simulates `reps` runs, in each of which the delays are planted and then the variant is judged."""
        rng = np.random.default_rng((*self.seed, again))
        counts, power = np.zeros(3), np.zeros(len(FASTER))
        seen = dict.fromkeys((*PLANTED_DELAYS, None), 0)
        for _ in range(reps):
            share, visible = find_visible_delay(rng, self.machine)
            seen[share if visible is not None else None] += 1
            verdict, speedup = self._judge(rng, 1.0, visible)
            low, high = speedup.interval
            counts += verdict is Verdict.PASS, verdict is Verdict.FAIL, not low <= MINIMUM <= high
            power += [self._judge(rng, by, visible)[0] is Verdict.PASS for by in FASTER]
        passed, failed, raw = (counts / reps).tolist()
        return Shares(
            passed, failed, raw, tuple((power / reps).tolist()), tuple(n / reps for n in seen.values())
        )

    def _judge(self, rng: np.random.Generator, by: float, visible: float | None) -> tuple[Verdict, Speedup]:
        speedup = run_to_stop(self.machine.draw_times(rng, by * MINIMUM), MINIMUM, visible)
        return judge_speedup(speedup, MINIMUM, None, visible=visible).verdict, speedup


def make_page(options: Options) -> str:
    simulated = simulate_in_rounds(
        [Cell(machine, (options.seed, number)) for number, machine in enumerate(MACHINES)],
        lambda cell, reps, number: cell.simulate(reps, again=number),
        lambda shares: max(shares.passed, shares.failed),
        reps=options.reps,
    )
    text = format_head(
        "Speed-ups: how often verdicts are wrong",
        NAME,
        options,
        error=f"{format_error_at_5(options.reps)}.",
        text=_TEXT.format(again=RUN_AGAIN),
    )
    text += format_worst_cells([_make_rates(cell) for cell in simulated])
    return text + "\n## Every machine\n" + format_table(_HEADER, map(_format_row, simulated))


def _make_rates(simulated: Simulated[Cell, Shares]) -> Rates:
    machine = simulated.cell.machine
    return Rates(
        "speed speedup_min", machine.label, simulated.result.passed, simulated.result.failed, simulated.runs
    )


def _format_row(simulated: Simulated[Cell, Shares]) -> list[str]:
    shares = simulated.result
    return [
        simulated.cell.machine.label,
        format_percent(shares.passed, limit=TARGET, reps=simulated.runs),
        format_percent(shares.failed, limit=TARGET, reps=simulated.runs),
        format_percent(shares.raw),
        *map(format_percent, shares.power),
        *map(format_percent, shares.seen),
        f"{simulated.runs:,}",
    ]


_HEADER = (
    "machine",
    "PASS at the budget, %",
    "FAIL at the budget, %",
    "interval misses, %",
    *(f"PASS at {by:g} times the budget, %" for by in FASTER),
    *(f"{share:.0%} seen" for share in PLANTED_DELAYS),
    "none seen",
    "runs",
)
_TEXT = f"""\
Duels of made-up times, judged by slimgate/judge/speed.py with its interim analyses, its rule to end early,
its noise floor and its planted delays. The variant is exactly {MINIMUM} times as fast as the teacher, which
is its budget. Noise: of the time of a block, log-normal, or Student's t with 2 degrees ("heavy tails").
Layout: what a process is faster or slower by as long as it lives, drawn anew for teacher, copy and variant of
each duel; 1 % makes a copy differ by 1.4 % from the teacher, 1.5 % by 2.1 %, and 3 % by 4.2 %. Drift: a
random walk that all share. "interval misses": the 95 % interval before the noise floor does not hold the
true speed-up. {{again}}
Bold: above 6 % by more than two standard errors.
"""

if __name__ == "__main__":
    run(NAME, make_page, reps=100)

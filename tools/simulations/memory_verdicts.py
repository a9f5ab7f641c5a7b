"""How often a verdict on memory is wrong, by the number of readings and by how they scatter.

python -m tools.simulations.memory_verdicts [--reps N] [--seed S] [--out FILE]
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from slimgate.judge.figures import READINGS
from tools.simulations.page import (
    TARGET,
    Options,
    format_error_at_5,
    format_head,
    format_percent,
    format_table,
    run,
)
from tools.simulations.rounds import Rates, format_worst_cells

NAME = "memory_verdicts"
LIMIT = 0.8
COUNTS = (2, 3, 4, 5, READINGS, 8)
Draw = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]


def draw_constant(_rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    return np.zeros(shape)


def draw_normal(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    return 0.01 * rng.standard_normal(shape)


def draw_skewed_noise(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Exponential noise: some processes take much more."""
    noise: np.ndarray = 0.01 * (rng.exponential(size=shape) - np.log(2))
    return noise


def make_two_sizes(low: float, high: float) -> Draw:
    """Draws one of two sizes with equal chances; any value between them is a median."""

    def draw(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
        return np.where(rng.random(shape) < 0.5, low, high)

    return draw


# How the logarithms of the peaks of teacher and variant differ from their medians.
CASES: Mapping[str, tuple[Draw, Draw]] = {
    "both normal, alike": (draw_normal, draw_normal),
    "both exponential, alike": (draw_skewed_noise, draw_skewed_noise),
    "the teacher is constant": (draw_constant, draw_normal),
    "the variant is constant": (draw_normal, draw_constant),
    "exponential beside normal": (draw_skewed_noise, draw_normal),
    "two sizes each, the worst that there is": (make_two_sizes(-0.001, 0.1), make_two_sizes(-0.1, 0.001)),
}


def simulate_error_rates(
    rng: np.random.Generator, case: tuple[Draw, Draw], readings: int, *, reps: int
) -> tuple[float, float]:
    """Shares of PASS and FAIL by the rule of `judge_memory`, if the ratio of the medians is the limit."""
    teacher = np.exp(case[0](rng, (reps, readings)))
    variant = LIMIT * np.exp(case[1](rng, (reps, readings)))
    smallest, largest = variant.min(axis=1) / teacher.max(axis=1), variant.max(axis=1) / teacher.min(axis=1)
    # with a tolerance, because rounding may move a ratio that is exactly the limit
    return float((largest <= LIMIT * (1 + 1e-9)).mean()), float((smallest > LIMIT * (1 + 1e-9)).mean())


def make_page(options: Options) -> str:
    rng = np.random.default_rng(options.seed)
    rates_by_case = {
        (name, readings): simulate_error_rates(rng, case, readings, reps=options.reps)
        for name, case in CASES.items()
        for readings in COUNTS
    }
    text = format_head(
        "Memory: how often verdicts are wrong",
        NAME,
        options,
        error=f"{format_error_at_5(options.reps)}.",
        text=_TEXT,
    )
    text += format_worst_cells(
        [
            Rates("memory memory_ratio_max", name, *rates_by_case[name, READINGS], options.reps)
            for name in CASES
        ]
    )
    for index, verdict in enumerate(("PASS", "FAIL")):
        rows = [
            [
                name,
                *(
                    format_percent(rates_by_case[name, n][index], limit=TARGET, reps=options.reps)
                    for n in COUNTS
                ),
            ]
            for name in CASES
        ]
        text += f"\n## {verdict} where the ratio of the medians is the limit, %\n"
        text += format_table(["peaks", *(f"{n} readings" for n in COUNTS)], rows)
    return text


_TEXT = f"""\
PASS where the largest reading of the variant over the smallest of the teacher is within the limit, FAIL
where the smallest over the largest is not, as slimgate/judge/figures.py does with {READINGS} readings of
each model. The peaks scatter by about 1 %. "two sizes": each model's peak has one of two values with equal
chances, one of which is next to its median; no scatter is worse. Bold: above 6 % by more than two standard
errors.
"""

if __name__ == "__main__":
    run(NAME, make_page, reps=200_000)

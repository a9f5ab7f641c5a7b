"""Whether Tango has the power that statistics.md and `rows needed` promise.

python -m tools.simulations.power [--reps N] [--seed S] [--out FILE]
"""

from __future__ import annotations

import numpy as np

from slimgate.judge.decision import POWER, Z_ALPHA
from slimgate.judge.paired import compute_tango_z
from slimgate.judge.rows_needed import count_planned_rows
from tools.simulations.exact import compute_pass_chance
from tools.simulations.page import (
    Options,
    compute_standard_error,
    format_head,
    format_percent,
    format_table,
    run,
)
from tools.simulations.rules import TANGO

NAME = "power"
# (margin, psi) -> rows for 80 % power by simulation: the bracketed numbers of the method's table.
PROMISED = {
    (0.01, 0.02): 1340,
    (0.01, 0.05): 3130,
    (0.01, 0.10): 6210,
    (0.02, 0.02): 390,
    (0.02, 0.05): 810,
    (0.02, 0.10): 1560,
}


def simulate_power(rng: np.random.Generator, n: int, psi: float, margin: float, *, reps: int) -> float:
    """The share of draws of n rows that pass at a true drop of 0."""
    drawn = rng.multinomial(n, [psi / 2, psi / 2, 1 - psi], size=reps)[:, :2]
    counts, times = np.unique(drawn, axis=0, return_counts=True)
    passed = np.array([compute_tango_z(int(b), int(c), n, margin) <= -Z_ALPHA for b, c in counts])
    return float(times[passed].sum() / reps)


def find_smallest_rows(psi: float, margin: float, *, step: int = 10) -> int:
    """The smallest number of rows from which on the power is 80 % at every step, up to 1.5 times the plan.

    Counts are whole, so the power sometimes falls if rows are added.
    """
    start = count_planned_rows(margin, discordance=psi)
    sizes = range(start // 2 // step * step, 3 * start // 2, step)
    enough = [compute_pass_chance(TANGO, n, psi, 0.0, margin) >= POWER for n in sizes]
    missing = [n for n, reached in zip(sizes, enough, strict=True) if not reached]
    return missing[-1] + step


def make_page(options: Options) -> str:
    rng = np.random.default_rng(options.seed)
    rows = []
    for (margin, psi), n in PROMISED.items():
        planned = count_planned_rows(margin, discordance=psi)
        rows.append(
            [
                f"{100 * margin:g}",
                f"{100 * psi:g}",
                f"{n:,}",
                format_percent(compute_pass_chance(TANGO, n, psi, 0.0, margin)),
                format_percent(simulate_power(rng, n, psi, margin, reps=options.reps)),
                f"{find_smallest_rows(psi, margin):,}",
                f"{planned:,}",
                format_percent(compute_pass_chance(TANGO, planned, psi, 0.0, margin)),
                format_percent(compute_pass_chance(TANGO, 4 * n, psi, margin / 2, margin)),
            ]
        )
    header = [
        "margin, points",
        "psi, %",
        "n promised",
        "its power",
        "the same simulated",
        "80 % from n on",
        "n by the closed form",
        "its power",
        "4 n, drop half the margin",
    ]
    points = 100 * compute_standard_error(POWER, options.reps)
    error = f"{points:.2f} points at 80 %, of the simulated column; the others are exact."
    text = format_head("Power of Tango's test at a true drop of 0", NAME, options, error=error, text=_TEXT)
    return text + format_table(header, rows)


_TEXT = """\
The chance (%) that an equally good variant passes. `n promised` is the bracketed number in the method's
table; the closed form, (1.645 + 0.842)² psi / margin² + 2 / psi, is what `--slimgate-plan` names before
anything is measured. The last column: a variant that truly loses half the margin, on four times as many rows.
"""

if __name__ == "__main__":
    run(NAME, make_page, reps=20_000)

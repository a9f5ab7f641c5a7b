"""How often macro F1 is judged wrongly by the paired bootstrap, and how often its interval holds the truth.

python -m tools.simulations.bootstrap_verdicts [--reps N] [--seed S] [--out FILE]
"""

from __future__ import annotations

from collections.abc import Iterator

from tools.simulations.judging import (
    HEADER,
    NOTE,
    Cell,
    format_identical_table,
    format_row,
    judge_cells,
    make_rates,
)
from tools.simulations.page import Options, format_errors, format_head, format_table, run
from tools.simulations.populations import Predictions
from tools.simulations.rounds import format_worst_cells

NAME = "bootstrap_verdicts"
# With so few resamples, chance moves a bound by 0.16 standard errors, which turns an
# error rate of 5 % into 5.2 %.
RESAMPLES = 500

CLASSES = {
    "3 equal": (1 / 3,) * 3,
    "3, 70 / 25 / 5 %": (0.70, 0.25, 0.05),
    "10 equal": (0.1,) * 10,
    "10, 30 to 2 %": (0.30, 0.20, 0.14, 0.10, 0.08, 0.06, 0.05, 0.03, 0.02, 0.02),
}
# (psi, net loss), fractions of the rows
CHANGES = ((0.01, 0.01), (0.02, 0.01), (0.05, 0.01), (0.02, 0.02), (0.05, 0.02), (0.10, 0.02), (0.20, 0.02))


def list_cells() -> Iterator[Cell]:
    """Every population and change. Only one population has 10,000 rows, which take ten times as long."""
    for name, shares in CLASSES.items():
        for psi, net in CHANGES:
            for n in (200, 1000, 3000, 10_000) if name == "3 equal" else (200, 1000, 3000):
                change = f"{100 * psi:g} % change, {100 * net:g} net"
                yield Cell((name, change), Predictions(shares, psi, net), n, psi)


def make_page(options: Options) -> str:
    simulated = judge_cells(list_cells(), options, resamples=RESAMPLES)
    populations = {name: Predictions(shares, 0.001, 0.0) for name, shares in CLASSES.items()}
    identical = format_identical_table(populations, options, resamples=RESAMPLES)
    text = format_head(
        "Macro F1: how often verdicts of the bootstrap are wrong",
        NAME,
        options,
        error=format_errors(options.reps),
        text=_TEXT + NOTE,
    )
    text += format_worst_cells([make_rates(cell) for cell in simulated])
    return (
        text
        + "\n## True drop = margin\n"
        + format_table(["classes", "variant", *HEADER], map(format_row, simulated))
        + identical
    )


_TEXT = f"""\
Verdicts of `judge_quality` itself, with {RESAMPLES:,} resamples in place of its default of 10,000, on rows
drawn from populations whose true drop is computed, not drawn; the margin is that drop. The teacher is right
on 85 % of each class.
"""

if __name__ == "__main__":
    run(NAME, make_page, reps=40)

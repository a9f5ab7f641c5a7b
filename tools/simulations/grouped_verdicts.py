"""How often accuracy is judged wrongly if rows come in groups that change together.

python -m tools.simulations.grouped_verdicts [--reps N] [--seed S] [--out FILE]
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from tools.simulations.groups import (
    GroupCounts,
    draw_group_sizes,
    draw_groups,
    draw_lost_groups,
    judge_groups,
    judge_rows_alone,
)
from tools.simulations.page import (
    TARGET,
    Options,
    format_error_at_5,
    format_head,
    format_percent,
    format_table,
    run,
)
from tools.simulations.rounds import RUN_AGAIN, Rates, Simulated, format_worst_cells, simulate_cells

NAME = "grouped_verdicts"
# groups × mean rows, up to 20,000 rows
SHAPES = (
    *((20, size) for size in (2, 10, 40, 200, 1000)),
    *((50, size) for size in (2, 10, 40, 200, 400)),
    *((150, size) for size in (2, 10, 40, 130)),
    *((500, size) for size in (2, 10, 40)),
    *((2000, size) for size in (2, 10)),
)
# (psi, margin), fractions: nothing won back, some, much
CHANGES = (
    (0.01, 0.005),
    (0.01, 0.01),
    (0.02, 0.02),
    (0.05, 0.01),
    (0.05, 0.02),
    (0.10, 0.02),
    (0.05, 0.05),
    (0.30, 0.02),
    (0.10, 0.10),
    (0.30, 0.10),
)
# standard deviation of the logarithms of the sizes: equal groups, and sizes that differ by factors of ten
SPREADS = (0.0, 1.0)
# A row takes its group's fate with this chance; whole groups are lost, all as likely or the large ones more.
WHOLE_GROUPS, BY_SIZE = "whole groups lost", "whole groups lost, by size"
DEPENDENCE: tuple[float | str, ...] = (0.0, 0.3, 0.7, 1.0, WHOLE_GROUPS, BY_SIZE)


@dataclass(frozen=True)
class Cell:
    """Groups of rows, how they change, and a budget."""

    groups: int
    size: int
    spread: float
    dependence: float | str
    psi: float
    margin: float
    seed: tuple[int, ...]

    def draw(self, rng: np.random.Generator, drop: float) -> GroupCounts:
        """Draws one run."""
        sizes = draw_group_sizes(rng, self.groups * self.size, self.groups, spread=self.spread)
        if isinstance(self.dependence, str):
            return draw_lost_groups(rng, sizes, drop, by_size=self.dependence == BY_SIZE, runs=1)
        return draw_groups(rng, sizes, self.psi, drop, self.dependence, runs=1)

    def simulate(self, reps: int, *, again: int = 0) -> Shares:
        """Simulates `reps` runs. again: the number of the round; each round draws other samples."""
        rng = np.random.default_rng((*self.seed, again))
        sums = np.zeros(5)
        for _ in range(reps):
            counts, equal = self.draw(rng, self.margin), self.draw(rng, 0.0)
            passed, failed = judge_groups(counts, self.margin)
            alone = judge_rows_alone(counts, self.margin)
            equal_passed, equal_failed = judge_groups(equal, self.margin)
            sums += passed[0], failed[0], alone[0], equal_passed[0], equal_failed[0]
        return Shares(*(sums / reps).tolist())

    @property
    def label(self) -> str:
        """The cell's name in the summary."""
        return (
            f"{self.groups:,} groups of {self.size:,}, {self.sizes}, {_format_dependence(self.dependence)}, "
            f"psi {100 * self.psi:g} %, margin {100 * self.margin:g}"
        )

    @property
    def sizes(self) -> str:
        return "equal" if self.spread == 0 else "skewed"


@dataclass(frozen=True)
class Shares:
    """Shares of PASS and FAIL at a true drop of the margin, also as if rows were alone, and at no drop."""

    passed: float
    failed: float
    as_if_alone: float
    equal_passed: float
    equal_failed: float

    @property
    def worst(self) -> float:
        return max(self.passed, self.equal_failed)


def list_cells(seed: int) -> Iterator[Cell]:
    """Every cell, before it is simulated. Lost groups change all rows that they lose: psi is the margin."""
    number = 0
    for (groups, size), spread, dependence, (psi, margin) in product(SHAPES, SPREADS, DEPENDENCE, CHANGES):
        if dependence == BY_SIZE and spread == 0:
            continue
        if isinstance(dependence, str) and psi != margin:
            continue
        number += 1
        yield Cell(
            groups=groups,
            size=size,
            spread=spread,
            dependence=dependence,
            psi=psi,
            margin=margin,
            seed=(seed, number),
        )


def make_page(options: Options) -> str:
    simulated = simulate_cells(list_cells(options.seed), reps=options.reps)
    text = format_head(
        "Accuracy of grouped rows: how often verdicts are wrong",
        NAME,
        options,
        error=f"{format_error_at_5(options.reps)}.",
        text=_TEXT.format(cells=len(simulated), again=RUN_AGAIN),
    )
    text += format_worst_cells([_make_rates(cell) for cell in simulated])
    again = sorted(
        (cell for cell in simulated if cell.runs != options.reps), key=lambda cell: -cell.result.worst
    )
    text += f"\n## The {len(again)} cells that were run again\n" + format_table(
        _HEADER, map(_format_row, again)
    )
    text += "\n## The worst PASS at the margin, %, by groups and dependence\n" + _format_worst_table(
        simulated, options
    )
    return (
        text
        + "\n## PASS of an equal model, %: the largest over dependence\n"
        + _format_power_table(simulated)
    )


def _make_rates(simulated: Simulated[Cell, Shares]) -> Rates:
    shares = simulated.result
    return Rates(
        "accuracy drop_points, groups",
        simulated.cell.label,
        shares.passed,
        shares.equal_failed,
        simulated.runs,
    )


def _format_dependence(dependence: float | str) -> str:
    return dependence if isinstance(dependence, str) else f"follows with {dependence:g}"


def _format_worst_table(simulated: Sequence[Simulated[Cell, Shares]], options: Options) -> str:
    rows = []
    for groups in sorted({cell.cell.groups for cell in simulated}):
        cells = [cell for cell in simulated if cell.cell.groups == groups]
        shares = [
            max(cell.result.passed for cell in cells if cell.cell.dependence == kind) for kind in DEPENDENCE
        ]
        rows.append(
            [str(groups), *(format_percent(share, limit=TARGET, reps=options.reps) for share in shares)]
        )
    return format_table(["groups", *map(_format_dependence, DEPENDENCE)], rows)


def _format_power_table(simulated: Sequence[Simulated[Cell, Shares]]) -> str:
    """The largest share by number of groups and margin. It is that of the smallest psi of the margin."""
    margins = sorted({cell.cell.margin for cell in simulated})
    rows = []
    for groups in sorted({cell.cell.groups for cell in simulated}):
        shares = (
            max(
                cell.result.equal_passed
                for cell in simulated
                if (cell.cell.groups, cell.cell.margin) == (groups, margin)
            )
            for margin in margins
        )
        rows.append([str(groups), *(format_percent(share) for share in shares)])
    return format_table(["groups", *(f"{100 * margin:g} points" for margin in margins)], rows)


def _format_row(simulated: Simulated[Cell, Shares]) -> list[str]:
    cell, shares = simulated.cell, simulated.result
    return [
        str(cell.groups),
        str(cell.size),
        cell.sizes,
        _format_dependence(cell.dependence),
        f"{100 * cell.psi:g}",
        f"{100 * cell.margin:g}",
        format_percent(shares.passed, limit=TARGET, reps=simulated.runs),
        format_percent(shares.as_if_alone, limit=TARGET, reps=simulated.runs),
        format_percent(shares.failed, limit=TARGET, reps=simulated.runs),
        format_percent(shares.equal_passed),
        format_percent(shares.equal_failed, limit=TARGET, reps=simulated.runs),
        f"{simulated.runs:,}",
    ]


_HEADER = (
    "groups",
    "mean rows",
    "sizes",
    "dependence",
    "psi, %",
    "margin, points",
    "PASS at the margin, %",
    "PASS as if alone, %",
    "FAIL at the margin, %",
    "PASS at drop 0, %",
    "FAIL at drop 0, %",
    "runs",
)
_TEXT = """\
Verdicts of slimgate's bound over groups (slimgate/judge/mean_bound.py) in {cells:,} cells: 20 to 2,000 groups
of 2 to 1,000 rows on average, up to 20,000 rows; equal sizes, or log-normal ones with a spread of 1. A row
takes its group's fate (lost, won, same) with the stated chance, else a fate of its own; or whole groups are
lost, each with the same chance, or with a chance in proportion to its size. {again}
`as if alone`: PASS of Tango's test on the same rows without groups.
Bold: above 6 % by more than two standard errors.
"""

if __name__ == "__main__":
    run(NAME, make_page, reps=40)

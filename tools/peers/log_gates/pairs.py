"""Pairs of logs whose true drop is known, and logs that do not compare."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
# The share of right answers among those that do not change.
RIGHT = 0.85


@dataclass(frozen=True)
class Cell:
    """Pairs of logs of one kind.

    runs: of each side. repeats: whether the runs are epochs in one log, and not separate logs. groups: of
    questions, 0 for none; the answers of a group change together with probability `follow`, or, if that is
    None, whole groups are lost. changes: the share of answers that differ. correlation, shift: of runs, as in
    `tools.simulations.run_verdicts`.
    """

    name: str
    rows: int
    margin: float
    changes: float = 0.0
    groups: int = 0
    follow: float | None = 0.0
    runs: int = 1
    repeats: bool = False
    correlation: str = "none"
    shift: float = 0.0

    def draw(self, rng: np.random.Generator, drop: float) -> tuple[Floats, Floats]:
        """(runs, rows) scores of base and target; the target's true drop is `drop`, a fraction."""
        from tools.simulations import run_verdicts

        if self.runs > 1:
            cell = run_verdicts.Cell(
                kind="0/1",
                runs=(self.runs, self.runs),
                n=self.rows,
                margin=100 * self.margin,
                correlation=self.correlation,
                shift=self.shift,
            )
            return run_verdicts.draw_scores(rng, cell, drop)
        return self._draw_pair(rng, drop)

    def _draw_pair(self, rng: np.random.Generator, drop: float) -> tuple[Floats, Floats]:
        from tools.simulations.groups import draw_group_sizes, draw_groups, draw_lost_groups

        sizes = draw_group_sizes(rng, self.rows, self.groups or self.rows, spread=0.0)
        if self.follow is None:
            counts = draw_lost_groups(rng, sizes, drop, by_size=False, runs=1)
        else:
            counts = draw_groups(rng, sizes, self.changes, drop, self.follow, runs=1)
        group = np.repeat(np.arange(len(sizes)), sizes)
        place = np.arange(len(group)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        lost, won = counts.lost[0][group], counts.won[0][group]
        is_lost, is_won = place < lost, (place >= lost) & (place < lost + won)
        same = (rng.random(len(group)) < RIGHT).astype(np.float64)
        base = np.where(is_lost, 1.0, np.where(is_won, 0.0, same))
        target = np.where(is_lost, 0.0, np.where(is_won, 1.0, same))
        return base[None], target[None]

    def make_clusters(self) -> npt.NDArray[np.int64] | None:
        """(rows,) the group of each question; groups are equally large."""
        return np.arange(self.rows) * self.groups // self.rows if self.groups else None


CELLS = (
    Cell("300 questions, 1 % change", 300, 0.01, changes=0.01),
    Cell("500 questions, 5 % change", 500, 0.02, changes=0.05),
    Cell("1,000 questions, 10 % change", 1000, 0.02, changes=0.10),
    Cell("50 texts of 10 questions, which change together", 500, 0.05, changes=0.10, groups=50, follow=0.7),
    Cell("100 texts of 10 questions, some lost whole", 1000, 0.05, groups=100, follow=None),
    Cell("200 questions, 4 epochs", 200, 0.05, runs=4, repeats=True, correlation="medium"),
    Cell(
        "500 questions, 3 runs a side that move by 1 point", 500, 0.04, runs=3, correlation="full", shift=1.0
    ),
    Cell(
        "500 questions, 5 runs a side that move by 2 points", 500, 0.04, runs=5, correlation="full", shift=2.0
    ),
)


@dataclass(frozen=True)
class Row:
    """An answer in a log."""

    id: str
    score: float
    cluster: str | None = None
    epoch: int = 0
    prompt: str = ""


def list_rows(cell: Cell, scores: Floats) -> list[Row]:
    """The rows of one log, of all epochs if the runs are epochs."""
    clusters = cell.make_clusters()
    return [
        Row(f"q{at:05}", score, None if clusters is None else f"t{clusters[at]}", epoch, f"question {at}")
        for epoch, line in enumerate(scores.tolist())
        for at, score in enumerate(line)
    ]


def draw_cell(cell: Cell, number: int, draws: int, seed: int, drop: float) -> tuple[Floats, Floats]:
    """(draws, runs, rows) of base and target: the same for every tool."""
    rng = np.random.default_rng([seed, number, int(1e4 * drop)])
    pairs = [cell.draw(rng, drop) for _ in range(draws)]
    return np.stack([base for base, _ in pairs]), np.stack([target for _, target in pairs])


def spoil_missing(rows: list[Row]) -> list[Row]:
    return rows[:-30]


def spoil_twice(rows: list[Row]) -> list[Row]:
    return [*rows, *(replace(row, score=1.0) for row in rows[:30])]


def spoil_nan(rows: list[Row]) -> list[Row]:
    return [replace(row, score=float("nan")) if at < 30 else row for at, row in enumerate(rows)]


def spoil_questions(rows: list[Row]) -> list[Row]:
    return [replace(row, prompt=f"another {row.prompt}") for row in rows]


SPOILED: Mapping[str, Callable[[list[Row]], list[Row]]] = {
    "30 of 500 samples are missing in the target's log": spoil_missing,
    "30 samples occur twice in the target's log": spoil_twice,
    "30 scores of the target are NaN": spoil_nan,
    "other questions under the same ids": spoil_questions,
}

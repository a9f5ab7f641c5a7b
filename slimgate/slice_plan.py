"""How many slices of a budget the gate rows can decide, before anything is built."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from slimgate.judge.rows_needed import planned_rows
from slimgate.judge.slices import LABEL
from slimgate.pools import strings
from slimgate.protocols import Rows
from slimgate.slicing import column_slices
from slimgate.suite import Suite, TaskSetup

# Share of the answers that an equal variant is taken to change.
SLICE_CHANGES = 0.05


@dataclass(frozen=True)
class PlannedSlices:
    """One budget on the slices of one column. sizes: the gate rows of each slice; needed: rows a slice."""

    column: str
    metric: str
    drop_points: float
    variants: tuple[str, ...]
    sizes: tuple[int, ...]
    needed: int

    @property
    def decidable(self) -> int:
        """How many slices can be decided."""
        return sum(size >= self.needed for size in self.sizes)

    @property
    def line(self) -> str:
        """`slices by label, accuracy: 0 of 77 can be decided at 5 points (40 rows each; …)`."""
        fewest, most = min(self.sizes), max(self.sizes)
        rows = f"{fewest:,} rows each" if fewest == most else f"{fewest:,} to {most:,} rows"
        counts = f"{self.decidable} of {len(self.sizes)} can be decided at {self.drop_points:g} points"
        return f"slices by {self.column}, {self.metric}: {counts} ({rows}; about {self.needed:,} needed)"


def planned_slices(suite: Suite, gate: Rows) -> list[PlannedSlices]:
    """Each distinct budget on slices of gated variants, for each column that makes slices."""
    variants: dict[tuple[str, float], list[str]] = {}
    for name, own in suite.budgets.items():
        for metric, budget in own.behaviour.slices.items() if suite.variants[name].gated else ():
            variants.setdefault((metric, budget.drop_points), []).append(name)
    sizes = slice_sizes(suite.setup, gate) if variants else {}
    return [
        PlannedSlices(
            column,
            metric,
            points,
            tuple(names),
            counts,
            planned_rows(points / 100, discordance=SLICE_CHANGES),
        )
        for (metric, points), names in variants.items()
        for column, counts in sizes.items()
    ]


def slice_sizes(setup: TaskSetup, gate: Rows) -> dict[str, tuple[int, ...]]:
    """Gate rows of each slice by column; `label` for those of the labels."""
    found: dict[str, list[int]] = {}
    for one in column_slices(setup, gate):
        found.setdefault(one.column, []).append(len(one.rows))
    task = setup.task
    label = task.object.label_column(task.params)
    if "prediction" in task.object.metrics() and label is not None and label in gate.table.column_names:
        values: Sequence[str] = strings(gate.table[label], f"label {label}").to_pylist()
        found[LABEL] = np.unique(np.asarray(values, np.str_), return_counts=True)[1].tolist()
    return {column: tuple(counts) for column, counts in found.items()}

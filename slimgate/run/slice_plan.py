"""How many slices of a budget the gate rows can decide, before anything is built."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from slimgate.data.parts import strings
from slimgate.judge.rows_needed import planned_rows
from slimgate.judge.slices import LABEL, Slice
from slimgate.outcomes import Ints
from slimgate.protocols import Rows
from slimgate.run.budget_plan import group_ids
from slimgate.run.slicing import column_slices
from slimgate.suite.suite import Suite, TaskSetup

# Share of the answers that an equal variant is taken to change.
SLICE_CHANGES = 0.05


@dataclass(frozen=True)
class PlannedSlices:
    """One budget on the slices of one column.

    sizes: the gate rows of each slice; needed: how many it takes, more where they come in groups.
    """

    column: str
    metric: str
    drop_points: float
    variants: tuple[str, ...]
    sizes: tuple[int, ...]
    needed: tuple[int, ...]

    @property
    def count_decidable(self) -> int:
        """How many slices can be decided."""
        return sum(size >= needed for size, needed in zip(self.sizes, self.needed, strict=True))

    @property
    def line(self) -> str:
        """`slices by label, accuracy: 0 of 77 can be decided at 5 points (40 rows each; …)`."""
        each = " each" if len(set(self.sizes)) == 1 else ""
        rows = f"{_range(self.sizes)} rows{each}; about {_range(self.needed)} needed"
        counts = f"{self.count_decidable} of {len(self.sizes)} can be decided at {self.drop_points:g} points"
        return f"slices by {self.column}, {self.metric}: {counts} ({rows})"


def _range(counts: Sequence[int]) -> str:
    """`40`, or `40 to 120`."""
    return " to ".join(f"{count:,}" for count in dict.fromkeys((min(counts), max(counts))))


def planned_slices(suite: Suite, gate: Rows) -> list[PlannedSlices]:
    """Each distinct budget on slices of gated variants, for each column that makes slices."""
    variants: dict[tuple[str, float], list[str]] = {}
    for name, own in suite.budgets.items():
        for metric, budget in own.behaviour.slices.items() if suite.variants[name].gated else ():
            variants.setdefault((metric, budget.drop_points), []).append(name)
    slices = slice_groups(suite.setup, gate) if variants else {}
    return [
        PlannedSlices(
            column,
            metric,
            points,
            tuple(names),
            tuple(int(sizes.sum()) for sizes in found),
            tuple(_rows_needed(points / 100, sizes) for sizes in found),
        )
        for (metric, points), names in variants.items()
        for column, found in slices.items()
    ]


def _rows_needed(margin: float, sizes: Ints) -> int:
    grouped = sizes.astype(np.float64) if sizes.max() > 1 else None
    return planned_rows(margin, discordance=SLICE_CHANGES, sizes=grouped)


def slice_groups(setup: TaskSetup, gate: Rows) -> dict[str, list[Ints]]:
    """Of each slice (groups,) how many of its rows each group has, by column; `label` for the labels."""
    task = setup.task
    groups = group_ids(gate, task.object.text_columns(task.params), setup.group)
    member = np.arange(len(gate)) if groups is None else groups
    found: dict[str, list[Ints]] = {}
    for one in (*column_slices(setup, gate), *_label_slices(setup, gate)):
        found.setdefault(one.column, []).append(np.unique(member[one.rows], return_counts=True)[1])
    return found


def _label_slices(setup: TaskSetup, gate: Rows) -> Iterator[Slice]:
    """As `label_slices` of the judge, of rows without outcomes."""
    task = setup.task
    label = task.object.label_column(task.params)
    if "prediction" in task.object.metrics() and label is not None and label in gate.table.column_names:
        values: Sequence[str] = strings(gate.table[label], f"label {label}").to_pylist()
        names, index = np.unique(np.asarray(values, np.str_), return_inverse=True)
        yield from (Slice(LABEL, str(name), np.flatnonzero(index == k)) for k, name in enumerate(names))

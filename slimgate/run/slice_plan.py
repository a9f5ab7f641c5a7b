"""Plans, before anything is built, how many slices of a budget the gate rows can decide."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from slimgate._system.number_text import format_points
from slimgate.judge.budget_tables import SliceName
from slimgate.judge.rows_needed import count_planned_rows
from slimgate.outcomes import Ints
from slimgate.plugins.rows import Rows
from slimgate.results.base import OnInconclusive
from slimgate.run.budget_plan import find_group_ids
from slimgate.run.slicing import find_gate_slices
from slimgate.suite.suite import Suite, TaskSetup

# The share of answers that an equally good variant is assumed to change.
SLICE_CHANGES = 0.05


@dataclass(frozen=True)
class PlannedSlices:
    """A budget on the slices of a column, and the rows that they have and need.

    name: `label`, or `label refund` for a budget that names its slice. sizes: the gate rows of each slice.
    needed: the rows that each slice needs, which are more if rows come in groups. undecided: what an
    undecided slice does.
    """

    name: str
    metric: str
    drop_points: float
    undecided: OnInconclusive
    variants: tuple[str, ...]
    sizes: tuple[int, ...]
    needed: tuple[int, ...]

    @property
    def decidable_count(self) -> int:
        """The number of slices that can be decided."""
        return sum(size >= needed for size, needed in zip(self.sizes, self.needed, strict=True))

    @property
    def line(self) -> str:
        """The plan in one line.

        Example: `slices by label, accuracy: 0 of 77 can be decided at 5 points (40 rows each; …)`.
        """
        each = " each" if len(set(self.sizes)) == 1 and len(self.sizes) > 1 else ""
        rows = f"{_format_range(self.sizes)} rows{each}; about {_format_range(self.needed)} needed"
        counts = (
            f"{self.decidable_count} of {len(self.sizes)} can be decided at {format_points(self.drop_points)}"
        )
        line = f"slices by {self.name}, {self.metric}: {counts} ({rows})"
        if self.decidable_count == len(self.sizes):
            return line
        return line + (", undecided ones fail" if self.undecided == "fail" else ", undecided ones only warn")


def _format_range(counts: Sequence[int]) -> str:
    """`40`, or `40 to 120`."""
    return " to ".join(f"{count:,}" for count in dict.fromkeys((min(counts), max(counts))))


class _Planned(NamedTuple):
    """A budget on slices. name: the slice that it is on; None: all slices."""

    metric: str
    drop_points: float
    undecided: OnInconclusive
    name: SliceName | None


def plan_slices(suite: Suite, gate: Rows) -> list[PlannedSlices]:
    """Plans each distinct budget on slices of gated variants, for each column that makes slices."""
    variants: dict[_Planned, list[str]] = {}
    for variant in (name for name in suite.variants if suite.variants[name].gated):
        for budget in _list_planned(suite, variant):
            variants.setdefault(budget, []).append(variant)
    slices = count_slice_groups(suite.setup, gate) if variants else {}
    plans: list[PlannedSlices] = []
    for budget, names in variants.items():
        margin = budget.drop_points / 100
        for column, groups in _find_slices(budget, slices).items():
            rows = tuple(int(sizes.sum()) for sizes in groups)
            needed = tuple(_count_rows_needed(margin, sizes) for sizes in groups)
            plan = PlannedSlices(
                column, budget.metric, budget.drop_points, budget.undecided, tuple(names), rows, needed
            )
            plans.append(plan)
    return plans


def _list_planned(suite: Suite, variant: str) -> Iterator[_Planned]:
    budgets, undecided = suite.budgets[variant].behaviour, suite.measure.on_inconclusive
    for metric, budget in budgets.slices.items():
        yield _Planned(metric, budget.drop_points, budget.on_inconclusive or undecided, None)
    for name, budget in budgets.named_slices.items():
        yield _Planned(name.metric, budget.drop_points, budget.on_inconclusive or undecided, name)


def _find_slices(budget: _Planned, slices: Mapping[str, Mapping[str, Ints]]) -> dict[str, list[Ints]]:
    """Name in the plan -> the sizes of the groups in each slice that a budget covers."""
    if budget.name is None:
        return {column: list(groups.values()) for column, groups in slices.items()}
    groups = slices.get(budget.name.column, {}).get(budget.name.value)
    return {} if groups is None else {f"{budget.name.column} {budget.name.value}": [groups]}


def _count_rows_needed(margin: float, sizes: Ints) -> int:
    grouped = sizes.astype(np.float64) if sizes.max() > 1 else None
    return count_planned_rows(margin, discordance=SLICE_CHANGES, sizes=grouped)


def count_slice_groups(setup: TaskSetup, gate: Rows) -> dict[str, dict[str, Ints]]:
    """Column, such as `label` -> value -> (groups,) the number of rows of each group in that slice."""
    task = setup.task
    groups = find_group_ids(gate, task.object.text_columns(task.params), setup.group)
    member = np.arange(len(gate)) if groups is None else groups
    slices: dict[str, dict[str, Ints]] = {}
    for gate_slice in find_gate_slices(setup, gate):
        sizes = np.unique(member[gate_slice.rows], return_counts=True)[1]
        slices.setdefault(gate_slice.column, {})[gate_slice.value] = sizes
    return slices

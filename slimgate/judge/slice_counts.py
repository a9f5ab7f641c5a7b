"""How many slices are shown to be inside a budget, in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from slimgate.judge.decision import Verdict


class Counted(Protocol):
    """A slice as the judge or a record has it."""

    @property
    def column(self) -> str:
        """The column whose value its rows share."""

    @property
    def value(self) -> str:
        """That value."""

    @property
    def n(self) -> int:
        """Its rows."""

    @property
    def verdict(self) -> Verdict | None:
        """None without a budget."""


def slice_counts(slices: Sequence[Counted]) -> str:
    """`12 inside, 65 not shown (fewest rows: label refund, 40)`, or `all 77 inside`."""
    unknown = [one for one in slices if one.verdict is Verdict.NOT_SHOWN]
    if not unknown:
        return f"all {len(slices)} inside"
    fewest = min(unknown, key=lambda one: one.n)
    inside = sum(one.verdict is Verdict.PASS for one in slices)
    few = f"fewest rows: {fewest.column} {fewest.value}, {fewest.n:,}"
    return f"{inside} inside, {len(unknown)} not shown ({few})"

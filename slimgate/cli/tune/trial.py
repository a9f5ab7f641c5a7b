"""One tried step list of a search: its steps, its drops on the selection rows, and its speed-ups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from slimgate.judge.speed import Speedup
from slimgate.judge.verdict import QualityJudgement
from slimgate.plugins.base import Json
from slimgate.suite.tune_space import Space


class State(StrEnum):
    """How a trial ended.

    TIMED: it was built, judged and timed. BEYOND: it exceeds a budget in every `[tune] budget`, so it was not
    timed. FAILED: it could not be built or measured. IMPOSSIBLE: its steps do not fit the model, or each
    other.
    """

    TIMED = "timed"
    BEYOND = "beyond"
    FAILED = "failed"
    IMPOSSIBLE = "impossible"


@dataclass(frozen=True)
class Measurements:
    """The measurements of a built variant.

    drops: by metric, teacher and variant on the same selection rows. budget_uses, inside: for each `[tune]
    budget` table (a tier), how much of its budgets the variant uses, and whether it passes. The use is the
    upper bound of the drop / the allowed drop, the largest over the budgets. speedups: by workload, empty if
    the variant was not timed. bytes: of the artifact; compression: teacher bytes / variant bytes. seconds:
    how long the variant's own steps took.
    """

    drops: Mapping[str, QualityJudgement]
    budget_uses: tuple[float, ...]
    inside: tuple[bool, ...]
    speedups: Mapping[str, Speedup]
    bytes: int
    compression: float
    seconds: float
    from_store: bool


@dataclass(frozen=True)
class Trial:
    """One tried step list. steps: as [variants] of a suite has them."""

    number: int
    space: Space
    steps: tuple[Json, ...]
    state: State
    reason: str | None = None
    figures: Measurements | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        return f"trial-{self.number}"

    @property
    def budget_use(self) -> float:
        """The use of the `[tune] budget` that it fits best; infinite if nothing was measured."""
        return min(self.figures.budget_uses) if self.figures else float("inf")

    @property
    def speed(self) -> float:
        """The lower bound of its speed-up on its slowest workload; 0 if it was not timed."""
        if self.figures is None:
            return 0.0
        return min((speedup.claimed_interval[0] for speedup in self.figures.speedups.values()), default=0.0)

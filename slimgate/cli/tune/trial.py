"""What a search knows of one step list: how it was made, what it lost on selection, how fast it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from slimgate.judge.speed import Speedup
from slimgate.judge.verdict import QualityJudgement
from slimgate.suite.tune_space import Json, Space


class State(StrEnum):
    """How far a trial came. beyond: its drop's bound is outside of every budget, so it was not timed."""

    TIMED = "timed"
    BEYOND = "beyond"
    FAILED = "failed"
    IMPOSSIBLE = "impossible"


@dataclass(frozen=True)
class Found:
    """What was measured of a built variant.

    drops: by metric, teacher and variant on the same selection rows. strains: by tier, the largest share of
    a budget that the upper bound of a drop uses up, 1 where it lies on the budget; inside: by tier, whether
    the judge says PASS. speedups: by workload, none where it was not timed. bytes: of the artifact;
    compression: teacher / variant. seconds: that its own steps took, when they were built.
    """

    drops: Mapping[str, QualityJudgement]
    strains: tuple[float, ...]
    inside: tuple[bool, ...]
    speedups: Mapping[str, Speedup]
    bytes: int
    compression: float
    seconds: float
    from_store: bool


@dataclass(frozen=True)
class Trial:
    """One step list that was tried. steps: as a suite's variant has them."""

    number: int
    space: Space
    steps: tuple[Json, ...]
    state: State
    reason: str | None = None
    figures: Found | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        return f"trial-{self.number}"

    @property
    def strain(self) -> float:
        """Of the budget that it fits best; infinite where nothing was measured."""
        return min(self.figures.strains) if self.figures else float("inf")

    @property
    def speed(self) -> float:
        """The lower bound of its speed-up on its slowest workload; 0 where it was not timed."""
        if self.figures is None:
            return 0.0
        return min((speedup.claimed_interval[0] for speedup in self.figures.speedups.values()), default=0.0)

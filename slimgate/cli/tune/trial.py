"""A search's facts about one step list: how it was made, what it lost on selection, how fast it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from slimgate.judge.speed import Speedup
from slimgate.judge.verdict import QualityJudgement
from slimgate.plugins.base import Json
from slimgate.suite.tune_space import Space


class State(StrEnum):
    """How far a trial came. beyond: it misses a budget of each `budget` table."""

    TIMED = "timed"
    BEYOND = "beyond"
    FAILED = "failed"
    IMPOSSIBLE = "impossible"


@dataclass(frozen=True)
class Measurements:
    """The measurements of a built variant.

    drops: by metric, teacher and variant on the same selection rows. strains: by tier, the largest share of
    a budget that the upper bound of a drop uses up, 1 if it equals the budget; inside: by tier, whether
    the judge says PASS. speedups: by workload, empty if it was not timed. bytes: of the artifact;
    compression: teacher / variant. seconds: the time that its own steps took to build.
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
    """One step list that was tried. steps: in the form of a suite's variant."""

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
    def strain(self) -> float:
        """Its strain for the budget that it fits best; infinite if nothing was measured."""
        return min(self.figures.strains) if self.figures else float("inf")

    @property
    def speed(self) -> float:
        """The lower bound of its speed-up on its slowest workload; 0 if it was not timed."""
        if self.figures is None:
            return 0.0
        return min((speedup.claimed_interval[0] for speedup in self.figures.speedups.values()), default=0.0)

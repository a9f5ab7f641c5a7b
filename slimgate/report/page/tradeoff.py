"""Precision against recall of a model beside its teacher's: places in a square of 100 by 100."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor

from slimgate.record import TradeoffFacts, VariantRecord
from slimgate.report.figures import MISSING, percent, to_fixed


@dataclass(frozen=True)
class Spot:
    """A threshold: its place, y from the top, and what it is in words."""

    x: float
    y: float
    said: str


@dataclass(frozen=True)
class Curve:
    """low: what stands at the left and at the bottom, 1 at the other ends; rows: the same as a table."""

    low: str
    own: Sequence[Spot]
    teacher: Sequence[Spot]
    rows: Sequence[tuple[str, ...]]

    @property
    def path(self) -> str:
        """The model's line."""
        return "M" + "L".join(f"{spot.x} {spot.y}" for spot in self.own)


def tradeoff_curve(model: VariantRecord) -> Curve | None:
    """None where no confidences are known, or at one threshold alone."""
    found = model.behaviour
    if found is None or not found.tradeoff:
        return None
    before = found.tradeoff_teacher or []
    values = [value for one in (*found.tradeoff, *before) for value in _ends(one)]
    if len(found.tradeoff) < 2 or not values:
        return None
    low = min(0.9, floor(10 * min(values)) / 10)
    return Curve(
        f"{low:g}",
        _spots(found.tradeoff, low),
        _spots(before, low),
        [
            (to_fixed(one.threshold, 1), *_cells(one), *_cells_at(before, place))
            for place, one in enumerate(found.tradeoff)
        ],
    )


def _ends(one: TradeoffFacts) -> tuple[float, ...]:
    return () if one.precision is None or one.recall is None else (one.precision, one.recall)


def _spots(found: Sequence[TradeoffFacts], low: float) -> list[Spot]:
    return [
        Spot(
            round(100 * (one.recall - low) / (1 - low), 1),
            round(100 - 100 * (one.precision - low) / (1 - low), 1),
            f"threshold {to_fixed(one.threshold, 1)}: "
            f"precision {to_fixed(one.precision, 3)}, recall {to_fixed(one.recall, 3)}",
        )
        for one in found
        if one.precision is not None and one.recall is not None
    ]


def _cells(one: TradeoffFacts) -> tuple[str, str, str]:
    return to_fixed(one.precision, 3), to_fixed(one.recall, 3), percent(one.coverage, 0)


def _cells_at(before: Sequence[TradeoffFacts], place: int) -> tuple[str, str]:
    if place >= len(before):
        return MISSING, MISSING
    return to_fixed(before[place].precision, 3), to_fixed(before[place].recall, 3)

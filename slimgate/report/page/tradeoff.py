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
    label: str


@dataclass(frozen=True)
class Curve:
    """low: what stands at the left and at the bottom, 1 at the other ends; rows: the same as a table."""

    low: str
    of_variant: Sequence[Spot]
    teacher: Sequence[Spot]
    rows: Sequence[tuple[str, ...]]

    @property
    def path(self) -> str:
        """The model's line."""
        return "M" + "L".join(f"{spot.x} {spot.y}" for spot in self.of_variant)


def tradeoff_curve(model: VariantRecord) -> Curve | None:
    """None where no confidences are known, or at one threshold alone."""
    behaviour = model.behaviour
    if behaviour is None or not behaviour.tradeoff:
        return None
    before = behaviour.tradeoff_teacher or []
    values = [value for point in (*behaviour.tradeoff, *before) for value in _ends(point)]
    if len(behaviour.tradeoff) < 2 or not values:
        return None
    low = min(0.9, floor(10 * min(values)) / 10)
    return Curve(
        f"{low:g}",
        _spots(behaviour.tradeoff, low),
        _spots(before, low),
        [
            (to_fixed(point.threshold, 1), *_cells(point), *_cells_at(before, place))
            for place, point in enumerate(behaviour.tradeoff)
        ],
    )


def _ends(point: TradeoffFacts) -> tuple[float, ...]:
    return () if point.precision is None or point.recall is None else (point.precision, point.recall)


def _spots(points: Sequence[TradeoffFacts], low: float) -> list[Spot]:
    return [
        Spot(
            round(100 * (point.recall - low) / (1 - low), 1),
            round(100 - 100 * (point.precision - low) / (1 - low), 1),
            f"threshold {to_fixed(point.threshold, 1)}: "
            f"precision {to_fixed(point.precision, 3)}, recall {to_fixed(point.recall, 3)}",
        )
        for point in points
        if point.precision is not None and point.recall is not None
    ]


def _cells(point: TradeoffFacts) -> tuple[str, str, str]:
    return to_fixed(point.precision, 3), to_fixed(point.recall, 3), percent(point.coverage, 0)


def _cells_at(before: Sequence[TradeoffFacts], place: int) -> tuple[str, str]:
    if place >= len(before):
        return MISSING, MISSING
    return to_fixed(before[place].precision, 3), to_fixed(before[place].recall, 3)

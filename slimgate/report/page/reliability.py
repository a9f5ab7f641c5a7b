"""The reliability diagram of a model beside its teacher's: places in a square of 100 by 100."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from slimgate.record import ReliabilityFacts, VariantRecord
from slimgate.report.figures import MISSING, count, percent, to_fixed


@dataclass(frozen=True)
class Bin:
    """(x, y): confidence and accuracy, y from the top; size: radius, its area by the rows; said: in words."""

    x: float
    y: float
    size: float
    said: str


@dataclass(frozen=True)
class Reliability:
    """Bins that hold rows, of the model and of its teacher; rows: the same as a table."""

    own: Sequence[Bin]
    teacher: Sequence[Bin]
    rows: Sequence[tuple[str, str, str, str]]


def reliability(model: VariantRecord) -> Reliability | None:
    """None where no confidences are known."""
    found = model.behaviour
    if found is None or not found.reliability:
        return None
    before = found.reliability_teacher or []
    return Reliability(
        _bins(found.reliability),
        _bins(before),
        [
            (
                f"{to_fixed(one.low, 2)} to {to_fixed(one.high, 2)}",
                *_cells(one),
                _cells(old)[1] if old else MISSING,
            )
            for one, old in zip(found.reliability, [*before, *[None] * len(found.reliability)], strict=False)
            if one.count
        ],
    )


def _bins(found: Sequence[ReliabilityFacts]) -> list[Bin]:
    total = sum(one.count for one in found) or 1
    return [
        Bin(
            round(100 * one.confidence, 1),
            round(100 - 100 * one.accuracy, 1),
            round(1.2 + 5 * (one.count / total) ** 0.5, 2),
            f"confidence {to_fixed(one.confidence, 2)}, accuracy {to_fixed(one.accuracy, 2)}, "
            f"{count(one.count)} rows",
        )
        for one in found
        if one.count and one.confidence is not None and one.accuracy is not None
    ]


def _cells(one: ReliabilityFacts) -> tuple[str, str]:
    return count(one.count), percent(one.accuracy)

"""The reliability diagram of a model beside its teacher's: places in a square of 100 by 100."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from slimgate.record import ReliabilityFacts, VariantRecord
from slimgate.report.figures import MISSING, count, percent, to_fixed


@dataclass(frozen=True)
class Bin:
    """(x, y): confidence and accuracy, y from the top; size: radius, its area by the rows; label: words."""

    x: float
    y: float
    size: float
    label: str


@dataclass(frozen=True)
class Reliability:
    """Bins that hold rows, of the model and of its teacher; rows: the same as a table."""

    of_variant: Sequence[Bin]
    teacher: Sequence[Bin]
    rows: Sequence[tuple[str, str, str, str]]


def reliability(model: VariantRecord) -> Reliability | None:
    """None where no confidences are known."""
    behaviour = model.behaviour
    if behaviour is None or not behaviour.reliability:
        return None
    before = behaviour.reliability_teacher or []
    return Reliability(
        _bins(behaviour.reliability),
        _bins(before),
        [
            (
                f"{to_fixed(bin_facts.low, 2)} to {to_fixed(bin_facts.high, 2)}",
                *_cells(bin_facts),
                _cells(old)[1] if old else MISSING,
            )
            for bin_facts, old in zip(
                behaviour.reliability, [*before, *[None] * len(behaviour.reliability)], strict=False
            )
            if bin_facts.count
        ],
    )


def _bins(bins: Sequence[ReliabilityFacts]) -> list[Bin]:
    total = sum(bin_facts.count for bin_facts in bins) or 1
    return [
        Bin(
            round(100 * bin_facts.confidence, 1),
            round(100 - 100 * bin_facts.accuracy, 1),
            round(1.2 + 5 * (bin_facts.count / total) ** 0.5, 2),
            f"confidence {to_fixed(bin_facts.confidence, 2)}, accuracy {to_fixed(bin_facts.accuracy, 2)}, "
            f"{count(bin_facts.count)} rows",
        )
        for bin_facts in bins
        if bin_facts.count and bin_facts.confidence is not None and bin_facts.accuracy is not None
    ]


def _cells(bin_facts: ReliabilityFacts) -> tuple[str, str]:
    return count(bin_facts.count), percent(bin_facts.accuracy)

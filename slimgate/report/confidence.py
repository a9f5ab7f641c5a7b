"""Teacher and variants side by side: right as often as they say, and right if they may keep silent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from slimgate._system.escape import escaped
from slimgate.record import BehaviourFacts, ReliabilityFacts, TradeoffFacts, VariantRecord
from slimgate.report.figures import MISSING, count, fixed, percent, with_note
from slimgate.report.tables import Column, blocks, table

# A wider table has to be scrolled sideways on GitHub.
_MOST_MODELS = 6

T = TypeVar("T")
Found = tuple[VariantRecord, BehaviourFacts]


def calibration_tables(found: Sequence[Found]) -> str:
    """Reliability bins that hold rows of some model: accuracy where the models were so sure."""
    models = _models([(model.name, facts.reliability, facts.reliability_teacher) for model, facts in found])
    if not models:
        return ""
    models = [(escaped(name), points) for name, points in models]
    bins = [k for k in range(len(models[0][1])) if any(points[k].count for _, points in models)]
    heads = [f"{fixed(models[0][1][k].low, 2)} to {fixed(models[0][1][k].high, 2)}" for k in bins]
    columns = [Column(name, [_reliability(points[k]) for k in bins], right=True) for name, points in models]
    told = "Accuracy (mean confidence, rows) of the answers by their confidence; equal where well calibrated."
    return blocks(told, *_wide(Column("confidence", heads), columns))


def tradeoff_tables(found: Sequence[Found], classes: Sequence[str]) -> str:
    """Precision, recall and coverage at each threshold."""
    models = [(escaped(name), points) for name, points in tradeoffs(found)]
    if not models:
        return ""
    heads = [fixed(point.threshold, 1) for point in models[0][1]]
    columns = [Column(name, [_tradeoff(point) for point in points], right=True) for name, points in models]
    if len(classes) == 2:
        what = f"of {escaped(classes[1])}, answered where its probability reaches the threshold"
    else:
        what = "over all classes, answered where the confidence reaches the threshold"
    told = f"Precision / recall (share of rows answered) {what}."
    return blocks(told, *_wide(Column("threshold", heads, right=True), columns))


def tradeoffs(found: Sequence[Found]) -> list[tuple[str, list[TradeoffFacts]]]:
    """(name, points) of the teacher and of each variant that has any."""
    return _models([(model.name, facts.tradeoff, facts.tradeoff_teacher) for model, facts in found])


def _models(given: Sequence[tuple[str, list[T] | None, list[T] | None]]) -> list[tuple[str, list[T]]]:
    """(name, points) of the teacher, as the first variant has it, and of each variant that has any."""
    teacher = next((points for _, _, points in given if points), None)
    own = [(name, points) for name, points, _ in given if points]
    return [*([("teacher", teacher)] if teacher else []), *own]


def _wide(first: Column, columns: Sequence[Column]) -> list[str]:
    starts = range(0, len(columns), _MOST_MODELS)
    return [table([first, *columns[start : start + _MOST_MODELS]]) for start in starts]


def _reliability(one: ReliabilityFacts) -> str:
    if not one.count:
        return MISSING
    return with_note(fixed(one.accuracy, 2), f"{fixed(one.confidence, 2)}, {count(one.count)}")


def _tradeoff(point: TradeoffFacts) -> str:
    values = f"{fixed(point.precision, 3)} / {fixed(point.recall, 3)}"
    return with_note(values, percent(point.coverage, 0))

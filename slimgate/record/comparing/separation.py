"""The gated variants of a record against each other, by their answers in the files beside it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from slimgate.errors import MeasureError
from slimgate.judge.metrics import Metric, value_of
from slimgate.judge.parts import SeparationFacts
from slimgate.judge.separation import separate
from slimgate.outcomes import ClassOutcomes, Outcomes
from slimgate.record import RunRecord, VariantRecord
from slimgate.record.comparing.metrics import load_or_none, same_value
from slimgate.record.files import RECORD, Kept
from slimgate.record.outcome_files import read_outcomes

# Ten variants are 45 pairs; more would cost seconds, and each pair the power of all others.
MOST = 10


def separate_variants(record: RunRecord, folder: Path) -> SeparationFacts | None:
    """By the first metric that has a budget for two or more gated variants; None where there is none.

    Of more than MOST variants those that lost least. Answers of another run than the record are left out.
    """
    name, models = _primary(record)
    metric = None if name is None else load_or_none(name)
    if metric is None or name is None:
        return None
    ordered = sorted(models, key=lambda model: model.quality[name].drop_points or 0.0)
    chosen = [model for model in models if model in ordered[:MOST]]
    kept = Kept(folder / RECORD, record)
    found = {
        model.name: answers for model in chosen if (answers := _answers(kept, model, metric)) is not None
    }
    if len(found) < 2:
        return None
    left_out = [model.name for model in models if model.name not in found]
    try:
        facts = separate(metric, found)
    except MeasureError as error:
        return SeparationFacts(metric=name, n=0, left_out=[model.name for model in models], note=str(error))
    return None if facts is None else facts.model_copy(update={"left_out": left_out})


def _primary(record: RunRecord) -> tuple[str | None, list[VariantRecord]]:
    """The metric, and the gated variants that have a budget on it."""
    gated = [model for model in record.variants[1:] if model.gated]
    for name in dict.fromkeys(name for model in gated for name in model.quality):
        judged = [model for model in gated if name in model.quality and model.quality[name].budgets]
        if len(judged) > 1:
            return name, judged
    return None, []


def _answers(kept: Kept, model: VariantRecord, metric: Metric) -> Outcomes | None:
    """Those that the record judged; None where the file is missing or of another run."""
    file = kept.outcomes(model.name)
    if not file.is_file():
        return None
    found = read_outcomes(file)
    if metric.needs == "prediction" and isinstance(found, ClassOutcomes):
        found = replace(found, probabilities=None)  # ten models are in memory at once
    try:
        value = value_of(metric, found)
    except MeasureError:  # the file lacks what the metric reads, so it is not of the run that measured it
        return None
    return found if same_value(value, model.quality[metric.name].value) else None

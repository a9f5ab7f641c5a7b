"""The gated variants of a record against each other, by their answers in the files beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from slimgate.errors import MeasureError
from slimgate.judge.budget_kinds import measure_harm
from slimgate.judge.metrics import Metric, value_of
from slimgate.judge.parts import SeparationFacts
from slimgate.judge.separation import most_models, separate
from slimgate.outcomes import ClassOutcomes, Outcomes
from slimgate.record import RunRecord, VariantRecord
from slimgate.record.comparing.metrics import load_or_none, same_value
from slimgate.record.files import RECORD, Kept
from slimgate.record.outcome_files import read_outcomes

# What tells whether an earlier separation is still valid: keys.separation_key.
ToKey = Callable[[str, Mapping[str, tuple[str | None, Path]]], str | None]


def separate_variants(
    record: RunRecord,
    folder: Path,
    *,
    to_key: ToKey,
    earlier: SeparationFacts | None = None,
    stopped: bool = False,
) -> SeparationFacts | None:
    """By the first metric that has a budget for two or more gated variants; None where there is none.

    Of very many variants those that lost least. Answers of another run than the record are left out.
    earlier: of the last record, kept while metric and answers are the same. stopped: compare nothing anew,
    which may take a minute.
    """
    name, models = _primary(record)
    metric = None if name is None else load_or_none(name)
    if metric is None or name is None:
        return None
    run = Kept(folder / RECORD, record)
    answers = {
        model.name: (model.inputs_digests.get("quality"), run.outcomes(model.name)) for model in models
    }
    digest = to_key(name, answers)
    if earlier is not None and digest is not None and earlier.digest == digest:
        return earlier
    if stopped:
        return None
    ordered = sorted(
        models,
        key=lambda model: measure_harm(model.quality[name].drop_points or 0.0, model.quality[name].budgets),
    )
    largest = ordered[: most_models(metric)]
    chosen = [model for model in models if model in largest]
    answers_of = {
        model.name: outcomes for model in chosen if (outcomes := _answers(run, model, metric)) is not None
    }
    if len(answers_of) < 2:
        return None
    left_out = [model.name for model in models if model not in chosen]
    unread = [model.name for model in chosen if model.name not in answers_of]
    try:
        facts = separate(metric, answers_of)
    except MeasureError as error:
        every = [model.name for model in models]
        facts = SeparationFacts(metric=name, n=0, left_out=every, note=str(error))
        return facts.model_copy(update={"digest": digest})
    known = {"left_out": left_out, "other_answers": unread, "digest": digest}
    return None if facts is None else facts.model_copy(update=known)


def _primary(record: RunRecord) -> tuple[str | None, list[VariantRecord]]:
    """The metric, and the gated variants that have a budget on it."""
    gated = [model for model in record.variants[1:] if model.gated]
    for name in dict.fromkeys(name for model in gated for name in model.quality):
        judged = [model for model in gated if name in model.quality and model.quality[name].budgets]
        if len(judged) > 1:
            return name, judged
    return None, []


def _answers(run: Kept, model: VariantRecord, metric: Metric) -> Outcomes | None:
    """Those that the record judged; None where the file is missing or of another run."""
    file = run.outcomes(model.name)
    if not file.is_file():
        return None
    outcomes = read_outcomes(file)
    if metric.needs == "prediction" and isinstance(outcomes, ClassOutcomes):
        outcomes = replace(outcomes, probabilities=None)  # ten models are in memory at once
    try:
        value = value_of(metric, outcomes)
    except MeasureError:  # the file lacks what the metric reads, so it is not of the run that measured it
        return None
    return outcomes if same_value(value, model.quality[metric.name].value) else None

"""Compares the gated variants of a record with each other, by their answers in outcomes/ next to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from slimgate.errors import MeasureError
from slimgate.judge.budget_kinds import measure_harm
from slimgate.judge.metrics import Metric, compute_value
from slimgate.judge.score_metric import RECORD_KIND
from slimgate.judge.separation import count_comparable_models, separate_models
from slimgate.outcomes import ClassOutcomes, Outcomes
from slimgate.record.comparing.metrics import is_same_value, load_known_metrics, load_or_none
from slimgate.record.files import RECORD, StoredRecord
from slimgate.record.outcome_files import read_outcomes
from slimgate.record.run import RunRecord, VariantRecord
from slimgate.results.quality import SeparationFacts

# result_keys.make_separation_key: (metric, inputs digest and outcomes file of each model) -> a key, the same
# as long as an earlier separation is valid.
ToKey = Callable[[str, Mapping[str, tuple[str | None, Path]]], str | None]


def separate_variants(
    record: RunRecord,
    folder: Path,
    *,
    to_key: ToKey,
    earlier: SeparationFacts | None = None,
    stopped: bool = False,
) -> SeparationFacts | None:
    """Says which gated variants differ, by the first metric that has budgets for two of them.

    With very many variants it compares those that lost least. It leaves out answers that are not those of the
    record. Returns None if there are fewer than two variants to compare.

    Args:
        record: of the run.
        folder: the folder of run.json and outcomes/.
        to_key: makes the key that says whether `earlier` is still valid.
        earlier: the result in the last record.
        stopped: the run was interrupted, so return `earlier` or nothing. Comparing may take a minute.
    """
    name, models = _find_shared_metric(record)
    if name is None:
        return None
    of_logs = record.task.kind == RECORD_KIND
    metric = load_known_metrics(record)[name] if of_logs else load_or_none(name)
    if metric is None:
        return None
    run = StoredRecord(folder / RECORD, record)
    answers = {
        model.name: (model.inputs_digests.get("quality"), run.make_outcomes_path(model.name))
        for model in models
    }
    digest = to_key(name, answers)
    if earlier is not None and digest is not None and earlier.digest == digest:
        return earlier
    if stopped:
        return None
    chosen = _select_least_harmed(models, name, count_comparable_models(metric))
    outcomes_by_name = {
        model.name: outcomes
        for model in chosen
        if (outcomes := _read_judged_outcomes(answers[model.name][1], metric, model.quality[name].value))
        is not None
    }
    if len(outcomes_by_name) < 2:
        return None
    left_out = [model.name for model in models if model not in chosen]
    unread = [model.name for model in chosen if model.name not in outcomes_by_name]
    try:
        facts = separate_models(metric, outcomes_by_name)
    except MeasureError as error:
        every = [model.name for model in models]
        return SeparationFacts(metric=name, n=0, left_out=every, note=str(error), digest=digest)
    known = {"left_out": left_out, "other_answers": unread, "digest": digest}
    return None if facts is None else facts.model_copy(update=known)


def _select_least_harmed(models: Sequence[VariantRecord], name: str, count: int) -> list[VariantRecord]:
    """The `count` models that lost least of a metric, in the order of `models`."""
    ordered = sorted(
        models,
        key=lambda model: measure_harm(model.quality[name].drop_points or 0.0, model.quality[name].budgets),
    )
    return [model for model in models if model in ordered[:count]]


def compares_first_builds(record: RunRecord) -> bool:
    """Whether a variant of the record's separation has several builds; only the first is compared."""
    if record.separation is None:
        return False
    quality = [model.quality.get(record.separation.metric) for model in record.variants]
    return any(facts is not None and facts.builds is not None for facts in quality)


def _find_shared_metric(record: RunRecord) -> tuple[str | None, list[VariantRecord]]:
    """The first metric with budgets for two or more gated variants, and those variants."""
    gated = [model for model in record.variants[1:] if model.gated]
    for name in dict.fromkeys(name for model in gated for name in model.quality):
        judged = [model for model in gated if name in model.quality and model.quality[name].budgets]
        if len(judged) > 1:
            return name, judged
    return None, []


def _read_judged_outcomes(file: Path, metric: Metric, recorded: float) -> Outcomes | None:
    """The answers that the record judged; None if the file is missing or is of another run.

    recorded: the metric's value in the record.
    """
    if not file.is_file():
        return None
    outcomes = read_outcomes(file)
    if metric.needs == "prediction" and isinstance(outcomes, ClassOutcomes):
        outcomes = replace(outcomes, probabilities=None)  # ten models are in memory at once
    try:
        value = compute_value(metric, outcomes)
    except MeasureError:  # the file lacks what the metric reads, so it is not of the run that measured it
        return None
    return outcomes if is_same_value(value, recorded) else None

"""Metrics of one model in two releases, by the judge's own tests; whether the model or its teacher moved."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from math import isclose
from pathlib import Path
from typing import NamedTuple

from slimgate.errors import MeasureError, SlimgateError
from slimgate.judge.metrics import Metric, compute_value, load_metric
from slimgate.judge.quality import judge_quality
from slimgate.judge.score_metric import RECORD_KIND, make_record_metrics
from slimgate.outcomes import Outcomes
from slimgate.record.comparing.answers import Pair, PairedAnswers, has_same_answers, pair_answers
from slimgate.record.comparing.facts import MetricChange, Moved
from slimgate.record.files import StoredRecord
from slimgate.record.outcome_files import read_outcomes
from slimgate.record.run import RunRecord, VariantRecord
from slimgate.record.task import Machine
from slimgate.results.quality import QualityFacts

_HUB = "hub:"
# Files hold probabilities unchanged; their sums may round differently.
_ROUNDING = 1e-6
# (direction of the variant, direction of its teacher) -> what happened, in words.
_READINGS = {
    ("worse", "worse"): "got worse, and its {original} too: the drop behind the {original} does not "
    "show all of it",
    ("worse", None): "got worse; its {original} did not",
    ("worse", "better"): "got worse while its {original} got better",
    (None, "worse"): "held; its drop is smaller because the {original} got worse",
    (None, "better"): "held; its drop is larger because the {original} got better",
    ("better", "worse"): "got better while its {original} got worse",
    ("better", None): "got better; its {original} did not",
    ("better", "better"): "got better with its {original}",
}


def load_known_metrics(record: RunRecord) -> dict[str, Metric | None]:
    """Every metric of a record; None for one that cannot be loaded here, or would load large packages."""
    names = dict.fromkeys(name for model in record.variants for name in model.quality)
    if record.task.kind == RECORD_KIND:
        of_logs = make_record_metrics((record.task.params or {}).get("comparisons", []))
        return {name: of_logs.get(name) for name in names}
    return {name: load_if_light(name) for name in names}


def load_if_light(name: str) -> Metric | None:
    """The metric of that name, or None; also for a metric of the hub, which loads large packages."""
    return None if name.startswith(_HUB) else load_or_none(name)


def load_or_none(name: str) -> Metric | None:
    """The metric of that name, or None."""
    try:
        return load_metric(name)
    except (SlimgateError, ImportError):
        # the metric of a user whose module is missing here: values are compared without a test
        return None


def pair_if_judged(
    pair: Pair | None,
    models: tuple[VariantRecord, VariantRecord],
    metrics: dict[str, Metric | None],
    answers: PairedAnswers,
) -> Pair | None:
    """The pair, if its answers are those that the records judged; a file may be from another run."""
    for outcomes, model in zip(pair or (), models, strict=False):
        for name, facts in model.quality.items():
            metric = metrics.get(name)
            if metric is None:
                continue
            try:
                value = compute_value(metric, outcomes)
            except MeasureError as error:
                answers.note_undefined(model.name, name, error)
                return None
            if not is_same_value(value, facts.value):
                answers.note_other_run(model.name, name, value, facts.value)
                return None
    return pair


def list_metric_changes(
    old: VariantRecord,
    new: VariantRecord,
    metrics: dict[str, Metric | None],
    pair: Pair | None,
    answers: PairedAnswers,
    log_slices: Container[str] = (),
) -> list[MetricChange]:
    """Each metric that both releases measured on a model.

    pair: its answers in both. log_slices: the names of those that are slices of logs.
    """
    changes = []
    unchanged = pair is not None and has_same_answers(*pair)
    for name, after in new.quality.items():
        if name not in old.quality:
            continue
        before, metric = old.quality[name], metrics.get(name)
        moved = _compare_values(before, after, metric)
        if unchanged and is_same_value(before.value, after.value):
            moved = _make_unchanged(before, metric)
        elif unchanged:  # the same answers and another value: the metric itself has changed
            answers.note_changed_metric(new.name, name)
        elif pair is not None and metric is not None and metric.resampled:
            try:
                moved = _test_change(metric, *pair)
            except MeasureError as error:
                answers.note_undefined(new.name, name, error)
        changes.append(
            MetricChange(
                **{**moved.model_dump(), "old": before.value, "new": after.value},
                metric=name,
                of_log_slice=name in log_slices,
                old_drop=before.drop_points,
                old_drop_interval=before.interval,
                new_drop=after.drop_points,
                new_drop_interval=after.interval,
            )
        )
    return changes


def is_same_value(value: float, other: float) -> bool:
    """Whether two values of a metric differ by no more than rounding."""
    return isclose(value, other, rel_tol=_ROUNDING, abs_tol=_ROUNDING)


def _test_change(metric: Metric, old: Outcomes, new: Outcomes) -> Moved:
    """Tests the change, with the old release in the teacher's place."""
    judged = judge_quality(metric, old, new, ())
    changed = judged.changed
    return Moved(
        old=judged.teacher,
        new=judged.value,
        drop_points=judged.drop_points,
        unit=judged.unit,
        interval=judged.interval,
        method=judged.method,
        n=judged.n,
        right_to_wrong=changed and changed.right_to_wrong,
        wrong_to_right=changed and changed.wrong_to_right,
    )


def _make_unchanged(facts: QualityFacts, metric: Metric | None) -> Moved:
    """The change of equal answers, which needs no test: random weights would only take time."""
    flips = 0 if metric is not None and metric.per_row is not None else None
    return Moved(
        old=facts.value,
        new=facts.value,
        drop_points=0.0,
        unit=facts.unit,
        interval=(0.0, 0.0),
        method="the same answers",
        n=facts.n,
        right_to_wrong=flips,
        wrong_to_right=flips,
    )


def _compare_values(before: QualityFacts, after: QualityFacts, metric: Metric | None) -> Moved:
    """The change of the values alone."""
    recorded = [(facts.drop_points, facts.value, facts.teacher) for facts in (before, after)]
    better_up = metric.higher_is_better if metric else find_direction(recorded)
    change = None
    if better_up is not None:
        lost = before.value - after.value if better_up else after.value - before.value
        change = 100 * lost / (before.value if after.unit == "percent" and before.value else 1)
    return Moved(old=before.value, new=after.value, drop_points=change, unit=after.unit)


def find_direction(recorded: Iterable[tuple[float | None, float, float]]) -> bool | None:
    """Whether higher is better, as recorded drops show; None if none was recorded, or nothing dropped.

    recorded: the drop, the variant's value and the teacher's value of each result of one metric.
    """
    for drop, value, teacher in recorded:
        if drop and value != teacher:
            return (drop > 0) == (value < teacher)
    return None


def describe_moved_models(change: MetricChange, teacher: MetricChange | None, original: str) -> str | None:
    """Whether the variant moved, its teacher did, or both; None if neither is shown to have moved.

    original: the teacher's name in the text.
    """
    if teacher is None or change.drop_points is None or teacher.drop_points is None:
        return None
    words = _READINGS.get((change.direction, teacher.direction))
    return None if words is None else words.format(original=original)


class Since(NamedTuple):
    """The answers of a model in the baseline and now, for a comparison.

    model: its record in the baseline; None if it was not measured there. pair: its answers then and now; None
    if they cannot be compared, for the reason in `why_not`.
    """

    model: VariantRecord | None
    pair: Pair | None
    why_not: str | None


def pair_with_baseline(baseline: StoredRecord, name: str, now: Outcomes, gate_digest: str) -> Since:
    """Pairs a variant's answers with its own in the baseline. gate_digest: of the current gate rows.

    An error while the answers are read and paired is the reason in `why_not`.
    """
    model = next((variant for variant in baseline.record.variants if variant.name == name), None)
    if model is None:
        return Since(None, None, "new since then")
    if not model.is_measured:
        return Since(None, None, "not measured then")
    if baseline.record.task.find_digest("gate") != gate_digest:
        return Since(model, None, "the gate rows are other ones (the digests of the split differ)")
    try:
        pair = pair_answers(baseline.make_outcomes_path(name), now)
        then, _ = pair
        difference = _find_difference(baseline.record, model, then)
    except SlimgateError as error:
        return Since(model, None, str(error))
    except (OSError, ValueError, KeyError, TypeError) as error:  # its message may hold a path of this machine
        return Since(model, None, f"its outcomes in the baseline cannot be read ({type(error).__name__})")
    return Since(model, None, difference) if difference else Since(model, pair, None)


def is_same_model(
    earlier: Since,
    baseline: StoredRecord,
    artifact_digest: str,
    runtime: str,
    runtime_params: Mapping[str, object],
    machine: Machine,
) -> bool:
    """Whether a variant is known to be the baseline's: its answers and all that computes them are the same.

    Args:
        earlier: its answers, as `pair_with_baseline` paired them.
        baseline: the record of the baseline.
        artifact_digest: of its files now. A server's model has no files, so it is never known to be the same.
        runtime: the name of the runtime that computes it now. It is not known whether the code of a user's
            runtime has changed.
        runtime_params: the runtime's options now.
        machine: the machine that computes it now, with the versions of its libraries.
    """
    if earlier.model is None or earlier.pair is None or earlier.model.artifact is None:
        return False
    artifact, before = earlier.model.artifact, baseline.record.machine
    return (
        artifact.bytes is not None
        and ":" not in runtime
        and (artifact.digest, artifact.runtime, artifact.runtime_params)
        == (artifact_digest, runtime, runtime_params)
        and (before.hardware, before.libraries) == (machine.hardware, machine.libraries)
        and has_same_answers(*earlier.pair)
    )


def find_wrong_answers(record: RunRecord, model: VariantRecord, file: Path) -> str | None:
    """Why a file cannot hold the answers that a record judged; None if it holds them, as far as is known."""
    try:
        return _find_difference(record, model, read_outcomes(file))
    except (SlimgateError, OSError, ValueError, KeyError, TypeError) as error:
        return f"its outcomes cannot be read: {error}"


def _find_difference(record: RunRecord, model: VariantRecord, answers: Outcomes) -> str | None:
    """Why the answers cannot be those that the record judged: a metric of them differs; None if none does."""
    metrics = load_known_metrics(record)
    for name, facts in model.quality.items():
        metric = metrics[name]
        if metric is None:  # it cannot be loaded here
            continue
        value = compute_value(metric, answers)
        if not is_same_value(value, facts.value):
            difference = f"{name} of the answers is {value:.4g}, of the record {facts.value:.4g}"
            return f"its outcomes are of another run than its record: {difference}"
    return None

"""Metrics of one model in two releases, by the judge's own tests; whether the model or its teacher moved."""

from __future__ import annotations

from collections.abc import Container, Iterable
from math import isclose

from slimgate.errors import MeasureError, SlimgateError
from slimgate.judge.metrics import Metric, compute_value, load_metric
from slimgate.judge.quality import judge_quality
from slimgate.judge.score_metric import RECORD_KIND, make_record_metrics
from slimgate.outcomes import Outcomes
from slimgate.record.comparing.answers import Pair, PairedAnswers, has_same_answers
from slimgate.record.comparing.facts import MetricChange, Moved
from slimgate.record.run import RunRecord, VariantRecord
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

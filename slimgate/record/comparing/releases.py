"""Compares two records: what moved between an old release and a new one, in each model and its slices.

The slices of labels are tested, because the answers hold the labels. For other columns only the values are
compared, since no record says which rows a slice has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple, TypeVar

from slimgate._system.number_text import format_number
from slimgate.judge.budget_tables import SliceName
from slimgate.judge.metrics import Metric
from slimgate.judge.slices import judge_slices, list_label_slices
from slimgate.record.comparing.answers import Pair, PairedAnswers, has_same_gate_rows
from slimgate.record.comparing.base import describe_other_base
from slimgate.record.comparing.budgets import (
    find_budget_changes,
    find_verdict_changes,
    find_weaker,
    list_missing_gates,
    list_shared_variants,
)
from slimgate.record.comparing.environment import describe_server_changes, list_other_versions
from slimgate.record.comparing.facts import (
    Comparison,
    LatencyChange,
    MeasurementChange,
    MetricChange,
    ModelChange,
    Release,
    SizeChange,
    SliceChange,
)
from slimgate.record.comparing.metrics import (
    describe_moved_models,
    find_direction,
    list_metric_changes,
    load_if_light,
    load_known_metrics,
    pair_if_judged,
)
from slimgate.record.comparing.separation import compares_first_builds
from slimgate.record.files import EDITED, StoredRecord
from slimgate.record.run import RunRecord, VariantRecord
from slimgate.record.task import RATE_WORDS, Machine
from slimgate.record.verdicts import Weakening
from slimgate.results.behaviour import SliceFacts
from slimgate.results.latency import LatencyFacts

Interval = tuple[float, float] | None
Word = TypeVar("Word")
# Points: Holm's correction tests the hypothesis of a change that costs a slice nothing.
_NO_LOSS = 0.0
# Peaks of the same machine differ by some percent from run to run.
_OTHER_RATE = 1.2


def compare(old: StoredRecord, new: StoredRecord) -> Comparison:
    """Compares two releases. Answers are tested if both releases kept them and judged the same gate rows."""
    before, after = old.record, new.record
    answers = PairedAnswers(old, new)
    metrics = {**load_known_metrics(before), **load_known_metrics(after), **_load_slice_metrics(after)}
    teacher = _compare_model((before, before.variants[0]), (after, after.variants[0]), metrics, answers)
    variants = [
        _compare_model((before, old_variant), (after, new_variant), metrics, answers)
        for old_variant, new_variant in list_shared_variants(before, after)
    ]
    names = [{model.name for model in record.variants} for record in (before, after)]
    return Comparison(
        old=_make_release(old),
        new=_make_release(new),
        same_rows=has_same_gate_rows(before, after),
        same_machine=has_same_hardware(before.machine, after.machine),
        notes=[*_list_other_differences(before, after), *answers.notes],
        verdicts=find_verdict_changes(before, after),
        budgets=find_budget_changes(before, after),
        added=[model.name for model in after.variants if model.name not in names[0]],
        removed=[model.name for model in before.variants if model.name not in names[1]],
        gates_gone=list_missing_gates(before, names[1]),
        weaker=[*_list_edited(old, new), *find_weaker(before, after, tolerant=True)],
        teacher=teacher,
        variants=[_add_readings(variant, teacher, after.task.sides.original) for variant in variants],
        separation=after.separation,
        first_builds=compares_first_builds(after),
        original=after.task.sides.original,
        other=after.task.sides.other,
    )


def _list_edited(*releases: StoredRecord) -> Iterator[Weakening]:
    """A weakening for each run.json that was edited: nothing in it need be what a run judged."""
    for release in releases:
        if release.is_edited:
            change = f"{release.file.as_posix()} {EDITED}"
            yield Weakening(about="settings", change=change)


def _make_release(run: StoredRecord) -> Release:
    record = run.record
    return Release(
        name=run.name,
        file=run.file.as_posix(),
        created=record.created,
        suite=record.suite.path if record.has_suite_file else None,
        slimgate=record.slimgate,
        status=record.verdict.status,
        reason=record.accepted.reason if record.accepted else None,
    )


def _compare_model(
    old: tuple[RunRecord, VariantRecord],
    new: tuple[RunRecord, VariantRecord],
    metrics: dict[str, Metric | None],
    answers: PairedAnswers,
) -> ModelChange:
    (before, was), (after, now) = old, new
    pair = answers.pair_model(now.name) if was.quality and now.quality else None
    pair = pair_if_judged(pair, (was, now), metrics, answers)
    artifacts = was.artifact, now.artifact
    is_same_machine = has_same_hardware(before.machine, after.machine)
    return ModelChange(
        name=now.name,
        same_artifact=None if None in artifacts else _find_digest(was) == _find_digest(now),
        metrics=list_metric_changes(was, now, metrics, pair, answers, log_slices=after.task.log_slices),
        slices=list_slice_changes(old, new, metrics, pair),
        size=find_size_change(was, now),
        latency=list_latency_changes(was, now, same=is_same_machine),
        measurements=list(_list_measurement_changes(was, now, same=is_same_machine)),
    )


def _find_digest(model: VariantRecord) -> str | None:
    return model.artifact.digest if model.artifact else None


def _load_slice_metrics(record: RunRecord) -> dict[str, Metric | None]:
    """Metrics that only slices have."""
    names = {
        part.metric
        for model in record.variants
        if model.behaviour is not None
        for part in model.behaviour.slices or ()
    }
    named = {name for model in record.variants for name in model.quality}
    return {name: load_if_light(name) for name in sorted(names - named)}


def _add_readings(model: ModelChange, teacher: ModelChange, original: str) -> ModelChange:
    teacher_changes: dict[str, MetricChange] = {change.metric: change for change in teacher.metrics}
    metrics = [
        change.model_copy(
            update={"reading": describe_moved_models(change, teacher_changes.get(change.metric), original)}
        )
        for change in model.metrics
    ]
    return model.model_copy(update={"metrics": metrics})


def _list_other_differences(old: RunRecord, new: RunRecord) -> Iterator[str]:
    """Other differences, which may be the cause of a change."""
    if old.has_suite_file != new.has_suite_file:
        of_suite, of_files = ("old", "new") if old.has_suite_file else ("new", "old")
        yield f"The {of_suite} record is of a suite, and the {of_files} record is of `slimgate judge`."
    elif old.has_suite_file and old.suite.path != new.suite.path:
        yield f"The records are of two different suites, {old.suite.path} and {new.suite.path}."
    yield from _list_task_changes(old, new)
    yield from _list_runtime_changes(old, new)
    yield from describe_other_base(old, new)
    if old.slimgate != new.slimgate:
        yield f"slimgate {old.slimgate} judged the old release, {new.slimgate} the new one."
    if not has_same_hardware(old.machine, new.machine):
        with_instructions = old.machine.instructions != new.machine.instructions
        machines = " and ".join(
            _describe_machine(run.machine, with_instructions=with_instructions) for run in (old, new)
        )
        yield f"The machines differ ({machines}): changes of times and speed-ups are not shown."
    if rates := list(_list_rate_changes(old, new)):
        yield f"Measured peaks differ: {', '.join(rates)}. This may change times."
    if versions := list_other_versions(old, new):
        yield f"Other versions: {', '.join(versions)}."
    yield from describe_server_changes(old, new)
    for side, record in (("new", new), ("old", old)):
        if record.verdict.carried:
            note = f"{record.verdict.carried} of its results come from an earlier run"
            yield f"The {side} release is partial: {note}."
    if old.confirm is not None and new.confirm is None:
        yield "The old release was judged on the confirm rows, and the new one was not."
    for side, record in (("new", new), ("old", old)):
        if missing := record.verdict.missing:
            yield f"The {side} release is incomplete: {missing} checks of its suite did not run."


def _list_runtime_changes(old: RunRecord, new: RunRecord) -> Iterator[str]:
    """A line for each variant that is judged in another runtime."""
    for before, after in list_shared_variants(old, new):
        was, now = before.artifact, after.artifact
        if was is not None and now is not None and was.runtime != now.runtime:
            yield (
                f"{after.name} was judged in the runtime {was.runtime} and is judged in {now.runtime} now: "
                "its answers and times depend on the runtime."
            )


def _list_task_changes(old: RunRecord, new: RunRecord) -> Iterator[str]:
    """The changes in what the suite asks of the models."""
    tasks = old.task.kind, new.task.kind
    if tasks[0] != tasks[1]:
        yield f"The task was {tasks[0]} and is {tasks[1]}."
    seeds = [", ".join(map(str, record.suite.seeds)) for record in (old, new)]
    if seeds[0] != seeds[1]:
        yield f"Built with other seeds: {seeds[0]} → {seeds[1]}."
    names = [
        list(dict.fromkeys(n for model in record.variants for n in model.quality)) for record in (old, new)
    ]
    for of, own_names, other_names in (("old", *names), ("new", *reversed(names))):
        if alone := [name for name in own_names if name not in other_names]:
            yield f"Only the {of} release measured {', '.join(alone)}."


def _list_rate_changes(old: RunRecord, new: RunRecord) -> Iterator[str]:
    """`float32 142 → 88 GFLOP/s`: the peaks with all threads that differ by more than usual."""
    rates = [run.machine.peak_rates and run.machine.peak_rates.all_threads for run in (old, new)]
    for name, (words, unit) in RATE_WORDS.items():
        before, after = (getattr(rate, name, None) for rate in rates)
        if before and after and max(before / after, after / before) > _OTHER_RATE:
            yield f"{words} {format_number(before, 3)} → {format_number(after, 3)} {unit}"


def _describe_machine(machine: Machine, *, with_instructions: bool) -> str:
    text = f"{machine.cpu}, {machine.cores} cores, {machine.threads} threads, {machine.device_and_gpu}"
    if not with_instructions:
        return text
    return f"{text}, {' '.join(machine.instructions) or 'unknown instructions'}"


def has_same_hardware(machine: Machine, other: Machine) -> bool:
    """Whether times of two records may be compared; different libraries are part of the change."""
    return machine.hardware == other.hardware


def find_size_change(old: VariantRecord, new: VariantRecord) -> SizeChange | None:
    """None if a release has no artifact of the model, or no size of the artifact."""
    old_bytes, new_bytes = (model.artifact.bytes if model.artifact else None for model in (old, new))
    if old_bytes is None or new_bytes is None:
        return None
    return SizeChange(
        old_bytes=old_bytes,
        new_bytes=new_bytes,
        old_compression=old.size and old.size.compression,
        new_compression=new.size and new.size.compression,
    )


def list_latency_changes(old: VariantRecord, new: VariantRecord, *, same: bool) -> list[LatencyChange]:
    """Each workload of either release. same: whether they were timed on the same machine."""
    nothing = LatencyFacts(measured="")
    changes = []
    for workload in dict.fromkeys([*new.latency, *old.latency]):
        before, after = old.latency.get(workload, nothing), new.latency.get(workload, nothing)
        changes.append(
            LatencyChange(
                workload=workload,
                old_p50_ms=before.p50_ms,
                new_p50_ms=after.p50_ms,
                old_speedup=before.speedup,
                old_interval=before.speedup_interval,
                new_speedup=after.speedup,
                new_interval=after.speedup_interval,
                change=_name_change(before.speedup_interval, after.speedup_interval, "slower", "faster")
                if same
                else None,
            )
        )
    return changes


def _name_change(
    before: Interval, after: Interval, lower: Word, higher: Word
) -> Word | Literal["no change shown"] | None:
    """The change; two releases are not paired, so it is shown only if the intervals do not overlap."""
    if before is None or after is None:
        return None
    if after[1] < before[0]:
        return lower
    return higher if after[0] > before[1] else "no change shown"


def _list_measurement_changes(
    old: VariantRecord, new: VariantRecord, *, same: bool
) -> Iterator[MeasurementChange]:
    """Each measurement of either release. same: whether both were measured on the same machine."""
    for name in dict.fromkeys([*new.measurements, *old.measurements]):
        before, after = old.measurements.get(name), new.measurements.get(name)
        old_interval, new_interval = (None if facts is None else facts.interval for facts in (before, after))
        measured = after or before
        yield MeasurementChange(
            name=name,
            unit=measured.unit if measured else "",
            old_value=before and before.value,
            new_value=after and after.value,
            old_ratio=before and before.ratio,
            old_interval=old_interval,
            new_ratio=after and after.ratio,
            new_interval=new_interval,
            change=_name_change(old_interval, new_interval, "smaller", "larger") if same else None,
        )


class _SliceValues(NamedTuple):
    """The values of a model on a slice. drop: behind its teacher, in points; None for the teacher."""

    value: float
    rows: int
    drop: float | None


def list_slice_changes(
    old: tuple[RunRecord, VariantRecord],
    new: tuple[RunRecord, VariantRecord],
    metrics: Mapping[str, Metric | None],
    pair: Pair | None,
) -> list[SliceChange]:
    """Each slice that both releases have of a model, the surest loss first, then the largest."""
    before, after = _collect_slices(*old), _collect_slices(*new)
    tested = _judge_label_slices({key.metric for key in after}, metrics, pair)
    changes = []
    for key, now in after.items():
        if key not in before:
            continue
        was, test = before[key], tested.get(key)
        metric = metrics.get(key.metric)
        if metric is None:
            better_up = _find_recorded_direction(key.metric, old[0], new[0])
        else:
            better_up = metric.higher_is_better
        changes.append(_describe_slice_change(key, was, now, test, better_up=better_up))
    return sorted(
        changes,
        key=lambda change: (1.0 if change.p_holm is None else change.p_holm, -(change.drop_points or 0)),
    )


def _describe_slice_change(
    key: SliceName, was: _SliceValues, now: _SliceValues, test: SliceFacts | None, *, better_up: bool | None
) -> SliceChange:
    """better_up: whether a higher value is better; None if that is unknown."""
    lost = was.value - now.value if better_up else now.value - was.value
    return SliceChange(
        metric=key.metric,
        column=key.column,
        value=key.value,
        rows=now.rows,
        old=was.value,
        new=now.value,
        drop_points=None if better_up is None else 100 * lost,
        interval=test and test.interval,
        method=test and test.method,
        n=test and test.n,
        old_drop=was.drop,
        new_drop=now.drop,
        p_holm=test and test.p_holm,
    )


def _find_recorded_direction(metric: str, *records: RunRecord) -> bool | None:
    """Whether higher is better, as the slices of the records show."""
    return find_direction(
        (facts.drop_points, facts.variant, facts.teacher)
        for record in records
        for model in record.variants[1:]
        for facts in _list_slice_facts(model)
        if facts.metric == metric
    )


def _collect_slices(record: RunRecord, model: VariantRecord) -> dict[SliceName, _SliceValues]:
    """The slices of a model; for the teacher, as its variants' records have them."""
    if model.name != record.variants[0].name:
        return {
            _name_slice(facts): _SliceValues(facts.variant, facts.n, facts.drop_points)
            for facts in _list_slice_facts(model)
        }
    return {
        _name_slice(facts): _SliceValues(facts.teacher, facts.n, None)
        for variant in reversed(record.variants[1:])
        for facts in _list_slice_facts(variant)
    }


def _list_slice_facts(model: VariantRecord) -> list[SliceFacts]:
    return (model.behaviour.slices or []) if model.behaviour else []


def _name_slice(facts: SliceFacts) -> SliceName:
    return SliceName(facts.column, facts.value, facts.metric)


def _judge_label_slices(
    names: set[str], metrics: Mapping[str, Metric | None], pair: Pair | None
) -> dict[SliceName, SliceFacts]:
    """The test of every label, for the metrics that are 0 or 1 per row."""
    if pair is None:
        return {}
    old, new = pair
    slices = list_label_slices(old)
    known = [metric for name in sorted(names) if (metric := metrics.get(name)) is not None]
    return {
        _name_slice(facts): facts
        for metric in known
        if metric.per_row is not None
        for facts in judge_slices(metric, old, new, slices, _NO_LOSS)
    }

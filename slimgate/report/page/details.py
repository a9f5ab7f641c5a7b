"""The details below a model's row: budgets with intervals, build steps, slices, times, confidence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from slimgate._system.escape import escape
from slimgate._system.number_text import (
    MISSING,
    format_duration,
    format_fixed,
    format_int,
    format_megabytes,
    format_percent,
    format_significant,
)
from slimgate.data.quoting import LONGEST_QUOTE, shorten
from slimgate.record.build import StepFacts
from slimgate.record.run import RunRecord, VariantRecord
from slimgate.report.figures import describe_duel, format_drop, format_flops
from slimgate.report.page.budgets import BudgetLine, list_budgets
from slimgate.report.page.diagrams import (
    Confusion,
    Curve,
    Reliability,
    make_confusion,
    make_reliability,
    make_tradeoff_curve,
)
from slimgate.report.page.drawing import Drawn, draw_bar, make_scale
from slimgate.report.stages import format_params_cell, format_runtime_options, format_value, select_other_log
from slimgate.report.status import describe_workload, find_teacher, list_models
from slimgate.report.task_figures import list_kl_facts
from slimgate.results.base import Verdict
from slimgate.results.behaviour import BehaviourFacts, SliceFacts
from slimgate.results.latency import LatencyFacts

_MOST_SLICES = 12
_ORIGIN = {True: "from the store", False: "built in this run", None: None}


@dataclass(frozen=True)
class Times:
    """Times of one workload, in milliseconds: the smallest, p50, p90, p95 and p99.

    picture: the times on a scale that holds the teacher's too.
    """

    workload: str
    milliseconds: Sequence[str]
    speedup: str
    picture: Drawn | None


@dataclass(frozen=True)
class StepLine:
    """A build step, as markdown. size: of the model's files after it. notes: what it logged."""

    name: str
    options: str
    seconds: str
    size: str
    notes: str


@dataclass(frozen=True)
class SliceLine:
    facts: SliceFacts
    name: str
    drop: str
    picture: Drawn | None


@dataclass(frozen=True)
class Details:
    """The part below a model's row. facts: (name, value). slices_in_all: includes the slices not shown."""

    model: VariantRecord
    number: int
    facts: Sequence[tuple[str, str]]
    budgets: Sequence[BudgetLine]
    steps: Sequence[StepLine]
    slices: Sequence[SliceLine]
    slices_in_all: int
    times: Sequence[Times]
    reliability: Reliability | None
    tradeoff: Curve | None
    confusion: Confusion | None


def list_details(record: RunRecord) -> list[Details]:
    """The details of all models, in the order of the table."""
    return [
        Details(
            model=model,
            number=number,
            facts=list(_list_facts(record, model)),
            budgets=list_budgets(model),
            steps=[_make_step_line(step) for step in model.steps],
            slices=_list_slices(model.behaviour),
            slices_in_all=len((model.behaviour.slices if model.behaviour else None) or []),
            times=[_make_times(record, model, name, facts) for name, facts in model.latency.items()],
            reliability=make_reliability(model),
            tradeoff=make_tradeoff_curve(model),
            confusion=make_confusion(record, model),
        )
        for number, model in enumerate(list_models(record))
    ]


def _make_step_line(step: StepFacts) -> StepLine:
    return StepLine(
        name=escape(step.name),
        options=format_params_cell(step),
        seconds=format_duration(step.seconds),
        size=MISSING if step.bytes is None else f"{format_megabytes(step.bytes)} MB",
        notes=escape(format_value(select_other_log(step)), longest=300) or MISSING,
    )


def _list_facts(record: RunRecord, model: VariantRecord) -> Iterator[tuple[str, str]]:
    if model.parent is not None:
        yield "model" if record.task.is_of_files else "made from", escape(model.parent)
    if model.twin is not None:
        yield "twin, built without the step in question", escape(model.twin)
    if origin := _ORIGIN[model.from_store]:
        yield "this run", origin
    if (artifact := model.artifact) is not None:
        yield "kind, runtime", f"{escape(artifact.kind)}, {escape(artifact.runtime)}"
        if artifact.runtime_params:
            yield "the runtime's options", format_runtime_options(artifact)
        if artifact.bytes is not None:
            yield "files to predict", f"{format_megabytes(artifact.bytes)} MB"
            yield (
                "parameters",
                f"{format_int(artifact.parameters)}, {format_int(artifact.nonzero_parameters)} not zero",
            )
        if artifact.bytes is not None and artifact.parameters:
            yield "bits a parameter, in files", format_fixed(8 * artifact.bytes / artifact.parameters, 1)
        if artifact.load_seconds is not None:
            yield "load", format_duration(artifact.load_seconds)
        if artifact.compile_seconds is not None:
            graphs = format_int(artifact.compiled_graphs)
            yield "compiling", f"{format_duration(artifact.compile_seconds)}, {graphs} graphs"
    if model.flops is not None:
        yield "FLOPs of a row", format_flops(model.flops) or f"not known: {escape(model.flops.note or '')}"
    if model.memory is not None:
        before = find_teacher(record)
        own_peak = format_megabytes(model.memory.peak_bytes)
        teacher_peak = (
            MISSING if before is None or before.memory is None else format_megabytes(before.memory.peak_bytes)
        )
        yield "peak memory", f"{own_peak} MB (teacher {teacher_peak} MB)"
        if model.memory.resident_after_load_bytes is not None:
            yield "memory after loading", f"{format_megabytes(model.memory.resident_after_load_bytes)} MB"
    yield from _list_behaviour_facts(model.behaviour, record.task.sides.original)


def _list_behaviour_facts(behaviour: BehaviourFacts | None, original: str) -> Iterator[tuple[str, str]]:
    if behaviour is None:
        return
    if behaviour.agreement is not None:
        yield f"agrees with the {original}", format_percent(behaviour.agreement)
    if behaviour.kl_to_teacher is not None:
        yield "KL to the teacher", f"{format_significant(behaviour.kl_to_teacher)} nats"
    yield from list_kl_facts(behaviour)
    if behaviour.ece is not None:
        yield (
            "calibration error",
            f"{format_fixed(behaviour.ece, 3)} (teacher {format_fixed(behaviour.ece_teacher, 3)})",
        )
    for name, figure in behaviour.figures.items():
        yield (
            escape(figure.what or name),
            f"{format_significant(figure.variant)} (teacher {format_significant(figure.teacher)})",
        )


def _list_slices(behaviour: BehaviourFacts | None) -> list[SliceLine]:
    """The slices with the largest drops, and every slice that fails its budget."""
    known = (behaviour.slices if behaviour else None) or []
    shown = sorted(known, key=lambda part: -part.drop_points)
    shown = shown[:_MOST_SLICES] + [part for part in shown[_MOST_SLICES:] if part.worst is Verdict.FAIL]
    scale = make_scale(end for part in shown for end in (part.drop_points, *part.interval))
    return [
        SliceLine(
            part,
            f"{part.column}: {shorten(part.value, LONGEST_QUOTE)}",
            format_drop(part.drop_points, part.interval),
            draw_bar(scale, part.drop_points, part.interval),
        )
        for part in shown
    ]


def _make_times(record: RunRecord, model: VariantRecord, workload: str, facts: LatencyFacts) -> Times:
    values = [facts.min_ms, facts.p50_ms, facts.p90_ms, facts.p95_ms, facts.p99_ms]
    teacher = find_teacher(record)
    latencies = [measured.latency.get(workload) for measured in (teacher, model) if measured is not None]
    highest = [latency.p95_ms or latency.p50_ms for latency in latencies if latency is not None]
    scale = make_scale([0.0, *(value for value in (*highest, *values) if value is not None)])
    low, high = facts.min_ms, next((value for value in reversed(values) if value is not None), None)
    ends = None if low is None or high is None else (low, high)
    return Times(
        describe_workload(workload),
        [format_significant(value) for value in values],
        describe_duel(facts) or MISSING,
        draw_bar(scale, facts.p50_ms, ends),
    )

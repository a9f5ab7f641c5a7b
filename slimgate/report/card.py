"""Makes the evaluation part of a Hugging Face model card from what a record has about one model."""

from __future__ import annotations

from collections.abc import Iterator

from slimgate._system.escape import escape, fence_code
from slimgate._system.number_text import (
    MISSING,
    format_int,
    format_megabytes,
    format_number,
    format_percent,
    format_significant,
)
from slimgate.judge.message import format_cap
from slimgate.judge.speed import LEVEL as SPEED_LEVEL
from slimgate.record.earlier_results import describe_state
from slimgate.record.run import RunRecord, VariantRecord
from slimgate.report.alarms import describe_teacher_doubt
from slimgate.report.card_metadata import (
    LOAD,
    find_origin,
    format_front_matter,
    list_lineage,
    name_gate_split,
    name_rows,
)
from slimgate.report.confirm import list_row_use_cautions
from slimgate.report.figures import describe_compression, describe_duel, format_drop_words, format_flops
from slimgate.report.stages import format_params_cell
from slimgate.report.status import (
    describe_workload,
    find_median_ms,
    find_teacher,
    format_status_cell,
    format_switched_off,
    list_unjudged_budgets,
)
from slimgate.report.tables import (
    Column,
    add_heading,
    blocks,
    format_bullets,
    make_pipe_table,
    remove_empty_columns,
)
from slimgate.report.trust import describe_delay, describe_run, list_machine_lines
from slimgate.report.variant_tables import format_passed_on
from slimgate.results.base import Verdict
from slimgate.results.checks import TEACHER
from slimgate.results.quality import QualityFacts


def make_card(
    record: RunRecord, model: VariantRecord, *, form: str | None = None, export_reason: str | None = None
) -> str:
    """Front matter and markdown. form: the form of an exported folder, as `slimgate export` names it.

    export_reason: why the model was exported although it does not pass.
    """
    gate = record.task.splits.get("gate")
    rows = f"{format_int(gate.n)} rows of " if gate else "rows of "
    verdict = f"Verdict on its budgets: {format_status_cell(record, model)}"
    if model.name == TEACHER:
        verdict = f"The {record.task.sides.original}"
    return blocks(
        format_front_matter(record, model, form=form),
        f"# {escape(model.name)}",
        f"**Exported with a reason**: {escape(export_reason)}" if export_reason else "",
        blocks(
            escape(record.suite.title),
            f"{verdict}. Judged by slimgate {escape(record.slimgate)} on "
            f"{rows}{escape(name_rows(record))} "
            f"({escape(name_gate_split(record))}), {escape(record.created)}.",
            f"The record of the run is {state}." if (state := describe_state(record)) else "",
        ),
        add_heading(
            "## Evaluation",
            blocks(
                _make_quality_table(record, model),
                _explain_table(record, model),
                format_bullets(_list_verdict_messages(model)),
            ),
        ),
        add_heading(
            "## Speed",
            blocks(_make_speed_table(record, model), _format_machine(record, model) if model.latency else ""),
        ),
        add_heading("## Size", _format_sizes(model)),
        add_heading("## How it was built", format_bullets(_list_build_steps(record, model))),
        add_heading("## Limits", format_bullets(_list_limitations(record, model))),
        add_heading("## Reproduce", _describe_reproduction(record)),
    )


def _make_quality_table(record: RunRecord, model: VariantRecord) -> str:
    metrics, original = list(model.quality.items()), record.task.sides.original
    columns = [
        Column("metric", [escape(name) for name, _ in metrics]),
        Column("value", [format_number(facts.value) for _, facts in metrics], right=True),
        Column(original, [_format_teacher(facts) for _, facts in metrics], right=True),
        Column(f"against the {original}", [_format_drop(facts) for _, facts in metrics], right=True),
        Column("method", [escape(facts.method or MISSING) for _, facts in metrics]),
        Column("rows", [format_int(facts.n) for _, facts in metrics], right=True),
        Column("verdict", [_format_gated_verdict(model, facts.verdict) for _, facts in metrics]),
    ]
    return make_pipe_table(remove_empty_columns(columns)) if metrics else ""


def _format_teacher(facts: QualityFacts) -> str:
    return MISSING if facts.drop_points is None else format_number(facts.teacher)


def _format_drop(facts: QualityFacts) -> str:
    limits = [budget.limit for budget in facts.budgets]
    drop = format_drop_words(facts.drop_points, facts.interval, limits, unit=facts.unit) or MISSING
    return drop + format_cap(facts.budgets)


def _format_gated_verdict(model: VariantRecord, verdict: Verdict | None) -> str:
    """A cell; for a model that is not gated, the verdict that it would have."""
    if verdict is None:
        return MISSING
    if model.gated:
        return str(verdict)
    return f"not gated ({'undecided' if verdict is Verdict.INCONCLUSIVE else f'would {verdict}'})"


def _explain_table(record: RunRecord, model: VariantRecord) -> str:
    """The meaning of the table's drops and brackets."""
    levels = {facts.level for facts in model.quality.values() if facts.interval and facts.level is not None}
    if not levels:
        return ""
    points = "percentage points"
    if "log_loss" in model.quality:
        points += " (log loss: hundredths of a nat)"
    brackets = " or ".join(format_percent(level, 0) for level in sorted(levels))
    return (
        f"A drop is positive if this model is worse than its {record.task.sides.original}, whatever the "
        f"metric. Drops are in {points}; the brackets contain the {brackets} interval."
    )


def _list_verdict_messages(model: VariantRecord) -> Iterator[str]:
    """The judge's messages on metrics and behaviour, and on each other figure that has a budget."""
    yield from (escape(facts.message) for facts in model.quality.values() if facts.message)
    yield from (escape(facts.message) for facts in model.since_baseline.values() if facts.message)
    yield from (escape(facts.message) for facts in model.confirm.values() if facts.message)
    if model.behaviour is not None and model.behaviour.message:
        yield escape(model.behaviour.message)
    limits = [times.limits for times in model.latency.values()]
    for facts in (
        model.size,
        model.memory,
        model.flops,
        *model.measurements.values(),
        *model.latency.values(),
        *limits,
        *model.load_tests.values(),
        model.kl_log,
    ):
        if facts is not None and facts.verdict is not None and facts.message:
            yield escape(facts.message)


def _make_speed_table(record: RunRecord, model: VariantRecord) -> str:
    timings, teacher = list(model.latency.items()), find_teacher(record)
    columns = [
        Column("workload", [describe_workload(name) for name, _ in timings]),
        Column("median, ms", [format_significant(facts.p50_ms) for _, facts in timings], right=True),
        Column(
            "mean, ms",
            [format_significant(facts.mean_ms if facts.turns else None) for _, facts in timings],
            right=True,
        ),
        Column("p95, ms", [format_significant(facts.p95_ms) for _, facts in timings], right=True),
        Column("a second", [format_significant(facts.throughput_per_s) for _, facts in timings], right=True),
        Column("to next model", [format_passed_on(facts.passed_on) for _, facts in timings], right=True),
        Column("threads", [format_int(facts.threads) for _, facts in timings], right=True),
    ]
    if model.name != TEACHER:
        columns += [
            Column(
                "teacher, ms",
                [format_significant(find_median_ms(teacher, name)) for name, _ in timings],
                right=True,
            ),
            Column(
                "against the teacher",
                [describe_duel(facts) or MISSING for _, facts in timings],
                right=True,
            ),
            Column("verdict", [_format_gated_verdict(model, facts.worst) for _, facts in timings]),
        ]
    return make_pipe_table(remove_empty_columns(columns)) if timings else ""


def _format_machine(record: RunRecord, model: VariantRecord) -> str:
    duelled = any(facts.speedup_interval is not None for facts in model.latency.values())
    ratio = (
        "Against the teacher: the teacher's time / this model's time, with the "
        f"{format_percent(SPEED_LEVEL, 0)} interval; the two models took turns. "
    )
    delay = record.self_test.planted_delay
    if duelled and delay is not None and not delay.seen:
        ratio += "The self-test could not detect any slow-down here, so no speed-up is proven. "
    rates = record.machine.peak_rates
    # Its notes say what to install to measure more rates. They are for users who run the suite.
    rates_without_notes = None if rates is None else rates.replace(notes=[])
    machine = record.machine.replace(peak_rates=rates_without_notes)
    return (
        f"{ratio if duelled else ''}One forward call on prepared tensors, on this machine:\n\n"
        + format_bullets(list_machine_lines(machine))
    )


def _format_sizes(model: VariantRecord) -> str:
    artifact = model.artifact
    if artifact is None or artifact.bytes is None:
        return ""
    lines = [
        f"{format_megabytes(artifact.bytes)} MB of files (1 MB = 1024² bytes), kind {escape(artifact.kind)}"
    ]
    if words := describe_compression(model.size):
        lines.append(f"{words} than the teacher" if "×" in words else f"{words} as the teacher")
    lines.append(
        f"{format_int(artifact.parameters)} parameters, "
        f"{format_int(artifact.nonzero_parameters)} other than 0"
    )
    if flops := format_flops(model.flops):
        lines.append(f"{flops} for one row")
    if model.memory is not None and model.memory.peak_bytes is not None:
        lines.append(
            f"{format_megabytes(model.memory.peak_bytes)} MB of memory at most, in a separate process"
        )
    return format_bullets(lines)


def _list_build_steps(record: RunRecord, model: VariantRecord) -> Iterator[str]:
    for step_model in list_lineage(record, model):
        for step in step_model.steps:
            options = format_params_cell(step)
            step_name = "loaded" if step.name == LOAD else escape(step.name)
            yield f"{escape(step_model.name)}: {step_name}" + ("" if options == MISSING else f" ({options})")
    if model.artifact is not None:
        artifact = model.artifact
        yield f"judged in the runtime {escape(artifact.runtime)}, artifact {escape(artifact.digest)}"


def _list_limitations(record: RunRecord, model: VariantRecord) -> Iterator[str]:
    if not record.task.real:
        yield "**The rows are made up.** They do not show how the model does on text that people wrote."
    yield "The figures hold for the rows named above, not for other text."
    if doubt := describe_teacher_doubt(record):
        yield doubt
    yield from list_row_use_cautions(record)
    for budget in record.baseline.loosened if record.baseline else ():
        if budget.variant == model.name:
            was = f"{escape(budget.kind)} {budget.before:g}"
            why = escape(budget.reason or "no reason is given")
            moved = f"had {was} in the last release and {budget.now}"
            yield f"**Loosened**: {escape(budget.budget)} {moved}: {why}"
    if model.error is not None:
        yield f"An error ended its build or its measurements: {escape(model.error)}"
    if unjudged := list_unjudged_budgets(record, model):
        yield f"Not judged, although the suite has a budget: {', '.join(map(escape, unjudged))}."
    if not model.gated:
        yield f"Not gated: {escape(model.reason or 'no reason is given')}"
    yield from (
        f"A budget of the suite is switched off for it: {words}" for words in format_switched_off(model)
    )
    for facts in model.quality.values():
        yield from map(escape, facts.warnings)
    for step_model in list_lineage(record, model):
        for step in step_model.steps:
            if warning := step.log.get("warning"):
                yield f"{escape(step.name)}: {escape(warning)}"
    origin = find_origin(record, model)
    if origin is not None and origin.startswith("fresh:"):
        yield "Its training started from random weights."
    yield from _list_gate_doubts(record)


def _list_gate_doubts(record: RunRecord) -> Iterator[str]:
    """Sentences on what the self-test did not show."""
    tested = record.self_test
    if record.task.is_of_files:  # there is no model to copy or to damage
        return
    if tested.identical is None or tested.planted_fault is None:
        yield "The gate itself was not tested in this run."
    for failure in tested.failures.values():
        yield f"**The gate of this run cannot be trusted**: {escape(failure.message)}"
    if (untested := tested.undecided_fault) is not None:
        yield f"The rows could not decide the planted fault: {escape(untested.message)}"
    delay = tested.planted_delay
    if delay is not None and not delay.seen:
        yield f"The planted delay was not seen, so no speed-up is decided: {escape(delay.message)}"
    elif delay is not None and describe_delay(delay):
        yield f"The machine {describe_delay(delay)}, so no smaller difference in speed is shown."


def _describe_reproduction(record: RunRecord) -> str:
    suite = record.suite
    if not record.has_suite_file:
        return blocks(fence_code(record.command), describe_run(record))
    seeds = ", ".join(map(str, suite.seeds)) or "not stated"
    suite_words = f"Suite {escape(suite.path)}, sha256 {escape(suite.digest)}, seed {seeds}."
    return blocks(fence_code(record.command), suite_words)

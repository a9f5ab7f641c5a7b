"""How models were built: steps, the trace, losses per epoch, artifacts.

The trace has every stage of every model in order, with the rows that it read and the artifact that it left.
For a combination of steps, a table has the cost of each step in quality, and its gain in size.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

from slimgate._system.escape import escape
from slimgate._system.number_text import (
    MISSING,
    format_duration,
    format_fixed,
    format_int,
    format_megabytes,
    format_significant,
)
from slimgate.models.quantized_files import COMPUTED_BY_KERNELS, COMPUTED_UNPACKED
from slimgate.record.build import ArtifactFacts, StageFacts, StepFacts
from slimgate.record.run import RunRecord, VariantRecord
from slimgate.report.epochs import find_logged_count, make_epoch_table, read_epochs, sum_seconds
from slimgate.report.figures import add_note
from slimgate.report.status import find_model, list_models, list_variants
from slimgate.report.tables import (
    Column,
    add_heading,
    blocks,
    fold,
    format_bullets,
    make_pipe_table,
    remove_empty_columns,
)
from slimgate.results.quality import QualityFacts

_ORIGIN = {True: "from the store", False: "built", None: MISSING}
# The parts of the log that the trace and the table of epochs show already.
_SHOWN = ("epochs", "best_epoch", "rows", "tokens", "seconds")
_IN_THE_TRACE = ("seconds",)
_LONGEST = 200
_EXPLAINED = """\
What each step on the way did, measured on the `selection` rows, which never judge. `change`: hundredths of
the first metric (percentage points, where it is a share), from the step before."""
_TRACE_EXPLAINED = """\
Every stage in order. "from" names the model that it starts from. Rows and tokens are what it read (tokens of
the rows it trained on, each row once); parameters and files are what it left. "of them": where the seconds
went."""
_COMPUTED = {
    COMPUTED_BY_KERNELS: "computed by its kernels",
    COMPUTED_UNPACKED: "unpacked to floating point",
}
Stage = tuple[VariantRecord, str | None, StepFacts]


def format_built_section(record: RunRecord) -> str:
    """The whole section; empty for logs, which slimgate did not build."""
    if record.task.is_of_files:
        return ""
    return blocks(
        "## What was built from what",
        format_step_table(record),
        format_trace(record),
        add_heading("### Loss and quality per epoch", make_epoch_table(record)),
        format_stages(record),
        add_heading("### What the steps noted", format_bullets(_list_log_notes(record))),
        add_heading("### Artifacts", make_artifact_table(record)),
    )


def format_step_table(record: RunRecord) -> str:
    """A line for each step of every model; empty for logs."""
    if record.task.is_of_files:
        return ""
    none: list[StepFacts | None] = [None]
    rows = [(model, step) for model in list_models(record) for step in (model.steps or none)]
    return make_pipe_table(
        [
            Column("variant", [escape(model.name) for model, _ in rows]),
            Column("from", [MISSING if model.parent is None else escape(model.parent) for model, _ in rows]),
            Column("step", ["none" if step is None else escape(step.name) for _, step in rows]),
            Column("with", [format_params_cell(step) for _, step in rows]),
            Column("took", [format_duration(step.seconds if step else None) for _, step in rows], right=True),
            Column(
                "this run",
                [
                    _ORIGIN[model.from_store if step is None or step.from_store is None else step.from_store]
                    for model, step in rows
                ],
            ),
        ]
    )


def format_params_cell(step: StepFacts | None) -> str:
    """The options that a suite states, without those that equal the step's defaults."""
    if step is None:
        return MISSING
    options = step.params if step.given is None else step.given
    if options in (None, {}, []):
        return MISSING
    if isinstance(options, Mapping):  # None is an option that was not set
        options = {key: value for key, value in options.items() if value is not None}
    return escape(format_value(options), longest=_LONGEST)


def _list_log_notes(record: RunRecord) -> list[str]:
    return [
        f"{escape(model.name)}, {escape(step.name)}: {escape(format_value(rest), longest=2 * _LONGEST)}"
        for model in list_models(record)
        for step in model.steps
        if (rest := select_other_log(step))
    ]


def select_other_log(step: StepFacts) -> dict[str, Any]:
    """The parts of a step's log that the tables above do not show."""
    shown = _SHOWN if read_epochs(step) is not None else _IN_THE_TRACE
    return {key: value for key, value in step.log.items() if key not in shown}


def make_artifact_table(record: RunRecord) -> str:
    """The files that predict: runtime, sizes, parameters."""
    artifacts = [(model, model.artifact) for model in list_models(record) if model.artifact is not None]
    if not artifacts:
        return ""
    columns = [
        Column("variant", [escape(model.name) for model, _ in artifacts]),
        Column("kind", [escape(artifact.kind) for _, artifact in artifacts]),
        Column("weights", [describe_stored_weights(artifact) for _, artifact in artifacts]),
        Column("runtime", [escape(artifact.runtime) for _, artifact in artifacts]),
        Column("its options", [format_runtime_options(artifact) for _, artifact in artifacts]),
        Column("files, MB", [format_megabytes(artifact.bytes) for _, artifact in artifacts], right=True),
        Column(
            "state in memory, MB",
            [format_megabytes(artifact.state_bytes) for _, artifact in artifacts],
            right=True,
        ),
        Column("parameters", [format_int(artifact.parameters) for _, artifact in artifacts], right=True),
        Column("nonzero", [format_int(artifact.nonzero_parameters) for _, artifact in artifacts], right=True),
        Column("GFLOPs a row", [_format_gigaflops(model) for model, _ in artifacts], right=True),
        Column("load", [format_duration(artifact.load_seconds) for _, artifact in artifacts], right=True),
        Column(
            "compiling", [format_duration(artifact.compile_seconds) for _, artifact in artifacts], right=True
        ),
        Column(
            "compiled graphs", [format_int(artifact.compiled_graphs) for _, artifact in artifacts], right=True
        ),
        Column("digest", [escape(artifact.digest[:12]) for _, artifact in artifacts]),
    ]
    return blocks(make_pipe_table(remove_empty_columns(columns)), format_bullets(_list_unknown_flops(record)))


def _format_gigaflops(model: VariantRecord) -> str:
    """`1.23 (0.5)`, with the teacher's operations as 1."""
    flops = model.flops
    if flops is None or flops.flops is None:
        return MISSING
    return add_note(
        format_significant(flops.flops / 1e9),
        None if flops.ratio is None else format_significant(flops.ratio),
    )


def _list_unknown_flops(record: RunRecord) -> list[str]:
    """Why operations are not known, each reason with its models."""
    models_by_note: dict[str, list[str]] = {}
    for model in list_models(record):
        if model.flops is not None and model.flops.note is not None:
            models_by_note.setdefault(model.flops.note, []).append(escape(model.name))
    return [
        f"FLOPs of {', '.join(names)} are not known: {escape(note)}."
        for note, names in models_by_note.items()
    ]


def describe_stored_weights(artifact: ArtifactFacts) -> str:
    """`gptq, W4A16, groups of 128, bfloat16, not lm_head; …`; a dash if nothing was quantized before."""
    stored = artifact.stored
    if stored is None:
        return MISSING
    groups = [] if stored.group_size is None else [f"groups of {stored.group_size}"]
    left_out = [f"not {', '.join(stored.left_out)}"] if stored.left_out else []
    words = ", ".join([stored.format, stored.scheme, *groups, stored.dtype, *left_out])
    return escape(f"{words}; {_COMPUTED.get(stored.computed, stored.computed)}", longest=2 * _LONGEST)


def format_runtime_options(artifact: ArtifactFacts) -> str:
    """`inference_precision = f32, …`, without options that are left to the runtime; a dash without any."""
    stated = {key: value for key, value in artifact.runtime_params.items() if value is not None}
    return escape(format_value(stated), longest=2 * _LONGEST) if stated else MISSING


def format_value(value: object) -> str:
    """Nested values as `a = 1, b = [2, 3]`, floats short."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} = {_format_inner_value(inner)}" for key, inner in value.items())
    return _format_inner_value(value)


def _format_inner_value(value: object) -> str:
    if isinstance(value, Mapping):
        return "{" + format_value(value) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_format_inner_value, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.6g}" if isfinite(value) else MISSING
    return MISSING if value is None else str(value)


def format_stages(record: RunRecord) -> str:
    """The section; empty if no variant has more than one step."""
    staged = [model for model in list_variants(record) if model.stages]
    if not staged:
        return ""
    parts = [
        fold(
            model.name,
            _describe_course(model),
            blocks(_make_stages_table(model.stages), _describe_twin(record, model)),
        )
        for model in staged
    ]
    return add_heading("### Step by step", blocks(_EXPLAINED, *parts))


def _describe_course(model: VariantRecord) -> str:
    """A text such as `, 3 stages, 87.1 MB to 17.8 MB`."""
    first, last = model.stages[0], model.stages[-1]
    sizes = f"{format_megabytes(first.bytes)} MB to {format_megabytes(last.bytes)} MB"
    return f", {format_int(len(model.stages))} stages, {sizes}"


def _make_stages_table(stages: list[StageFacts]) -> str:
    metrics = list(dict.fromkeys(metric for stage in stages for metric in stage.selection))
    first = metrics[0] if metrics else ""
    values = [stage.selection.get(first) for stage in stages]
    columns = [
        Column("stage", [_format_stage_name(stage) for stage in stages]),
        *(
            Column(metric, [format_fixed(stage.selection.get(metric), 4) for stage in stages], right=True)
            for metric in metrics
        ),
        Column("change", _format_stage_changes(values), right=True),
        Column("files, MB", [format_megabytes(stage.bytes) for stage in stages], right=True),
        Column("of the start", [_format_share(stage.bytes, stages[0].bytes) for stage in stages], right=True),
        Column("parameters", [format_int(stage.parameters) for stage in stages], right=True),
        Column("nonzero", [format_int(stage.nonzero_parameters) for stage in stages], right=True),
        Column("built in", [format_duration(stage.seconds) for stage in stages], right=True),
        Column(
            "note", [MISSING if stage.note is None else escape(stage.note, longest=160) for stage in stages]
        ),
    ]
    return make_pipe_table(remove_empty_columns(columns))


def _format_stage_name(stage: StageFacts) -> str:
    return escape(stage.variant) if stage.step is None else f"{escape(stage.variant)}: {escape(stage.step)}"


def _format_stage_changes(values: list[float | None]) -> list[str]:
    before = [None, *values[:-1]]
    return [
        MISSING if old is None or new is None else f"{100 * (new - old):+z.1f}"
        for old, new in zip(before, values, strict=True)
    ]


def _format_share(size: int, start: int) -> str:
    return f"{100 * size / start:.1f} %"


def _describe_twin(record: RunRecord, model: VariantRecord) -> str:
    """The result on the gate rows of the variant's twin, which is the same without the step in question."""
    twin = find_model(record, model.twin)
    if twin is None:
        return ""
    clauses = [
        f"{escape(metric)} {format_fixed(facts.value, 4)} "
        f"against {format_fixed(twin.quality[metric].value, 4)}"
        f" ({_format_change(facts, twin.quality[metric].value)})"
        for metric, facts in model.quality.items()
        if metric in twin.quality
    ]
    return f"Its twin {escape(twin.name)}, on the gate rows: {'; '.join(clauses)}." if clauses else ""


def _format_change(facts: QualityFacts, before: float) -> str:
    """`+4.2 points`; `-1.3 %` for a metric whose drop is a share of the teacher's value."""
    if facts.unit == "percent":
        return f"{100 * (facts.value / before - 1):+z.1f} %" if before else MISSING
    return f"{100 * (facts.value - before):+z.1f} points"


def format_trace(record: RunRecord) -> str:
    """The section; empty if no model has a step."""
    stages_of_models = [stage for model in list_models(record) for stage in _list_stages(model)]
    if not stages_of_models:
        return ""
    columns = [
        Column(
            "stage", [f"{escape(model.name)}: {escape(step.name)}" for model, _, step in stages_of_models]
        ),
        Column("from", [MISSING if start is None else escape(start) for _, start, _ in stages_of_models]),
        Column("rows", [_format_row_counts(step) for _, _, step in stages_of_models]),
        Column(
            "tokens",
            [format_int(find_logged_count(step, "tokens")) for _, _, step in stages_of_models],
            right=True,
        ),
        Column("epochs", [_format_epochs(step) for _, _, step in stages_of_models], right=True),
        Column("parameters", [format_int(step.parameters) for _, _, step in stages_of_models], right=True),
        Column(
            "nonzero", [format_int(step.nonzero_parameters) for _, _, step in stages_of_models], right=True
        ),
        Column("files, MB", [format_megabytes(step.bytes) for _, _, step in stages_of_models], right=True),
        Column("seconds", [format_duration(step.seconds) for _, _, step in stages_of_models], right=True),
        Column("of them", [_format_seconds(step) for _, _, step in stages_of_models]),
    ]
    return add_heading("### Trace", blocks(_TRACE_EXPLAINED, make_pipe_table(remove_empty_columns(columns))))


def _list_stages(model: VariantRecord) -> list[Stage]:
    """(model, what the stage starts from, stage)."""
    starts = [model.parent, *(step.name for step in model.steps)]
    return [(model, start, step) for start, step in zip(starts, model.steps, strict=False)]


def _format_row_counts(step: StepFacts) -> str:
    """`train 6,000, selection 1,000`; it mentions rows that a step added to those of the splits."""
    reads = dict(step.reads or {})
    trained = find_logged_count(step, "rows")
    if trained is not None and trained != reads.get("train"):
        reads = {"trained on": trained} | reads
    return ", ".join(f"{escape(name)} {format_int(rows)}" for name, rows in reads.items()) or MISSING


def _format_seconds(step: StepFacts) -> str:
    """`train 12.1 s, teacher 3.0 s`, the longest first; stages under a hundredth of the time are left out."""
    spent = {stage: seconds for stage, seconds in sum_seconds(step).items() if seconds >= step.seconds / 100}
    by_seconds = sorted(spent.items(), key=lambda item: -item[1])
    return (
        ", ".join(f"{escape(stage)} {format_duration(seconds)}" for stage, seconds in by_seconds) or MISSING
    )


def _format_epochs(step: StepFacts) -> str:
    epochs = read_epochs(step)
    return MISSING if epochs is None else format_int(len(epochs))

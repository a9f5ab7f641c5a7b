"""The cost of each step of a combination in quality, and its gain in size.

Also how models were built: steps, the trace, losses per epoch, artifacts. The trace has every stage of every
model in order, with the rows that it read and the artifact that it left.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

from slimgate._system.escape import escape
from slimgate._system.number_text import MISSING, count, duration, megabytes, significant, to_fixed
from slimgate.models.quantized_files import COMPUTED_BY_KERNELS, COMPUTED_UNPACKED
from slimgate.record.build import ArtifactFacts, StageFacts, StepFacts
from slimgate.record.run import RunRecord, VariantRecord
from slimgate.report.epochs import epoch_table, epochs_of, logged_count, seconds_of
from slimgate.report.figures import with_note
from slimgate.report.status import models, variants
from slimgate.report.tables import Column, blocks, bullets, fold, table, with_heading, without_empty
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
Every stage in order. It starts from what stands under "from"; rows and tokens are what it read (tokens of the
rows it trained on, each row once), parameters and files what it left. "of them": where the seconds went."""
_COMPUTED = {
    COMPUTED_BY_KERNELS: "computed by its kernels",
    COMPUTED_UNPACKED: "unpacked to floating point",
}
Stage = tuple[VariantRecord, str | None, StepFacts]


def built_section(record: RunRecord) -> str:
    """The whole section; empty for logs, which slimgate did not build."""
    if record.task.is_of_files:
        return ""
    return blocks(
        "## What was built from what",
        step_table(record),
        trace(record),
        with_heading("### Loss and quality per epoch", epoch_table(record)),
        stages(record),
        with_heading("### What the steps noted", bullets(_notes(record))),
        with_heading("### Artifacts", artifact_table(record)),
    )


def step_table(record: RunRecord) -> str:
    """A line for each step of every model; empty for logs."""
    if record.task.is_of_files:
        return ""
    none: list[StepFacts | None] = [None]
    rows = [(model, step) for model in models(record) for step in (model.steps or none)]
    return table(
        [
            Column("variant", [escape(model.name) for model, _ in rows]),
            Column("from", [MISSING if model.parent is None else escape(model.parent) for model, _ in rows]),
            Column("step", ["none" if step is None else escape(step.name) for _, step in rows]),
            Column("with", [params_cell(step) for _, step in rows]),
            Column("took", [duration(step.seconds if step else None) for _, step in rows], right=True),
            Column(
                "this run",
                [
                    _ORIGIN[model.from_store if step is None or step.from_store is None else step.from_store]
                    for model, step in rows
                ],
            ),
        ]
    )


def params_cell(step: StepFacts | None) -> str:
    """The options that a suite states, without those that equal the step's defaults."""
    if step is None:
        return MISSING
    options = step.params if step.given is None else step.given
    if options in (None, {}, []):
        return MISSING
    if isinstance(options, Mapping):  # None is an option that was not set
        options = {key: value for key, value in options.items() if value is not None}
    return escape(format_value(options), longest=_LONGEST)


def _notes(record: RunRecord) -> list[str]:
    return [
        f"{escape(model.name)}, {escape(step.name)}: {escape(format_value(rest), longest=2 * _LONGEST)}"
        for model in models(record)
        for step in model.steps
        if (rest := other_log(step))
    ]


def other_log(step: StepFacts) -> dict[str, Any]:
    """The parts of a step's log that the tables above do not show."""
    shown = _SHOWN if epochs_of(step) is not None else _IN_THE_TRACE
    return {key: value for key, value in step.log.items() if key not in shown}


def artifact_table(record: RunRecord) -> str:
    """The files that predict: runtime, sizes, parameters."""
    artifacts = [(model, model.artifact) for model in models(record) if model.artifact is not None]
    columns = [
        Column("variant", [escape(model.name) for model, _ in artifacts]),
        Column("kind", [escape(artifact.kind) for _, artifact in artifacts]),
        Column("weights", [stored_words(artifact) for _, artifact in artifacts]),
        Column("runtime", [escape(artifact.runtime) for _, artifact in artifacts]),
        Column("its options", [runtime_options(artifact) for _, artifact in artifacts]),
        Column("files, MB", [megabytes(artifact.bytes) for _, artifact in artifacts], right=True),
        Column(
            "state in memory, MB", [megabytes(artifact.state_bytes) for _, artifact in artifacts], right=True
        ),
        Column("parameters", [count(artifact.parameters) for _, artifact in artifacts], right=True),
        Column("nonzero", [count(artifact.nonzero_parameters) for _, artifact in artifacts], right=True),
        Column("GFLOPs a row", [_gigaflops(model) for model, _ in artifacts], right=True),
        Column("load", [duration(artifact.load_seconds) for _, artifact in artifacts], right=True),
        Column("compiling", [duration(artifact.compile_seconds) for _, artifact in artifacts], right=True),
        Column("compiled graphs", [count(artifact.compiled_graphs) for _, artifact in artifacts], right=True),
        Column("digest", [escape(artifact.digest[:12]) for _, artifact in artifacts]),
    ]
    return blocks(table(without_empty(columns)), bullets(_unknown_flops(record))) if artifacts else ""


def _gigaflops(model: VariantRecord) -> str:
    """`1.23 (0.5)`, with the teacher's operations as 1."""
    flops = model.flops
    if flops is None or flops.flops is None:
        return MISSING
    return with_note(
        significant(flops.flops / 1e9), None if flops.ratio is None else significant(flops.ratio)
    )


def _unknown_flops(record: RunRecord) -> list[str]:
    """Why operations are not known, each reason with its models."""
    models_by_type: dict[str, list[str]] = {}
    for model in models(record):
        if model.flops is not None and model.flops.note is not None:
            models_by_type.setdefault(model.flops.note, []).append(escape(model.name))
    return [
        f"FLOPs of {', '.join(names)} are not known: {escape(note)}."
        for note, names in models_by_type.items()
    ]


def stored_words(artifact: ArtifactFacts) -> str:
    """`gptq, W4A16, groups of 128, bfloat16, not lm_head; …`; a dash if nothing was quantized before."""
    stored = artifact.stored
    if stored is None:
        return MISSING
    groups = [] if stored.group_size is None else [f"groups of {stored.group_size}"]
    left_out = [f"not {', '.join(stored.left_out)}"] if stored.left_out else []
    words = ", ".join([stored.format, stored.scheme, *groups, stored.dtype, *left_out])
    return escape(f"{words}; {_COMPUTED.get(stored.computed, stored.computed)}", longest=2 * _LONGEST)


def runtime_options(artifact: ArtifactFacts) -> str:
    """`inference_precision = f32, …`, without options that are left to the runtime; a dash without any."""
    stated = {key: value for key, value in artifact.runtime_params.items() if value is not None}
    return escape(format_value(stated), longest=2 * _LONGEST) if stated else MISSING


def format_value(value: object) -> str:
    """Nested values as `a = 1, b = [2, 3]`, floats short."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} = {_inner(inner)}" for key, inner in value.items())
    return _inner(value)


def _inner(value: object) -> str:
    if isinstance(value, Mapping):
        return "{" + format_value(value) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_inner, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.6g}" if isfinite(value) else MISSING
    return MISSING if value is None else str(value)


def stages(record: RunRecord) -> str:
    """The section; empty if no variant has more than one step."""
    staged = [model for model in variants(record) if model.stages]
    if not staged:
        return ""
    parts = [
        fold(model.name, _course(model), blocks(_table(model.stages), _twin(record, model)))
        for model in staged
    ]
    return with_heading("### Step by step", blocks(_EXPLAINED, *parts))


def _course(model: VariantRecord) -> str:
    """A text such as `, 3 stages, 87.1 MB to 17.8 MB`."""
    first, last = model.stages[0], model.stages[-1]
    return f", {count(len(model.stages))} stages, {megabytes(first.bytes)} MB to {megabytes(last.bytes)} MB"


def _table(stages: list[StageFacts]) -> str:
    metrics = list(dict.fromkeys(metric for stage in stages for metric in stage.selection))
    first = metrics[0] if metrics else ""
    values = [stage.selection.get(first) for stage in stages]
    columns = [
        Column("stage", [_name(stage) for stage in stages]),
        *(
            Column(metric, [to_fixed(stage.selection.get(metric), 4) for stage in stages], right=True)
            for metric in metrics
        ),
        Column("change", _changes(values), right=True),
        Column("files, MB", [megabytes(stage.bytes) for stage in stages], right=True),
        Column("of the start", [_share(stage.bytes, stages[0].bytes) for stage in stages], right=True),
        Column("parameters", [count(stage.parameters) for stage in stages], right=True),
        Column("nonzero", [count(stage.nonzero_parameters) for stage in stages], right=True),
        Column("built in", [duration(stage.seconds) for stage in stages], right=True),
        Column(
            "note", [MISSING if stage.note is None else escape(stage.note, longest=160) for stage in stages]
        ),
    ]
    return table(without_empty(columns))


def _name(stage: StageFacts) -> str:
    return escape(stage.variant) if stage.step is None else f"{escape(stage.variant)}: {escape(stage.step)}"


def _changes(values: list[float | None]) -> list[str]:
    before = [None, *values[:-1]]
    return [
        MISSING if old is None or new is None else f"{100 * (new - old):+z.1f}"
        for old, new in zip(before, values, strict=True)
    ]


def _share(size: int, start: int) -> str:
    return f"{100 * size / start:.1f} %"


def _twin(record: RunRecord, model: VariantRecord) -> str:
    """The result on the gate rows of the variant's twin, which is the same without the step in question."""
    twin = next((other for other in record.variants if other.name == model.twin), None)
    if twin is None:
        return ""
    clauses = [
        f"{escape(metric)} {to_fixed(facts.value, 4)} against {to_fixed(twin.quality[metric].value, 4)}"
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


def trace(record: RunRecord) -> str:
    """The section; empty if no model has a step."""
    stages_of_models = [stage for model in models(record) for stage in _stages(model)]
    if not stages_of_models:
        return ""
    columns = [
        Column(
            "stage", [f"{escape(model.name)}: {escape(step.name)}" for model, _, step in stages_of_models]
        ),
        Column("from", [MISSING if start is None else escape(start) for _, start, _ in stages_of_models]),
        Column("rows", [_rows(step) for _, _, step in stages_of_models]),
        Column(
            "tokens", [count(logged_count(step, "tokens")) for _, _, step in stages_of_models], right=True
        ),
        Column("epochs", [_epochs(step) for _, _, step in stages_of_models], right=True),
        Column("parameters", [count(step.parameters) for _, _, step in stages_of_models], right=True),
        Column("nonzero", [count(step.nonzero_parameters) for _, _, step in stages_of_models], right=True),
        Column("files, MB", [megabytes(step.bytes) for _, _, step in stages_of_models], right=True),
        Column("seconds", [duration(step.seconds) for _, _, step in stages_of_models], right=True),
        Column("of them", [_format_seconds(step) for _, _, step in stages_of_models]),
    ]
    return with_heading("### Trace", blocks(_TRACE_EXPLAINED, table(without_empty(columns))))


def _stages(model: VariantRecord) -> list[Stage]:
    """(model, what the stage starts from, stage)."""
    starts = [model.parent, *(step.name for step in model.steps)]
    return [(model, start, step) for start, step in zip(starts, model.steps, strict=False)]


def _rows(step: StepFacts) -> str:
    """`train 6,000, selection 1,000`; it mentions rows that a step added to those of the splits."""
    reads = dict(step.reads or {})
    trained = logged_count(step, "rows")
    if trained is not None and trained != reads.get("train"):
        reads = {"trained on": trained} | reads
    return ", ".join(f"{escape(name)} {count(rows)}" for name, rows in reads.items()) or MISSING


def _format_seconds(step: StepFacts) -> str:
    """`train 12.1 s, teacher 3.0 s`, the longest first; stages under a hundredth of the time are left out."""
    spent = {stage: seconds for stage, seconds in seconds_of(step).items() if seconds >= step.seconds / 100}
    by_seconds = sorted(spent.items(), key=lambda item: -item[1])
    return ", ".join(f"{escape(stage)} {duration(seconds)}" for stage, seconds in by_seconds) or MISSING


def _epochs(step: StepFacts) -> str:
    epochs = epochs_of(step)
    return MISSING if epochs is None else count(len(epochs))

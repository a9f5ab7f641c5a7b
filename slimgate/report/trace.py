"""The trace: every stage of every model in order, what it read, and what it left."""

from __future__ import annotations

from slimgate._system.escape import escaped
from slimgate.record import RunRecord, StepFacts, VariantRecord
from slimgate.report.epochs import epochs_of, logged, seconds_of
from slimgate.report.figures import MISSING, count, duration, megabytes
from slimgate.report.standing import models
from slimgate.report.tables import Column, blocks, table, titled, without_empty

_EXPLAINED = """\
Every stage in order. It starts from what stands under "from"; rows and tokens are what it read (tokens of the
rows it trained on, each row once), parameters and files what it left. "of them": where the seconds went."""
Stage = tuple[VariantRecord, str | None, StepFacts]


def trace(record: RunRecord) -> str:
    """The section; nothing where no model has a step."""
    found = [stage for model in models(record) for stage in _stages(model)]
    if not found:
        return ""
    columns = [
        Column("stage", [f"{escaped(model.name)}: {escaped(step.method)}" for model, _, step in found]),
        Column("from", [MISSING if start is None else escaped(start) for _, start, _ in found]),
        Column("rows", [_rows(step) for _, _, step in found]),
        Column("tokens", [count(logged(step, "tokens")) for _, _, step in found], right=True),
        Column("epochs", [_epochs(step) for _, _, step in found], right=True),
        Column("parameters", [count(step.parameters) for _, _, step in found], right=True),
        Column("nonzero", [count(step.nonzero_parameters) for _, _, step in found], right=True),
        Column("files, MB", [megabytes(step.bytes) for _, _, step in found], right=True),
        Column("seconds", [duration(step.seconds) for _, _, step in found], right=True),
        Column("of them", [_spent(step) for _, _, step in found]),
    ]
    return titled("### Trace", blocks(_EXPLAINED, table(without_empty(columns))))


def _stages(model: VariantRecord) -> list[Stage]:
    """(model, what the stage starts from, stage)."""
    starts = [model.parent, *(step.method for step in model.steps)]
    return [(model, start, step) for start, step in zip(starts, model.steps, strict=False)]


def _rows(step: StepFacts) -> str:
    """`train 6,000, selection 1,000`; rows that a step added to those of the splits are said."""
    reads = dict(step.reads or {})
    trained = logged(step, "rows")
    if trained is not None and trained != reads.get("train"):
        reads = {"trained on": trained} | reads
    return ", ".join(f"{escaped(name)} {count(rows)}" for name, rows in reads.items()) or MISSING


def _spent(step: StepFacts) -> str:
    """`train 12.1 s, teacher 3.0 s`, the longest first; what took less than a hundredth is left out."""
    spent = {stage: seconds for stage, seconds in seconds_of(step).items() if seconds >= step.seconds / 100}
    told = sorted(spent.items(), key=lambda one: -one[1])
    return ", ".join(f"{escaped(stage)} {duration(seconds)}" for stage, seconds in told) or MISSING


def _epochs(step: StepFacts) -> str:
    found = epochs_of(step)
    return MISSING if found is None else count(len(found))

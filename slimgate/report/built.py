"""What was built from what: steps, the trace, losses per epoch, the artifacts that came out."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

from slimgate._system.escape import escaped
from slimgate.record import ArtifactFacts, RunRecord, StepFacts
from slimgate.report.epochs import epoch_table, epochs_of
from slimgate.report.figures import MISSING, count, duration, megabytes
from slimgate.report.stages import stages
from slimgate.report.standing import models
from slimgate.report.tables import Column, blocks, bullets, table, titled, without_empty
from slimgate.report.trace import trace

_ORIGIN = {True: "from the store", False: "built", None: MISSING}
# What the trace and the table of epochs show already.
_SHOWN = ("epochs", "best_epoch", "rows", "tokens", "seconds")
_IN_THE_TRACE = ("seconds",)
_LONGEST = 200


def built(record: RunRecord, pictures: str = "") -> str:
    """The section. pictures: those of the epochs, as markdown."""
    epochs = epoch_table(record)
    return blocks(
        "## What was built from what",
        _step_table(record),
        trace(record),
        titled("### Loss and quality per epoch", blocks(epochs, pictures if epochs else "")),
        stages(record),
        titled("### What the steps noted", bullets(_notes(record))),
        titled("### Artifacts", _artifact_table(record)),
    )


def _step_table(record: RunRecord) -> str:
    none: list[StepFacts | None] = [None]
    rows = [(model, step) for model in models(record) for step in (model.steps or none)]
    return table(
        [
            Column("variant", [escaped(model.name) for model, _ in rows]),
            Column("from", [MISSING if model.parent is None else escaped(model.parent) for model, _ in rows]),
            Column("step", [_method(step) for _, step in rows]),
            Column("with", [params_cell(step) for _, step in rows]),
            Column("this run", [_ORIGIN[model.from_store] for model, _ in rows]),
        ]
    )


def _method(step: StepFacts | None) -> str:
    return "none" if step is None else escaped(step.method)


def params_cell(step: StepFacts | None) -> str:
    """The options that a suite states, but for those that say what the method's defaults say."""
    if step is None:
        return MISSING
    given = step.params if step.given is None else step.given
    if given in (None, {}, []):
        return MISSING
    if isinstance(given, Mapping):  # None is an option that was left alone
        given = {key: value for key, value in given.items() if value is not None}
    return escaped(plain(given), longest=_LONGEST)


def _notes(record: RunRecord) -> list[str]:
    return [
        f"{escaped(model.name)}, {escaped(step.method)}: {escaped(plain(rest), longest=2 * _LONGEST)}"
        for model in models(record)
        for step in model.steps
        if (rest := not_shown(step))
    ]


def not_shown(step: StepFacts) -> dict[str, Any]:
    """What the step logged beside what the tables above have taken from it."""
    shown = _SHOWN if epochs_of(step) is not None else _IN_THE_TRACE
    return {key: value for key, value in step.log.items() if key not in shown}


def _artifact_table(record: RunRecord) -> str:
    found = [(model, model.artifact) for model in models(record) if model.artifact is not None]
    columns = [
        Column("variant", [escaped(model.name) for model, _ in found]),
        Column("kind", [escaped(artifact.kind) for _, artifact in found]),
        Column("runtime", [escaped(artifact.runtime) for _, artifact in found]),
        Column("its options", [runtime_options(artifact) for _, artifact in found]),
        Column("files, MB", [megabytes(artifact.bytes) for _, artifact in found], right=True),
        Column("state in memory, MB", [megabytes(artifact.state_bytes) for _, artifact in found], right=True),
        Column("parameters", [count(artifact.parameters) for _, artifact in found], right=True),
        Column("nonzero", [count(artifact.nonzero_parameters) for _, artifact in found], right=True),
        Column("load", [duration(artifact.load_seconds) for _, artifact in found], right=True),
        Column("compiling", [duration(artifact.compile_seconds) for _, artifact in found], right=True),
        Column("compiled graphs", [count(artifact.compiled_graphs) for _, artifact in found], right=True),
        Column("digest", [escaped(artifact.digest[:12]) for _, artifact in found]),
    ]
    return table(without_empty(columns)) if found else ""


def runtime_options(artifact: ArtifactFacts) -> str:
    """`inference_precision = f32, …`, without options that are left to the runtime; a dash without any."""
    stated = {key: value for key, value in artifact.runtime_params.items() if value is not None}
    return escaped(plain(stated), longest=2 * _LONGEST) if stated else MISSING


def plain(value: object) -> str:
    """Nested values as `a = 1, b = [2, 3]`, floats short."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} = {_inner(inner)}" for key, inner in value.items())
    return _inner(value)


def _inner(value: object) -> str:
    if isinstance(value, Mapping):
        return "{" + plain(value) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_inner, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.6g}" if isfinite(value) else MISSING
    return MISSING if value is None else str(value)

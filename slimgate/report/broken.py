"""Models that could not be built or measured: which, why, where their log is, and how to try them again."""

from __future__ import annotations

import shlex
from pathlib import PurePath
from urllib.parse import quote

from slimgate._system.escape import escaped, visible
from slimgate.record import RunRecord, VariantRecord
from slimgate.report.standing import TEACHER, models


def broken(record: RunRecord) -> list[str]:
    """A line of markdown a model; the link to its log is as seen from beside the record."""
    return [_line(record, model) for model in models(record) if model.error is not None]


def broken_lines(record: RunRecord, where: str) -> list[str]:
    """The same for a terminal, without the reason, which stands above. where: the report."""
    return [
        f"{visible(model.name)} was {_what(model)}"
        + (f", its log: {PurePath(where).parent / visible(model.error_log)}" if model.error_log else "")
        + f"; again: {visible(again(record, model))}"
        for model in models(record)
        if model.error is not None
    ]


def again(record: RunRecord, model: VariantRecord) -> str:
    """The command that tries it again; what needs it comes with it where its name holds it too."""
    chosen = [] if model.name == TEACHER else ["-k", model.name]
    return shlex.join(["pytest", record.suite.path, *chosen])


def _line(record: RunRecord, model: VariantRecord) -> str:
    reason = (model.error or "").removeprefix(f"{model.name}: ")
    log = f" · [its log]({quote(model.error_log)})" if model.error_log else ""
    command = visible(again(record, model))
    code = escaped(command) if set("`@#") & set(command) else f"`{command}`"  # text that may call or link
    return f"{escaped(model.name)} was {_what(model)}: {escaped(reason)}{log} · again: {code}"


def _what(model: VariantRecord) -> str:
    return "not built" if model.artifact is None else "not measured whole"

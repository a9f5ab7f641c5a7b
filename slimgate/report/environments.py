"""How the environments of two runs differ, and the settings of models' servers."""

from __future__ import annotations

import json
from collections.abc import Iterator

from tabulate import tabulate

from slimgate._system.escape import escape, escape_invisible
from slimgate._system.number_text import MISSING
from slimgate.plugins.environments import AREAS, ENGINE, PROMPT, SAMPLING, EnvironmentChanges
from slimgate.record.comparing.environment import describe_differences, list_server_settings
from slimgate.record.run import RunRecord, VariantRecord
from slimgate.report.status import find_teacher, list_models, list_variants
from slimgate.report.tables import Column, blocks, make_pipe_table

_EXPLAINED = """\
The settings that each server states after it answered the gate rows. A provider may state nothing. slimgate
sets temperature and length in its own requests. Other clients get the server's defaults."""


def make_servers_table(record: RunRecord) -> str:
    """A row for each setting, a column for each model with a server; empty if no server states a setting."""
    settings = {
        model.name: stated for model in list_models(record) if (stated := list_server_settings(model))
    }
    names = list(dict.fromkeys(name for stated in settings.values() for name in stated))
    if not names:
        return ""
    columns = [
        Column("setting", [escape(name) for name in names]),
        *(
            Column(escape(model), [escape(str(stated.get(name, MISSING))) for name in names])
            for model, stated in settings.items()
        ),
    ]
    return blocks(_EXPLAINED, make_pipe_table(columns))


def list_server_differences(record: RunRecord) -> Iterator[str]:
    """A note for each variant whose server states another prompt, sampling or context than the teacher's."""
    reference = find_teacher(record)
    if reference is None:
        return
    before = _list_shared_settings(reference)
    for model in list_variants(record):
        if changes := describe_differences(before, _list_shared_settings(model)):
            yield (
                f"**Other server settings**: the server of {escape(model.name)} differs from the teacher's: "
                f"{escape(', '.join(changes))}."
            )


def _list_shared_settings(model: VariantRecord) -> dict[str, object]:
    """The settings that should be equal on the servers of all models."""
    server = model.artifact.server if model.artifact else {}
    context = {name: value for name, value in server.get(ENGINE, {}).items() if name == "context tokens"}
    return {**context, **server.get(PROMPT, {}), **server.get(SAMPLING, {})}


_LONGEST = 48


def format_environment(changes: EnvironmentChanges) -> str:
    """A table of the settings that differ, and a line with the areas that a run does not state."""
    lines = []
    if changes.changed:
        rows = [
            (
                AREAS[change.area],
                escape_invisible(change.name),
                _shorten(change.base),
                _shorten(change.target),
            )
            for change in changes.changed
        ]
        lines.append("differences between the two runs; those that usually change a score most come first:")
        lines.append(tabulate(rows, ("area", "setting", "base", "target"), disable_numparse=True))
    else:
        lines.append("what differs between the two runs: nothing that both of them state")
    if changes.unknown:
        areas = "; ".join(AREAS[area] for area in changes.unknown)
        lines.append(f"not compared, because one of the runs does not state it: {areas}")
    return "\n".join(lines)


def _shorten(value: object) -> str:
    if value is None:
        return MISSING
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    line = " ".join(text.split())
    return escape_invisible(line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…")

"""Shows the settings that each model's server states, and how they differ from the teacher's server."""

from __future__ import annotations

from collections.abc import Iterator

from slimgate._system.escape import escape
from slimgate._system.number_text import MISSING
from slimgate.plugins.environments import ENGINE, PROMPT, SAMPLING
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

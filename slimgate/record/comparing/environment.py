"""The environment of two runs of slimgate, in the form of other tools' logs, and how it differs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from slimgate.plugins.environments import (
    ENGINE,
    HARNESS,
    LIBRARIES,
    Environment,
    EnvironmentChanges,
    compare_environments,
    group_packages,
    join_environments,
    make_environment,
)
from slimgate.record.run import RunRecord, VariantRecord
from slimgate.runtimes.endpoint import KIND as ENDPOINT

Settings = Mapping[str, object]
_PACKAGES = (ENGINE, HARNESS, LIBRARIES)


def compare_records(old: RunRecord, new: RunRecord) -> EnvironmentChanges:
    """The differences between two runs; those that usually move a score most come first."""
    return compare_environments(read_record_environment(old), read_record_environment(new))


def list_other_versions(old: RunRecord, new: RunRecord) -> list[str]:
    """`torch 2.13.0 → 2.14.0` for each package that differs, in the order of `compare_records`."""
    packages = {
        name
        for record in (old, new)
        for area in group_packages(record.machine.libraries).values()
        for name in area
    }
    return [
        f"{change.name} {change.base or 'none'} → {change.target or 'none'}"
        for change in compare_records(old, new).changed
        if change.area in _PACKAGES and change.name in packages
    ]


def describe_server_changes(old: RunRecord, new: RunRecord) -> Iterator[str]:
    """A sentence for each model whose server has other settings in the new release."""
    before = {model.name: list_server_settings(model) for model in old.variants}
    for model in new.variants:
        if changes := describe_differences(before.get(model.name, {}), list_server_settings(model)):
            yield f"The server of {model.name} has other settings: {', '.join(changes)}."


def describe_differences(before: Settings, after: Settings) -> list[str]:
    """`context tokens 8192 → 4096` for each setting that both have, with two values."""
    return [
        f"{name} {value} → {after[name]}"
        for name, value in before.items()
        if name in after and after[name] != value
    ]


def list_server_settings(model: VariantRecord) -> Settings:
    """The settings that a model's server states, and the command that started it; empty for other models."""
    if model.artifact is None or model.artifact.kind != ENDPOINT:
        return {}
    stated = {name: value for area in model.artifact.server.values() for name, value in area.items()}
    server = model.artifact.runtime_params.get("server")
    return {**({"command": " ".join(server["command"])} if server else {}), **stated}


def read_record_environment(record: RunRecord) -> Environment:
    """The environment of a run of slimgate."""
    machine = record.machine
    return join_environments(
        make_environment(
            prompt={"task": record.task.kind, "task settings": record.task.params},
            sampling={"seeds": record.suite.seeds},
            model={"suite": record.suite.path, "digest of the suite": record.suite.digest}
            if record.has_suite_file
            else {},
            engine={"threads": machine.threads},
            harness={"slimgate": record.slimgate},
            hardware={
                "CPU": machine.cpu,
                "instructions": " ".join(machine.instructions),
                "cores": machine.cores,
                "memory": machine.memory_bytes,
                "device": machine.device,
                "GPU": machine.gpu,
            },
            system={"OS": machine.os, "Python": machine.python},
        ),
        group_packages(machine.libraries),
        *(_name_server_settings(model) for model in record.variants),
    )


def _name_server_settings(model: VariantRecord) -> Environment:
    """Area -> the settings of a model's server, by names such as `dtype of int8`; empty without a server."""
    server = model.artifact.server if model.artifact else {}
    return {
        area: {f"{name} of {model.name}": value for name, value in settings.items()}
        for area, settings in server.items()
    }

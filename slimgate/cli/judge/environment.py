"""`slimgate judge --explain-environment`: how the runs of two logs differ.

They differ in what the tools state about a run, and in the settings of each task.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import Any

from slimgate.plugins.environments import (
    PROMPT,
    SAMPLING,
    Environment,
    EnvironmentChanges,
    compare_environments,
    join_environments,
)
from slimgate.plugins.reader import SETTINGS, Log

# The settings that two logs must share -> their area.
_AREA_OF: Mapping[str, str] = dict.fromkeys(SETTINGS, PROMPT) | {"generation": SAMPLING, "limit": SAMPLING}


def explain_environment(options: argparse.Namespace, name: str, base: Log, target: Log) -> EnvironmentChanges:
    """Prints the table of a target before the logs are judged, because it may explain a refusal."""
    changes = compare_logs(base, target)
    if not options.json:
        from slimgate.report.environments import format_environment

        sys.stdout.write(f"{name}: {format_environment(changes)}\n\n")
    return changes


def add_environments(
    details: Mapping[str, Mapping[str, Any]], changes: Mapping[str, EnvironmentChanges]
) -> dict[str, dict[str, Any]]:
    """Details of the JSON output with `environment`: what changed, and the areas that are unknown."""
    return {
        name: {**details.get(name, {}), "environment": environment.to_json()}
        for name, environment in changes.items()
    }


def compare_logs(base: Log, target: Log) -> EnvironmentChanges:
    """The differences between the runs of two logs. A setting of several tasks is named once.

    Args:
        base: The log of the base, with its run chosen.
        target: The log of the target.

    Returns:
        The settings that differ; those that usually move a score most come first.
    """
    shared = [task for task in base.tasks if task in target.tasks]
    return compare_environments(_add_settings(base, shared), _add_settings(target, shared))


def _add_settings(log: Log, tasks: list[str]) -> Environment:
    settings: dict[str, dict[str, Any]] = {}
    for task in tasks:
        for name, value in log.tasks[task].settings.items():
            label = f"{task} {name}" if task else name
            settings.setdefault(_AREA_OF.get(name, PROMPT), {})[label] = value
    return join_environments(settings, log.environment)

"""`slimgate judge --explain-environment`: how the environments of two runs differ."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import Any

from slimgate.logs.environment import compare_logs
from slimgate.plugins.environments import EnvironmentChanges
from slimgate.plugins.reader import Log


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

"""Finds packages that are missing or too old for a suite's steps and runtimes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from slimgate._system.requirements import describe_missing, describe_too_low
from slimgate.errors import MissingExtra, SuiteError
from slimgate.plugins.runtime import Runtime
from slimgate.plugins.step import Step
from slimgate.suite.errors import Loc
from slimgate.suite.suite import TEACHER, Suite


def check_packages(suite: Suite, error_at: Callable[[Loc, str], SuiteError]) -> None:
    """Raises SuiteError, from MissingExtra, for a step or runtime whose package is missing or too old.

    Packages outside slimgate's extras are not checked: a user's plug-in reports those itself.
    """
    for loc, user, plugin in _list_package_users(suite):
        problem = describe_missing(user, plugin.packages) or describe_too_low(user, plugin.requires)
        if problem is not None:
            raise error_at(loc, problem) from MissingExtra(problem)


def _list_package_users(suite: Suite) -> Iterator[tuple[Loc, str, Step[Any] | Runtime[Any]]]:
    """Each step and runtime: its place in the file, its name, the plug-in."""
    for name, variant in suite.models.items():
        table: Loc = (TEACHER,) if name == TEACHER else ("variants", name)
        for i, step in enumerate(variant.steps):
            yield (*table, "steps", i, step.name), step.name, step.object
        runtime = variant.runtime
        yield (*table, "runtime"), f"runtime {runtime.name}", runtime.object

"""Finds packages that a suite's steps and runtimes lack, and the extra of slimgate that installs each."""

from __future__ import annotations

import importlib.metadata
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache

from slimgate._system.digests import versions
from slimgate.errors import MissingExtra, SuiteError
from slimgate.suite.errors import Loc
from slimgate.suite.suite import TEACHER, Suite

# `openvino>=2026.4; extra == 'openvino'`
_OF_EXTRA = re.compile(r"""(?P<package>[\w.-]+)[^;]*;.*extra\s*==\s*['"](?P<extra>[\w-]+)['"]""")


def check_packages(suite: Suite, error_at: Callable[[Loc, str], SuiteError]) -> None:
    """Raises SuiteError, from MissingExtra, for the first step or runtime whose package is not installed.

    Packages outside slimgate's extras are not checked: a user's plug-in reports those itself.
    """
    for loc, user, packages in _list_package_users(suite):
        if problem := describe_missing(user, packages):
            raise error_at(loc, problem) from MissingExtra(problem)


def describe_missing(user: str, packages: Iterable[str]) -> str | None:
    """What to install if a package is missing and an extra of slimgate installs it; None otherwise."""
    for package, version in versions(packages).items():
        if version is None and package in find_extras():
            return f'{user} needs the package {package}: pip install "slimgate[{find_extras()[package]}]"'
    return None


@cache
def find_extras() -> Mapping[str, str]:
    """For each package the smallest extra that installs it."""
    matches = [
        match for match in map(_OF_EXTRA.match, importlib.metadata.requires("slimgate") or ()) if match
    ]
    sizes = Counter(match["extra"] for match in matches)
    matches.sort(key=lambda match: -sizes[match["extra"]])
    return {match["package"]: match["extra"] for match in matches}


def _list_package_users(suite: Suite) -> Iterator[tuple[Loc, str, tuple[str, ...]]]:
    """Each step and runtime: its place in the file, its name, its packages."""
    for name, variant in {TEACHER: suite.teacher, **suite.variants}.items():
        table: Loc = (TEACHER,) if name == TEACHER else ("variants", name)
        for i, step in enumerate(variant.steps):
            yield (*table, "steps", i, step.name), step.name, step.object.packages
        runtime = variant.runtime
        yield (*table, "runtime"), f"runtime {runtime.name}", runtime.object.packages

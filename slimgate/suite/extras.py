"""Which packages a suite's steps and runtimes lack, and which extra of slimgate brings each."""

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
    """Raises SuiteError for the first step or runtime whose package is not installed, from MissingExtra.

    Packages that no extra of slimgate names, of a user's own plug-ins, are left to those.
    """
    for loc, user, packages in _users(suite):
        if problem := describe_missing(user, packages):
            raise error_at(loc, problem) from MissingExtra(problem)


def describe_missing(user: str, packages: Iterable[str]) -> str | None:
    """What to install if one of the packages is missing and an extra brings it; None otherwise."""
    for package, version in versions(packages).items():
        if version is None and package in extras():
            return f'{user} needs the package {package}: pip install "slimgate[{extras()[package]}]"'
    return None


@cache
def extras() -> Mapping[str, str]:
    """By package the smallest extra that brings it."""
    found = [one for one in map(_OF_EXTRA.match, importlib.metadata.requires("slimgate") or ()) if one]
    sizes = Counter(one["extra"] for one in found)
    found.sort(key=lambda one: -sizes[one["extra"]])
    return {one["package"]: one["extra"] for one in found}


def _users(suite: Suite) -> Iterator[tuple[Loc, str, tuple[str, ...]]]:
    """Where each step and runtime stands in the file, its name, and its packages."""
    for name, variant in {TEACHER: suite.teacher, **suite.variants}.items():
        table: Loc = (TEACHER,) if name == TEACHER else ("variants", name)
        for i, step in enumerate(variant.steps):
            yield (*table, "steps", i, step.name), step.name, step.object.packages
        runtime = variant.runtime
        yield (*table, "runtime"), f"runtime {runtime.name}", runtime.object.packages

"""Packages of slimgate's extras: their import, and what is missing or too old."""

from __future__ import annotations

import importlib.metadata
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from slimgate._system.digests import read_versions
from slimgate.errors import BuildError, MissingExtra

MODELS = "models"
# Extras for this repository's own tests and pages, and those that only combine others.
_NOT_FOR_USERS = frozenset({"all", "dev", "docs", "test"})
# Packages by their import name, if it differs.
_IMPORTED_AS = {"sklearn": "scikit-learn", "PIL": "pillow", "mlflow": "mlflow-skinny"}
# `openvino>=2026.4; extra == 'openvino'`
_OF_EXTRA = re.compile(r"""(?P<package>[\w.-]+)[^;]*;.*extra\s*==\s*['"](?P<extra>[\w-]+)['"]""")


def require_package(user: str, package: str) -> None:
    """Raises MissingExtra if the package is not installed. user: what needs it."""
    if find_spec(package) is None:
        raise MissingExtra(f'{user} needs the package {package}: pip install "slimgate[llm]"')


def import_extra(module: str, extra: str, user: str) -> Any:
    """The module. user: what needs it.

    Raises MissingExtra, which names the extra to install, if the package is missing; BuildError if it is
    installed but cannot be imported, such as for a missing library of the system.
    """
    package = module.partition(".")[0]
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name in (package, module):
            raise _make_missing_error(extra, user) from error
        raise _make_import_error(user, module, error) from error
    except ImportError as error:
        raise _make_import_error(user, module, error) from error


def check_extra(module: str, extra: str, user: str) -> None:
    """Raises MissingExtra if the module is not installed. Does not import it, only the packages around it."""
    try:
        is_installed = find_spec(module) is not None
    except ModuleNotFoundError:  # the package around it
        is_installed = False
    except ImportError as error:
        raise _make_import_error(user, module, error) from error
    if not is_installed:
        raise _make_missing_error(extra, user)


def _make_missing_error(extra: str, user: str) -> MissingExtra:
    return MissingExtra(f'{user} needs an extra: pip install "slimgate[{extra}]"')


def _make_import_error(user: str, module: str, error: ImportError) -> BuildError:
    return BuildError(f"{user}: {module} cannot be imported: {' '.join(str(error).split())}")


def describe_missing(user: str, packages: Iterable[str]) -> str | None:
    """What to install if a package is missing and an extra of slimgate installs it; None otherwise."""
    for package, version in read_versions(packages).items():
        if version is None and package in find_extras():
            return f'{user} needs the package {package}: pip install "slimgate[{find_extras()[package]}]"'
    return None


def describe_missing_models(user: str) -> str | None:
    """What to install for suites that build models, if one of the packages is missing; None otherwise."""
    packages = [name for name, extra in find_extras().items() if extra == MODELS]
    missing = [name for name in sorted(packages) if not is_installed(name)]
    return f'{user} needs {", ".join(missing)}: pip install "slimgate[{MODELS}]"' if missing else None


def describe_missing_module(user: str, module: str) -> str | None:
    """What to install for a module that cannot be imported; None if no extra of slimgate installs it."""
    top = module.partition(".")[0]
    package = _IMPORTED_AS.get(top, top.replace("_", "-"))
    extra = find_extras().get(package)
    return extra and f'{user} needs the package {package}: pip install "slimgate[{extra}]"'


def describe_too_low(user: str, requirements: Iterable[str]) -> str | None:
    """The first requirement, such as "transformers>=5.18", that the installed version does not meet."""
    stated = tuple(requirements)
    if not stated:
        return None
    from packaging.requirements import Requirement

    for requirement in map(Requirement, stated):
        [version] = read_versions([requirement.name]).values()
        if version is not None and not requirement.specifier.contains(version, prereleases=True):
            return (
                f"{user} needs {requirement}, and {requirement.name} {version} is installed: "
                f'pip install "{requirement}"'
            )
    return None


def is_installed(package: str) -> bool:
    """Whether it is installed, without its version, which would need its metadata."""
    try:
        importlib.metadata.distribution(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


@cache
def find_extras() -> Mapping[str, str]:
    """For each package the smallest extra that installs it."""
    parsed = map(_OF_EXTRA.match, importlib.metadata.requires("slimgate") or ())
    matches = [
        match
        for match in parsed
        if match and match["package"] != "slimgate" and match["extra"] not in _NOT_FOR_USERS
    ]
    sizes = Counter(match["extra"] for match in matches)
    matches.sort(key=lambda match: -sizes[match["extra"]])
    return {match["package"]: match["extra"] for match in matches}

"""The Python files of installed packages and of the standard library, found without importing any of them."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from slimgate.errors import SuiteError

# What the standard library is called where a package could be named.
STDLIB = "stdlib"
# Tests, vendored copies and shims are not the library's own prose.
SKIPPED = frozenset(
    {"tests", "test", "testing", "_vendor", "vendor", "vendored", "externals", "extern", "_vendored_packages"}
    | {"array_api_compat", "array_api_extra", "__pycache__"}
)
# Below the standard library, but not of it.
INSTALLED = frozenset({"site-packages", "dist-packages"})


def source_files(package: str, *, asked_by: str) -> Iterator[tuple[str, Path]]:
    """`("pandas/core/frame.py", path)` for each of the package's own modules, by name.

    asked_by: the source that names the package in its errors. Raises SuiteError where it is not installed.
    """
    folder = package_folder(package, asked_by=asked_by)
    for name, path in sorted((p.relative_to(folder).as_posix(), p) for p in folder.rglob("*.py")):
        parts = name.split("/")
        skipped = SKIPPED | INSTALLED if package == STDLIB else SKIPPED
        if skipped.isdisjoint(parts) and not parts[-1].startswith("test_"):
            yield f"{package}/{name}", path


def package_folder(package: str, *, asked_by: str) -> Path:
    """Where a package lies. Raises SuiteError where none of that name is installed."""
    if package == STDLIB:
        return Path(sysconfig.get_path("stdlib"))
    spec: Any = importlib.util.find_spec(package) if package.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise SuiteError(f'{asked_by}: no installed package is named "{package}"; pip install it, or drop it')
    return Path(next(iter(spec.submodule_search_locations)))


def installed_versions(packages: Sequence[str]) -> dict[str, list[str]]:
    """The versions of the distributions that a package comes from: two where two share its name."""
    distributions = importlib.metadata.packages_distributions()
    found = {
        package: sorted({importlib.metadata.version(name) for name in distributions.get(package, ())})
        for package in packages
        if package != STDLIB
    }
    return {**found, STDLIB: [platform.python_version()]} if STDLIB in packages else found

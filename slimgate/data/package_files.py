"""The Python files of installed packages and of the standard library, found without importing any of them."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
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
    """What tells one state of a package from another: the versions of its distributions.

    Of a package without one, or that is installed in place (pip install -e), a digest of its files: these
    change where no version does.
    """
    distributions = importlib.metadata.packages_distributions()
    found = {
        package: _versions(package, sorted(set(distributions.get(package, ()))))
        for package in packages
        if package != STDLIB
    }
    return {**found, STDLIB: [platform.python_version()]} if STDLIB in packages else found


def _versions(package: str, distributions: Sequence[str]) -> list[str]:
    versions = sorted({importlib.metadata.version(name) for name in distributions})
    if versions and not any(map(_in_place, distributions)):
        return versions
    total = hashlib.sha256()
    for name, path in source_files(package, asked_by="its digest"):
        total.update(name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return [*versions, total.hexdigest()]


def _in_place(name: str) -> bool:
    told = json.loads(importlib.metadata.distribution(name).read_text("direct_url.json") or "{}")
    return bool(told.get("dir_info", {}).get("editable"))

"""Installs a package of one file, with its entry points, during a test."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from slimgate.plugins import loading


@contextmanager
def add_package(folder: Path, module: str, code: str, entries: str) -> Iterator[None]:
    """Adds version 1.0 of a package in `folder` to sys.path for the block. entries: its entry_points.txt."""
    name = module.replace("_", "-")
    about = folder / f"{module}-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", "utf-8")
    (about / "entry_points.txt").write_text(entries, "utf-8")
    if code:
        (folder / f"{module}.py").write_text(code, "utf-8")
    _forget_plugin(module)
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        _forget_plugin(module)


def _forget_plugin(module: str) -> None:
    sys.modules.pop(module, None)
    loading._find_entry_points.cache_clear()
    loading.list_installed_plugins.cache_clear()
    loading._named.clear()

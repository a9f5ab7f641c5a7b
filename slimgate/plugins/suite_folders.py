"""The folder of a suite, from which the suite's own plug-ins are imported."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from slimgate._system.digests import list_sources
from slimgate.errors import SuiteError

# The folder of the suite that is being read.
_folder: ContextVar[Path | None] = ContextVar("_folder", default=None)


def add_import_folder(folder: Path) -> None:
    """Lets the modules of a folder be imported; it is searched last."""
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


@contextmanager
def import_from(folder: Path) -> Iterator[None]:
    """Makes the modules next to a suite importable. Checks in the block that they belong to this suite.

    Python searches the folder last, also after the block, so it hides no other module.
    """
    folder = folder.resolve()
    add_import_folder(folder)
    token = _folder.set(folder)
    try:
        yield
    finally:
        _folder.reset(token)


def check_sources(module: str) -> None:
    """Checks where Python takes a user's module from, and the modules that it imports.

    Python imports only one module of a name: two suites with different files of that name would both get the
    first one. Raises SuiteError if the suite that is being read has another file of that name next to it.
    """
    if (folder := _folder.get()) is None:
        return
    for name, source in list_sources(module).items():
        stem = folder.joinpath(*name.split("."))
        for own_file in (stem.with_suffix(".py"), stem / "__init__.py"):
            if own_file.is_file() and own_file.read_bytes() != source.read_bytes():
                raise SuiteError(
                    f"{own_file} is not used: Python imports {name} from {source}, which is the file of "
                    "another suite or of the rootdir; rename one of them, or run the suites one at a time"
                )

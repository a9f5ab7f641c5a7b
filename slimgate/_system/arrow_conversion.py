"""Keeps pyarrow from importing pandas just to check whether a list is an object of pandas."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from contextlib import suppress
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

_PANDAS = "pandas"


class _PandasFinder(MetaPathFinder):
    """Makes an import of pandas fail as if it were not installed; later lets it through, and tells pyarrow.

    is_hiding: whether imports fail.
    """

    def __init__(self) -> None:
        self.is_hiding = True

    def find_spec(self, fullname: str, *_: object) -> ModuleSpec | None:
        """The spec of pandas; None for other modules. Raises ModuleNotFoundError while pandas is hidden."""
        if fullname != _PANDAS:
            return None
        if self.is_hiding:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            _tell_pyarrow_after(spec.loader)
        return spec


def _tell_pyarrow_after(loader: Loader) -> None:
    """Makes pyarrow notice pandas when the loader has executed it: else `pa.table(frame)` refuses a frame."""
    execute = loader.exec_module

    def execute_and_tell(module: ModuleType) -> None:
        execute(module)
        with suppress(ImportError):  # a version of pandas or pyarrow that does not know the other
            from pyarrow.lib import _pandas_api

            _pandas_api.version  # noqa: B018  reading it makes pyarrow import pandas again

    loader.exec_module = execute_and_tell  # type: ignore[method-assign]


def keep_pandas_unimported() -> None:
    """Makes pyarrow believe that pandas is not installed until it is imported. Saves a second of CPU.

    Does nothing in a process that has imported pandas.
    """
    if _PANDAS in sys.modules or any(isinstance(finder, _PandasFinder) for finder in sys.meta_path):
        return
    import pyarrow as pa

    finder = _PandasFinder()
    sys.meta_path.insert(0, finder)
    pa.array([0])  # pyarrow checks once per process, and remembers the result
    finder.is_hiding = False


def import_pandas_for(schema: pa.Schema) -> None:
    """Imports pandas if a column counts nanoseconds: Python's times do not, so pyarrow needs pandas."""
    if any(getattr(field.type, "unit", None) == "ns" for field in schema):
        with suppress(ImportError):
            importlib.import_module(_PANDAS)

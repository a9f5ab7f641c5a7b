"""Keeps pyarrow from importing pandas just to check whether a list is an object of pandas."""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder

_PANDAS = "pandas"


class _HiddenPandas(MetaPathFinder):
    """Makes an import of pandas fail as if pandas were not installed."""

    def find_spec(self, fullname: str, *_: object) -> None:
        """Raises ModuleNotFoundError for pandas; leaves all other modules to the next finder."""
        if fullname == _PANDAS:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)


def keep_pandas_unimported() -> None:
    """Makes pyarrow believe that pandas is not installed, which saves 0.4 s of CPU.

    `to_pandas` still imports it. Does nothing in a process that has imported pandas.
    """
    if _PANDAS in sys.modules:
        return
    import pyarrow as pa

    hidden = _HiddenPandas()
    sys.meta_path.insert(0, hidden)
    try:
        pa.array([0])  # pyarrow checks once per process, and remembers the result
    finally:
        sys.meta_path.remove(hidden)

"""Distribution functions of scipy.special, without the import of all of scipy.special and scipy.stats.

    from slimgate._system.special_functions import ndtr, ndtri

The package scipy.special takes 0.2 s of CPU to import, because it wraps its functions for other array
libraries, and scipy.stats 0.8 s. A verdict on a small table takes less than that in all. The functions
themselves are compiled and in one module. `import_functions_alone` imports that module without the package.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from importlib import import_module
from importlib.machinery import PathFinder
from types import ModuleType
from typing import Any

_PACKAGE = "scipy.special"
_FUNCTIONS = "scipy.special._ufuncs"
# Name in this module -> name in scipy's. scipy.stats.binom.pmf checks its arguments and calls _binom_pmf.
_NAMES = {name: name for name in ("bdtr", "betainc", "ndtr", "ndtri", "stdtrit")} | {
    "binom_pmf": "_binom_pmf"
}


def __getattr__(name: str) -> Any:
    """A function of _NAMES. Imports scipy.special unless the functions were imported alone."""
    if name not in _NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if _FUNCTIONS not in sys.modules:
        import_module(_PACKAGE)
    return getattr(sys.modules[_FUNCTIONS], _NAMES[name])


def import_functions_alone() -> None:
    """Imports the functions, and leaves scipy.special to a later import.

    An empty package replaces scipy.special meanwhile, and another thread could import it. So call this only
    in a process with one thread. It does nothing if scipy.special is imported already, or is not a package.
    """
    if _PACKAGE in sys.modules:
        return
    import scipy

    spec = PathFinder.find_spec(_PACKAGE, scipy.__path__)
    if spec is None or spec.submodule_search_locations is None:
        return
    empty_package = ModuleType(_PACKAGE)
    empty_package.__path__ = list(spec.submodule_search_locations)
    sys.modules[_PACKAGE] = empty_package
    try:
        with suppress(ImportError):  # raised by releases that keep them in another module
            import_module(_FUNCTIONS)
    finally:
        del sys.modules[_PACKAGE]

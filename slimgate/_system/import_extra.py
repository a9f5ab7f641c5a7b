"""Imports packages of slimgate's extras when they are needed."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from slimgate.errors import BuildError, MissingExtra


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

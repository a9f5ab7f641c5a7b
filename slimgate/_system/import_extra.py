"""Packages that an extra of slimgate brings, imported where they are needed."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from slimgate.errors import BuildError, MissingExtra


def import_extra(module: str, extra: str, user: str) -> Any:
    """The module. user: what needs it.

    Raises MissingExtra, which names the extra to install, where the package is not there; BuildError where it
    is there and cannot be imported, such as for a library of the system that it links to.
    """
    package = module.partition(".")[0]
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name in (package, module):
            raise MissingExtra(f'{user} needs an extra: pip install "slimgate[{extra}]"') from error
        raise _broken(user, module, error) from error
    except ImportError as error:
        raise _broken(user, module, error) from error


def _broken(user: str, module: str, error: ImportError) -> BuildError:
    return BuildError(f"{user}: {module} cannot be imported: {' '.join(str(error).split())}")

"""A package whose names are imported when they are used, so that importing one of its modules is cheap."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def make_lazy_getattr(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """The `__getattr__` of a package.

    Args:
        package: Its name.
        homes: The module that each name is in.

    Returns:
        A function that imports a name. It raises AttributeError for any other, and ImportError if the name's
        module itself fails by an AttributeError, which `from package import name` would hide.
    """

    def import_name(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        try:
            module = import_module(homes[name])
        except AttributeError as error:
            raise ImportError(f"{homes[name]} cannot be imported: {error}") from error
        return getattr(module, name)

    return import_name

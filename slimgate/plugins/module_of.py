"""The module with the code of a plug-in. It is not in base.py, because a verdict on logs has no pydantic."""

from __future__ import annotations

from types import ModuleType


def module_of(plugin: object) -> str:
    """The name of the module with a plug-in's code. Keys of the store have the digest of its file."""
    if isinstance(plugin, ModuleType):
        return plugin.__name__
    return str(getattr(plugin, "__module__", None) or type(plugin).__module__)

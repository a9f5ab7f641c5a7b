"""Packages that an extra of slimgate brings, imported where they are needed."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from slimgate.errors import MissingExtra


def import_extra(module: str, extra: str, user: str) -> Any:
    """The module. user: what needs it. Raises MissingExtra, which names the extra to install."""
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingExtra(f'{user} needs an extra: pip install "slimgate[{extra}]"') from error

"""What init makes of some rows: a task, and which column is what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Guess:
    """options: those of [task] that name columns; why: one line for the reader; left: columns not used."""

    kind: str
    options: Mapping[str, Any]
    why: str
    group: str | None = None
    left: tuple[str, ...] = ()

    @property
    def texts(self) -> tuple[str, ...]:
        """The columns that are read as text."""
        options = self.options
        if "words" in options:
            return (options["words"],)
        found = options.get("text") or options["pair"]
        return (found,) if isinstance(found, str) else tuple(found)

    @property
    def columns(self) -> frozenset[str]:
        """Every column that the task reads."""
        found = set(self.texts)
        for key in ("label", "score", "tags"):
            value = self.options.get(key) or ()
            found |= {value} if isinstance(value, str) else set(value)
        return frozenset(found)

"""What init makes of some rows: a task, and which column is what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Guess:
    """options: those of [task] that name columns; why: one line for the reader; left: columns not used.

    texts: the columns that are read as text; columns: every column that the task reads.
    """

    kind: str
    options: Mapping[str, Any]
    why: str
    texts: tuple[str, ...]
    columns: frozenset[str]
    group: str | None = None
    left: tuple[str, ...] = ()

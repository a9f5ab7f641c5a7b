"""What steps of a suite share with each other: made by the first one that asks, kept in the store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from slimgate._system.digests import json_digest
from slimgate.store.store import Json, Store


@dataclass(frozen=True)
class SharedBySteps:
    """A BuildContext's `share`. given: what belongs to every key, such as the teacher's digest.

    It can be sent to the processes of a step: one of them makes what all take.
    """

    store: Store
    given: Json

    def __call__(self, kind: str, key: Json, fill: Callable[[Path], Json]) -> tuple[Path, bool]:
        """The folder that fill(folder) has filled, and whether it was there before."""
        entry = self.store.make(kind, json_digest({**self.given, **key}), fill)
        return entry.folder, entry.from_store

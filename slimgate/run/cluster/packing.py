"""Packs an entry of a store as bytes, with a checksum for each file, for machines without that store."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from slimgate.errors import BuildError
from slimgate.plugins.base import Json
from slimgate.store.store import Entry, Store, list_files

# Fields of a manifest that each store writes itself.
_STORE_FIELDS = ("key", "created", "rebuild", "entry", "sizes", "sha256", "seal")


@dataclass(frozen=True)
class Packed:
    """An entry as bytes. files: name -> (bytes,) uint8, which Ray passes without a copy; sums: sha256."""

    kind: str
    key: str
    manifest: Json
    files: Mapping[str, npt.NDArray[np.uint8]]
    sums: Mapping[str, str]


def pack_entry(entry: Entry) -> Packed:
    """The bytes of a complete entry."""
    folder, names = entry.folder, list_files(entry.folder)
    return Packed(
        kind=folder.parent.name,
        key=folder.name,
        manifest={name: value for name, value in entry.manifest.items() if name not in _STORE_FIELDS},
        files={name: np.fromfile(folder / name, np.uint8) for name in names},
        sums=entry.manifest["sha256"],
    )


def publish_entry(packed: Packed, store: Store) -> Entry:
    """The entry in another store, written if it is missing. Raises BuildError for damaged bytes."""
    for name, content in packed.files.items():
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise BuildError(f"{packed.kind} {packed.key}: its file {name} is outside of its folder")
        if hashlib.sha256(content.data).hexdigest() != packed.sums.get(name):
            raise BuildError(
                f"{packed.kind} {packed.key}: {name} was damaged on the network (its sha256 differs); run "
                "again"
            )

    def fill(folder: Path) -> Json:
        for name, content in packed.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            content.tofile(folder / name)
        return packed.manifest

    return store.make(packed.kind, packed.key, fill)

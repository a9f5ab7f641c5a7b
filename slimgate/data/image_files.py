"""Images that rows name by paths, read into the rows: splits, stores and keys then see what they show."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from slimgate.errors import DataError, nearest


def with_images(table: pa.Table, columns: Sequence[str], folder: Path) -> pa.Table:
    """The table with the bytes of the files that the columns name, from `folder` on. Raises DataError."""
    for name in columns:
        contents = [path.read_bytes() for path in _paths(table, name, folder)]
        place = table.column_names.index(name)
        table = table.set_column(place, name, pa.array(contents, pa.large_binary()))
    return table


def images_digest(table: pa.Table, columns: Sequence[str], folder: Path) -> str:
    """sha256 over the bytes of all those files, in order. Raises DataError."""
    total = hashlib.sha256()
    for name in columns:
        for path in _paths(table, name, folder):
            with path.open("rb") as stream:
                total.update(hashlib.file_digest(stream, "sha256").digest())
    return total.hexdigest()


def _paths(table: pa.Table, name: str, folder: Path) -> Iterator[Path]:
    if name not in table.column_names:
        known = table.column_names
        raise DataError(f'images names column "{name}", which the rows have not{nearest(name, known)}')
    for row, value in enumerate(table[name].to_pylist()):
        yield _path(value, folder, f"column {name}, row {row}")


def _path(value: Any, folder: Path, where: str) -> Path:
    if not isinstance(value, str) or not value:
        raise DataError(f"{where}: {value!r}, expected the path of an image")
    path = folder / value
    if "\0" in value or not path.resolve().is_relative_to(folder.resolve()):
        raise DataError(
            f"{where}: {value!r} leads out of {folder}, the folder of the rows; images lie in it, or below"
        )
    if not path.is_file():
        raise DataError(f"{where}: there is no file {path}")
    return path

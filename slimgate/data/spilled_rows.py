"""Tables that are made piece by piece, written to Arrow files and mapped from there."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa


def spilled(pieces: Iterable[pa.Table], scratch: Path) -> list[pa.Table]:
    """The pieces in order, neighbours of one schema joined. The files in `scratch` may be removed at once."""
    return [
        _mapped(schema, run, scratch)
        for schema, run in itertools.groupby(pieces, key=lambda piece: piece.schema)
    ]


def _mapped(schema: pa.Schema, pieces: Iterable[pa.Table], scratch: Path) -> pa.Table:
    handle, name = tempfile.mkstemp(suffix=".arrow", dir=scratch)
    with open(handle, "wb") as stream, pa.ipc.new_file(stream, schema) as writer:
        for piece in pieces:
            writer.write_table(piece)
    with pa.memory_map(name) as source, pa.ipc.open_file(source) as reader:
        return reader.read_all()

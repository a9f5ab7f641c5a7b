"""The gate rows as reports quote them, kept beside a shard's record: who merges may not have the rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from slimgate._system.atomic_files import replacing
from slimgate.errors import DataError
from slimgate.run.followed_rows import Texts

FILE = "gate_texts.parquet"
_AT_ONCE = 10_000
_SCHEMA = pa.schema({"text": pa.string()})


def keep_texts(texts: Texts, rows: int, folder: Path) -> None:
    """Writes the texts of all gate rows, in their order, some at a time."""
    with replacing(folder / FILE) as new, pq.ParquetWriter(new, _SCHEMA) as writer:
        for start in range(0, rows, _AT_ONCE):
            some = texts(range(start, min(start + _AT_ONCE, rows)))
            writer.write_table(pa.table({"text": pa.array(some, pa.string())}))


def kept_texts(folder: Path) -> Texts:
    """Quotes rows by their places, as `gate_texts` does. Raises DataError where none were kept."""
    try:
        column = pq.read_table(folder / FILE, memory_map=True)["text"]
    except (OSError, KeyError, pa.ArrowException) as error:
        raise DataError(f"{folder / FILE}: texts of gate rows cannot be read ({error})") from error

    def quoted(rows: Iterable[int]) -> Sequence[str]:
        return [column[int(row)].as_py() for row in rows]

    return quoted

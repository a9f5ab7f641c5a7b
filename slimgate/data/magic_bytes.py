"""What a file is by its first bytes, where its name says otherwise.

    foreign_format(path)    # "compressed by gzip"; None for text, and for what is not known here

Source: RFC 1952 (gzip), RFC 8878 (zstd), the .xz file format 1.2, bzip2's and lz4's frames, APPNOTE.TXT 4.3.7
(zip), Apache Parquet's file format, HDF5's and SQLite's file formats, Apache Arrow's IPC file format.
"""

from __future__ import annotations

import re
from pathlib import Path

_LONGEST = 16
_KNOWN = (
    (re.compile(rb"\x1f\x8b\x08"), "compressed by gzip"),
    (re.compile(rb"\x28\xb5\x2f\xfd"), "compressed by zstd"),
    (re.compile(rb"\xfd7zXZ\x00"), "compressed by xz"),
    (re.compile(rb"BZh[1-9]1AY&SY"), "compressed by bzip2"),
    (re.compile(rb"\x04\x22\x4d\x18"), "compressed by lz4"),
    (re.compile(rb"PK\x03\x04"), "a zip archive (or a workbook, .xlsx)"),
    (re.compile(rb"PAR1[\x00-\x1f]"), "parquet"),
    (re.compile(rb"ARROW1\x00\x00"), "an Arrow file"),
    (re.compile(rb"\x89HDF\r\n\x1a\n"), "HDF5"),
    (re.compile(rb"SQLite format 3\x00"), "a database of SQLite"),
)


def foreign_format(path: Path) -> str | None:
    """What a file that should hold text holds in truth."""
    with path.open("rb") as stream:
        start = stream.read(_LONGEST)
    return next((told for pattern, told in _KNOWN if pattern.match(start)), None)

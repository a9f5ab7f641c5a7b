"""slimgate.data.row_files: files that hold something else than their names say, each made by what writes
it.
"""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import sqlite3
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest

from slimgate.data.row_files import RowFile, read_all_rows, read_column_names, recognize_format
from slimgate.errors import DataError

TEXT = "text,label\nit is good,pos\n"
TABLE = pa.table({"text": ["it is good"], "label": ["pos"]})


def write_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("rows.csv", TEXT)


def write_sqlite(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("create table rows (text, label)")
    connection.commit()
    connection.close()


@pytest.mark.parametrize(
    ("write", "kind"),
    [
        (lambda path: path.write_bytes(gzip.compress(TEXT.encode())), "compressed by gzip"),
        (
            lambda path: path.write_bytes(pa.compress(TEXT.encode(), "zstd").to_pybytes()),
            "compressed by zstd",
        ),
        (lambda path: path.write_bytes(pa.compress(TEXT.encode(), "lz4").to_pybytes()), "compressed by lz4"),
        (lambda path: path.write_bytes(lzma.compress(TEXT.encode())), "compressed by xz"),
        (lambda path: path.write_bytes(bz2.compress(TEXT.encode())), "compressed by bzip2"),
        (write_zip, "a zip archive (or a workbook, .xlsx)"),
        (lambda path: pyarrow.parquet.write_table(TABLE, path), "parquet"),
        (
            lambda path: pyarrow.feather.write_feather(TABLE, str(path), compression="uncompressed"),
            "an Arrow file",
        ),
        (write_sqlite, "a database of SQLite"),
    ],
    ids=["gzip", "zstd", "lz4", "xz", "bzip2", "zip", "parquet", "arrow", "sqlite"],
)
@pytest.mark.parametrize("form", ["csv", "jsonl", "text", "json"])
def test_what_a_file_is_in_truth_is_reported(
    tmp_path: Path, write: Callable[[Path], None], kind: str, form: str
) -> None:
    path = tmp_path / f"rows.{form}"
    write(path)
    assert recognize_format(path) == kind
    for read in (read_column_names, lambda file: read_all_rows(file, scratch=tmp_path)):
        with pytest.raises(DataError) as raised:
            read(RowFile(path, form))
        assert str(raised.value) == f"{path} is {kind}, expected rows as {form}; unpack or rename it"


@pytest.mark.parametrize(
    "text", [TEXT, "PAR1,label\nit,pos\n", "PK,label\n", "BZh9,label\n", "\ufefftext\na\n", "x"]
)
def test_text_is_text_whatever_it_begins_with(tmp_path: Path, text: str) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(text, "utf-8")
    assert recognize_format(path) is None


def test_parquet_that_is_called_parquet_is_read(tmp_path: Path) -> None:
    pyarrow.parquet.write_table(TABLE, tmp_path / "rows.parquet")
    assert read_column_names(RowFile(tmp_path / "rows.parquet", "parquet")) == ("text", "label")


@pytest.mark.parametrize("form", ["jsonl", "json"])
def test_the_key_of_the_last_object_is_a_column(tmp_path: Path, form: str) -> None:
    rows = [{"text": f"{i}", "label": "pos"} for i in range(1_000)]
    rows += [{"text": "last", "label": "neg", "document": "d"}]
    path = tmp_path / f"rows.{form}"
    lines = [json.dumps(row) for row in rows]
    path.write_text("\n".join(lines) if form == "jsonl" else f"[{','.join(lines)}]")
    assert read_column_names(RowFile(path, form)) == ("text", "label", "document")
    assert read_all_rows(RowFile(path, form), scratch=tmp_path).column_names == ["text", "label", "document"]
    path.write_text("\n".join(lines[:-1]) if form == "jsonl" else f"[{','.join(lines[:-1])}]")
    assert read_column_names(RowFile(path, form)) == ("text", "label")


@pytest.mark.parametrize("form", ["jsonl", "json"])
def test_nan_in_a_column_of_text_is_missing(tmp_path: Path, form: str) -> None:
    """pandas has NaN for a missing text, and json.dumps writes it as NaN."""
    lines = [json.dumps({"label": label}) for label in ("pos", float("nan"), 1, True)]
    path = tmp_path / f"rows.{form}"
    path.write_text("\n".join(lines) if form == "jsonl" else f"[{','.join(lines)}]")
    labels = read_all_rows(RowFile(path, form), scratch=tmp_path)["label"]
    assert labels.to_pylist() == ["pos", None, "1", "true"]


def test_utf_16_that_is_not_stated_is_named_before_the_columns(tmp_path: Path) -> None:
    """The names of its columns read as UTF-8 would be unreadable."""
    path = tmp_path / "rows.csv"
    path.write_text(TEXT, "utf-16")
    with pytest.raises(
        DataError, match=r'byte 0 \(0xff\) is not utf-8; add encoding = "utf-16" to the source'
    ):
        read_column_names(RowFile(path, "csv"))
    assert read_column_names(RowFile(path, "csv", "utf-16")) == ("text", "label")


@pytest.mark.parametrize(("form", "sign"), [("csv", ","), ("tsv", "\t")])
def test_a_repeated_header_is_no_row(tmp_path: Path, form: str, sign: str) -> None:
    """Its label was a class of its own, in which every model was wrong."""
    path = tmp_path / f"rows.{form}"
    path.write_text((TEXT * 2).replace(",", sign), "utf-8")
    with pytest.raises(DataError, match=r"row 2 repeats the header \(text, label\); remove this row"):
        read_all_rows(RowFile(path, form), scratch=tmp_path)
    path.write_text("text\na\ntext\n", "utf-8")  # a text that happens to be the name of the only column
    assert read_all_rows(RowFile(path, form), scratch=tmp_path).num_rows == 2

"""Rows that are read and numbered in pieces: nothing differs from reading them whole."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fixtures.models.tiny import write_rows
from slimgate.data.arrow import find_duplicates, hash_texts, number_keys, select_table_rows
from slimgate.data.json_rows import ROWS_AT_ONCE, make_object_table
from slimgate.data.parts import SplitColumns
from slimgate.data.row_files import RowFile, read_all_rows
from slimgate.data.sources import files
from slimgate.data.splits import Cut, SplitSizes, cut_splits
from slimgate.data.text_files import BLOCK_BYTES, read_text_blocks, split_lines
from slimgate.errors import DataError
from tools.measuring.large_rows import cut as cut_apart
from tools.measuring.large_rows import write_rows as write_large
from tools.measuring.large_rows import write_suite

# Of the code that read every file whole and compared strings (commit befac19). Pairs: since a pair in the
# other order counts as the same pair, other rows are dropped; the gate keeps its rows.
FROZEN = {
    "plain": {
        "train": ["8a6d98f6c28d06fc", "all/259", "all/223"],
        "calibration": ["74d6dbf80056be0d", "all/304", "all/383"],
        "selection": ["c53b4ec411bf80ed", "all/382", "all/372"],
        "gate": ["ad7c6221fccc239b", "all/210", "all/0"],
    },
    "grouped": {
        "train": ["9fc37460a4af580f", "all/223", "all/277"],
        "calibration": ["1af0a56117ae4937", "all/20", "all/22"],
        "selection": ["3b8dcd738664573b", "all/382", "all/328"],
        "gate": ["b9eafec29cd4eb51", "all/210", "all/0"],
    },
    "rest": {
        "train": ["f7319042b91f820c", "all/259", "all/223"],
        "calibration": ["96fc0e0bc886fdce", "all/304", "all/114"],
        "selection": ["96056297530f140c", "all/65", "all/382"],
        "gate": ["a7f35b0aff923b27", "all/0", "all/137"],
    },
    "pairs": {
        "train": ["a1ec044e581e60ce", "669", "420"],
        "calibration": ["8d58d575837608ee", "912", "1149"],
        "selection": ["90a9f627811af594", "1146", "1116"],
        "gate": ["ec48d42e388ccc88", "630", "0"],
    },
}


def golden(folder: Path, name: str) -> Cut:
    """The splits of one case of FROZEN."""
    path = write_rows(folder / "rows.csv", 400, seed=3)
    if name == "pairs":
        path = write_pairs(folder)
    parts = files.source.read(files.Params.model_validate({"path": path}), scratch=folder)
    sizes: dict[str, Any] = {"train": 100, "calibration": 20, "selection": 30, "gate": 120}
    texts = ("text", "other") if name == "pairs" else ("text",)
    return cut_splits(
        parts,
        SplitSizes(**{**sizes, **({"gate": "rest"} if name == "rest" else {})}),
        SplitColumns(texts, "label", "file" if name == "grouped" else None),
        seed=5,
    )


def write_pairs(folder: Path) -> Path:
    """A jsonl with ids of its own, numbers as labels, repeats, white space and a key that comes late."""
    generator = random.Random(7)
    lines = []
    for number in range(400):
        text, other = (f"so  viele\tWörter {generator.randrange(40)} " for _ in range(2))
        row = {"id": number * 3, "text": text, "other": other, "label": generator.randrange(3)}
        lines.append(json.dumps(row | ({"late": number} if number > 300 else {})))
    path = folder / "pairs.jsonl"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


@pytest.mark.parametrize("name", FROZEN)
def test_splits_are_those_of_the_code_that_read_files_whole(tmp_path: Path, name: str) -> None:
    golden_cut = golden(tmp_path, name)
    assert {
        split: [report.digest[:16], *golden_cut.splits[split]["id"].to_pylist()[:2]]
        for split, report in golden_cut.reports.items()
    } == FROZEN[name]


def test_chunks_of_a_table_change_nothing(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.csv", 300)
    full_table = files.source.read(files.Params.model_validate({"path": path}), scratch=tmp_path)["all"]
    columns = SplitColumns(("text",), "label", "file")
    plain, chunked = (
        cut_splits({"all": table}, SplitSizes(gate=60), columns, seed=0)
        for table in (full_table, pa.concat_tables([full_table.slice(k, 7) for k in range(0, 300, 7)]))
    )
    assert plain.reports == chunked.reports
    assert all(plain.splits[name].equals(chunked.splits[name]) for name in plain.splits)


# --- rows by their keys


def test_codes_are_numbered_by_first_appearance_over_all_parts() -> None:
    parts = [["b", "a", "b"], [], ["c", "a", ""]]
    assert [codes.tolist() for codes in number_keys([hash_texts(part) for part in parts])] == [
        [0, 1, 0],
        [],
        [2, 1, 3],
    ]
    drawn = np.random.default_rng(0).integers(0, 500, 3000).astype(str).tolist()
    expected = pa.array(drawn).dictionary_encode().indices.to_pylist()
    assert number_keys([hash_texts(drawn)])[0].tolist() == expected


def test_pairs_are_equal_where_both_texts_are() -> None:
    pairs = np.hstack([hash_texts(["a", "a", "b", "a"]), hash_texts(["x", "y", "x", "x"])])
    assert number_keys([pairs])[0].tolist() == [0, 1, 2, 0]


def test_the_first_string_that_occurs_twice_is_named() -> None:
    columns = [pa.chunked_array([["p", "q"], ["r"]]), pa.chunked_array([["s", "r", "q", "q"]])]
    assert find_duplicates(columns) == (2, "q")
    assert find_duplicates(columns[:1]) == (0, None)


def test_chosen_rows_are_those_that_take_gives() -> None:
    random = np.random.default_rng(1)
    table = pa.table({"n": np.arange(1000), "text": [f"t{k}" * (k % 5) or None for k in range(1000)]})
    chunked = pa.concat_tables([table.slice(k, 13) for k in range(0, 1000, 13)])
    for size in (0, 1, 400):
        rows = random.permutation(1000)[:size]
        assert select_table_rows(chunked, rows).equals(table.take(pa.array(rows)))
        assert select_table_rows(table, rows).equals(table.take(pa.array(rows)))


# --- files in blocks


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "shift_jis"])
def test_text_is_decoded_across_the_borders_of_blocks(tmp_path: Path, encoding: str) -> None:
    text = "x" + "ぜん\r\n" * (BLOCK_BYTES // 6)
    (tmp_path / "rows.txt").write_bytes(text.encode(encoding))
    assert "".join(read_text_blocks(tmp_path / "rows.txt", encoding)) == text
    assert list(split_lines([text[:8], text[8:11], text[11:]])) == text.splitlines(keepends=True)


@pytest.mark.parametrize("after", [b"", b"\n"], ids=["at the end", "inside"])
def test_a_wrong_byte_in_a_later_block_is_named_by_place(tmp_path: Path, after: bytes) -> None:
    raw = "é".encode() * (BLOCK_BYTES // 2 + 3) + b"\xe9" + after
    (tmp_path / "rows.txt").write_bytes(raw)
    with pytest.raises(
        DataError, match=rf'rows.txt: byte {BLOCK_BYTES + 6} \(0xe9\) is not utf-8; add encoding = "l'
    ):
        list(read_text_blocks(tmp_path / "rows.txt", "utf-8"))


VALUES: dict[str, list[Any]] = {
    "whole": [1, 2, 3, 4],
    "numbers": [1, 2, 0.5, 4],
    "null at first": [None, None, "a", "b"],
    "mixed": [1, 2, "a", None],
    "mixed in a batch": [[1, "a"], True, 2, None],
    "lists": [["a"], [], ["b", "c"], None],
    "objects": [{"a": 1}, {"b": "x"}, {"a": 2}, {"a": 3}],
}


@pytest.mark.parametrize("name", VALUES)
def test_lines_read_in_batches_have_the_types_of_the_whole(tmp_path: Path, name: str) -> None:
    """Each value stands throughout a batch of its own; a list of two scalars stands in turn."""
    rows = []
    for value in VALUES[name]:
        turns = value if name == "mixed in a batch" and isinstance(value, list) else [value]
        rows += [{"a": turns[k % len(turns)], "n": k} for k in range(ROWS_AT_ONCE)]
    rows += [{}, {"late": "x"}]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    streamed, expected = (
        read_all_rows(RowFile(path, "jsonl"), scratch=tmp_path),
        make_object_table(rows, where=""),
    )
    assert streamed.schema == expected.schema
    assert streamed.equals(expected)


def test_rows_stay_readable_after_their_scratch_folder_is_gone(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    (tmp_path / "rows.txt").write_text("a\nb\n\nc\r\n", "utf-8")
    table = read_all_rows(RowFile(tmp_path / "rows.txt", "text"), scratch=scratch)
    for file in scratch.iterdir():
        file.unlink()
    assert table["text"].to_pylist() == ["a", "b", "c"]


def test_files_are_mapped_and_not_held(tmp_path: Path) -> None:
    for kind in ("csv", "jsonl", "parquet"):
        path = write_large(tmp_path, kind, 20_000)
        before = pa.total_allocated_bytes()
        table = files.source.read(files.Params.model_validate({"path": path}), scratch=tmp_path)["all"]
        assert table.num_rows == 20_000
        until = time.monotonic() + 30
        while pa.total_allocated_bytes() - before >= table.nbytes / 10 and time.monotonic() < until:
            time.sleep(0.01)  # Arrow's threads let go of what they read ahead a moment later
        assert pa.total_allocated_bytes() - before < table.nbytes / 10


@pytest.mark.slow
def test_a_large_file_is_split_in_its_own_process(tmp_path: Path) -> None:
    path = write_large(tmp_path, "parquet", 30_000)
    process = cut_apart(write_suite(tmp_path, "parquet", "20000"))
    assert pq.read_metadata(path).num_rows == 30_000
    assert set(json.loads(process.output)) == {"train", "calibration", "selection", "gate"}
    assert process.anonymous_bytes < process.peak_bytes

"""slimgate.data.splits: ids, the order of the parts, small changes of the sizes, files, and speed."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path

import pyarrow as pa
import pytest
from support.cut_rows import cut_rows, list_ids, make_rows

from slimgate.data.parts import SplitColumns
from slimgate.data.splits import Cut, SplitSizes, cut_splits, read_splits, write_splits
from slimgate.errors import DataError
from slimgate.plugins.rows import SPLITS


def measure_overlap(before: Cut, after: Cut, split: str) -> float:
    """The share of a split's rows that it still has."""
    old, new = set(list_ids(before, split)), set(list_ids(after, split))
    return len(old & new) / min(len(old), len(new))


def test_ids_are_part_and_row_and_come_first() -> None:
    result = cut_rows({"all": make_rows(10)})
    assert result.splits["gate"].column_names == ["id", "text", "label"]
    gate_rows = result.splits["gate"].to_pylist()
    assert all(row["text"] == f"text {row['id'].removeprefix('all/')}" for row in gate_rows)


def test_an_id_of_the_source_is_kept_as_text() -> None:
    result = cut_rows({"gate": make_rows(3, id=[7, 8, 9])})
    assert sorted(list_ids(result, "gate")) == ["7", "8", "9"]
    assert result.splits["gate"].column_names == ["id", "text", "label"]


def test_ids_that_are_not_unique_are_an_error() -> None:
    with pytest.raises(DataError, match=r"2 ids occur more than once over all parts \(first: 1\)"):
        cut_rows({"train": make_rows(3, id=[1, 2, 3]), "gate": make_rows(3, start=5, id=[1, 2, 4])})
    with pytest.raises(DataError, match="part gate: column id is null in 1 of 2 rows"):
        cut_rows({"gate": make_rows(2, id=["a", None])})


def test_splits_do_not_depend_on_the_order_of_parts() -> None:
    parts = {"train": make_rows(100), "gate": make_rows(40, start=100)}
    once = cut_rows(parts, {"gate": 10})
    assert once == cut_rows(dict(reversed(parts.items())), {"gate": 10})
    assert once == cut_rows(
        {name: pa.concat_tables([t.slice(0, 9), t.slice(9)]) for name, t in parts.items()}, {"gate": 10}
    )
    other = cut_rows(parts, {"gate": 10}, seed=1)
    assert other.reports["gate"].digest != once.reports["gate"].digest


@pytest.mark.parametrize("group", [None, "file"])
@pytest.mark.parametrize("changed", ["train", "calibration", "selection", "gate"])
def test_the_size_of_a_split_hardly_moves_the_others(changed: str, group: str | None) -> None:
    table = make_rows(4000, file=[f"f{k // 3}" for k in range(4000)])
    sizes = {"train": 1500, "calibration": 200, "selection": 300, "gate": 1000}
    before = cut_rows({"all": table}, sizes, group=group)
    after = cut_rows({"all": table}, {**sizes, changed: sizes[changed] + 100}, group=group)
    assert measure_overlap(before, after, changed) > 0.99
    assert min(measure_overlap(before, after, name) for name in SPLITS) > 0.85


def test_train_does_not_depend_on_the_size_of_a_named_gate() -> None:
    parts = {"train": make_rows(100), "gate": make_rows(40, start=95)}
    small, large = cut_rows(parts, {"gate": 5}), cut_rows(parts, {"gate": 30})
    assert small.splits["train"] == large.splits["train"]
    assert set(list_ids(small, "gate")) < set(list_ids(large, "gate"))


def test_the_digest_is_of_ids_texts_and_labels_in_order() -> None:
    result = cut_rows({"gate": make_rows(2, note=["x", "y"])})
    table = result.splits["gate"]
    expected = hashlib.sha256()
    for name in ("id", "text", "label"):
        expected.update(json.dumps(table[name].to_pylist()).encode())
    assert result.reports["gate"].digest == expected.hexdigest()
    noted = cut_rows({"gate": make_rows(2, note=["other", "notes"])})
    assert noted.reports["gate"].digest == result.reports["gate"].digest


def test_splits_are_read_as_they_were_written(tmp_path: Path) -> None:
    result = cut_rows({"train": make_rows(100), "gate": make_rows(40, start=95)})
    write_splits(result, tmp_path / "splits")
    assert read_splits(tmp_path / "splits") == result


def test_splits_that_are_not_whole_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has incomplete splits"):
        read_splits(tmp_path)
    write_splits(cut_rows({"all": make_rows(10)}), tmp_path)
    (tmp_path / "gate.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match="cut them again"):
        read_splits(tmp_path)
    (tmp_path / "splits.json").write_text('{"schema": "slimgate.splits/0"}')
    with pytest.raises(DataError, match=r"has schema slimgate\.splits/0, expected slimgate\.splits/1"):
        read_splits(tmp_path)


@pytest.mark.parametrize("group", [None, "file"])
def test_a_hundred_thousand_rows_are_cut_in_two_seconds(group: str | None) -> None:
    count = 100_000
    table = make_rows(count, file=[f"f{k // 8}" for k in range(count)])
    start = time.process_time()  # other processes of the machine do not count
    cut_rows({"all": table}, group=group)
    assert time.process_time() - start < 2


def test_the_digest_covers_what_else_the_task_reads() -> None:
    def digest(scores: list[float]) -> str:
        scored = cut_splits(
            {"all": make_rows(4, score=scores)},
            SplitSizes(train=2, calibration=0, selection=0, gate=2),
            SplitColumns(("text",), None, None, ("text", "score")),
            seed=0,
        )
        return scored.reports["train"].digest + scored.reports["gate"].digest

    assert digest([1.0, 2.0, 3.0, 4.0]) == digest([1.0, 2.0, 3.0, 4.0])
    assert digest([1.0, 2.0, 3.0, 4.0]) != digest([1.0, 2.0, 3.0, 5.0])
    with pytest.raises(DataError, match=r"part all has no column scor\. Did you mean score"):
        cut_splits(
            {"all": make_rows(4, score=[1.0] * 4)},
            SplitSizes(),
            SplitColumns(("text",), None, None, ("scor",)),
            seed=0,
        )

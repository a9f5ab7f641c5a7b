"""slimgate.data.splits: no text and no group is in two splits; by hand, by random tables, on real data."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from support.cut_rows import cut_rows, list_ids, list_sizes, make_rows

from slimgate.data.splits import Cut
from slimgate.errors import DataError
from slimgate.plugins.rows import SPLITS, Rows, number_groups

DATA = Path(__file__).parents[2] / "../shared/data"


def test_empty_texts_are_an_error_with_the_first_id() -> None:
    table = pa.table({"text": ["x", None, " \n", "y"], "label": list("aabb")})
    with pytest.raises(DataError, match=r"null or empty in 2 of 4 rows \(first: all/1\)"):
        cut_rows({"all": table})
    with pytest.raises(DataError, match="text column n has type int64, expected string"):
        cut_rows({"all": pa.table({"n": [1, 2], "label": ["a", "b"]})}, text=("n",))


def test_a_train_row_that_is_in_gate_is_dropped_and_counted() -> None:
    train = pa.table({"text": ["one", " two\n", "three  words", "Four", "five"], "label": list("ababa")})
    gate = pa.table({"text": ["two", "three words", "four", "two"], "label": list("abab")})
    result = cut_rows({"train": train, "gate": gate}, {"calibration": 0, "selection": 0})
    assert set(list_ids(result, "train")) == {"train/0", "train/4"}
    train_report = result.reports["train"]
    assert (train_report.dropped_overlap, train_report.near_repeats, train_report.n) == (3, 1, 2)
    assert (result.reports["gate"].dropped_overlap, result.reports["gate"].repeats) == (0, 1)
    assert sorted(list_ids(result, "gate")) == [f"gate/{k}" for k in range(4)]


def test_overlaps_are_counted_on_the_whole_part() -> None:
    sizes = {"train": 10, "calibration": 0, "selection": 0, "gate": 3}
    result = cut_rows({"train": make_rows(100), "gate": make_rows(20, start=90)}, sizes)
    assert result.reports["train"].dropped_overlap == 10
    assert list_sizes(result) == [10, 0, 0, 3]


@pytest.mark.parametrize("train", [10, 50], ids=["plenty", "hardly enough"])
def test_repeats_in_a_part_never_reach_two_splits(train: int) -> None:
    table = pa.table({"text": [f"t{k // 2}" for k in range(100)]})  # every text twice
    result = cut_rows({"all": table}, {"train": train, "calibration": 4, "selection": 6}, label=None)
    assert list_sizes(result) == [train, 4, 6, 40]
    assert_disjoint(result, ("text",), None)


def test_a_repeat_of_an_undrawn_gate_row_counts_at_train() -> None:
    table = pa.table({"text": ["same"] * 9 + ["other"]})
    result = cut_rows({"all": table}, {"calibration": 0, "selection": 0, "gate": 5, "train": 1}, label=None)
    assert result.splits["train"]["text"].to_pylist() == ["other"]
    assert result.splits["gate"]["text"].to_pylist() == ["same"] * 5
    assert (result.reports["train"].dropped_overlap, result.reports["gate"].repeats) == (4, 4)


def test_a_gate_that_takes_the_rest_loses_no_row_to_train() -> None:
    texts = ["same"] * 10 + [f"t{k}" for k in range(40)]
    result = cut_rows(
        {"all": pa.table({"text": texts})},
        {"train": 20, "calibration": 0, "selection": 5, "gate": "rest"},
        label=None,
    )
    assert list_sizes(result) == [20, 0, 5, 25]
    assert result.reports["gate"].repeats == 9
    assert_disjoint(result, ("text",), None)


def test_a_pair_is_compared_as_a_pair() -> None:
    train = pa.table({"a": ["x", "x", "xy"], "b": ["y", "z", ""], "label": list("aba")})
    with pytest.raises(DataError, match=r"text column b is null or empty in 1 of 3 rows \(first: train/2\)"):
        cut_rows({"train": train}, text=("a", "b"))
    gate = pa.table({"a": ["x ", "x y"], "b": [" z", "z"], "label": list("ab")})
    sizes = {"calibration": 0, "selection": 0}
    result = cut_rows({"train": train.slice(0, 2), "gate": gate}, sizes, text=("a", "b"))
    assert list_ids(result, "train") == ["train/0"]
    assert result.reports["train"].dropped_overlap == 1


def test_near_repeats_of_gate_rows_leave_train() -> None:
    train = pa.table({"text": ["The film was good.", "THE FILM, was good", "the film was bad", "a plot"]})
    gate = pa.table({"text": ["the film was good", "The film was bad!", "The film was good."]})
    result = cut_rows({"train": train, "gate": gate}, {"calibration": 0, "selection": 0}, label=None)
    assert result.splits["train"]["text"].to_pylist() == ["a plot"]
    report = result.reports["train"]
    assert (report.dropped_overlap, report.near_repeats) == (3, 2)  # "The film was good." stands there as is
    assert result.reports["gate"].n == 3


def test_near_repeats_of_one_part_are_never_in_two_splits() -> None:
    texts = [f"{'The' if k % 2 else 'the'} plot no {k // 2}{'.' if k % 3 else ''}" for k in range(100)]
    sizes = {"train": 50, "calibration": 4, "selection": 6}
    result = cut_rows({"all": pa.table({"text": texts})}, sizes, label=None)
    numbers = [
        {text.rstrip(".").split()[-1] for text in t["text"].to_pylist()} for t in result.splits.values()
    ]
    assert sum(map(len, numbers)) == len(set().union(*numbers))
    more = cut_rows({"all": pa.table({"text": ["Same.", "same", "same!", "other"]})}, {"gate": 1}, label=None)
    assert more.reports["train"].near_repeats == more.reports["train"].dropped_overlap


@pytest.mark.parametrize("turned", [False, True])
def test_a_pair_in_the_other_order_is_the_same_pair(turned: bool) -> None:
    train = pa.table({"a": ["x y", "x"], "b": ["z", "z"], "label": list("ab")})
    gate = pa.table({"a": ["Z" if turned else "x y"], "b": ["X, y" if turned else "z"], "label": ["a"]})
    sizes = {"calibration": 0, "selection": 0}
    result = cut_rows({"train": train, "gate": gate}, sizes, text=("a", "b"))
    assert list_ids(result, "train") == ["train/1"]
    report = result.reports["train"]
    assert (report.dropped_overlap, report.near_repeats) == (1, int(turned))


def test_words_of_a_list_keep_their_case_and_punctuation() -> None:
    train = pa.table({"words": [["Apple", "fell"], ["apple", "fell"], ["apple", "fell", "."]]})
    gate = pa.table({"words": [["apple", "fell"]]})
    sizes = {"calibration": 0, "selection": 0}
    result = cut_rows({"train": train, "gate": gate}, sizes, text=("words",), label=None)
    assert sorted(list_ids(result, "train")) == ["train/0", "train/2"]


def test_repeated_texts_are_one_group_without_a_group_column() -> None:
    gate = pa.table({"text": ["one", "two", "One.", "three", "two"]})
    report = cut_rows({"gate": gate}, label=None).reports["gate"]
    assert (report.n, report.repeats, report.groups) == (5, 2, 3)
    assert cut_rows({"gate": gate.slice(0, 2)}, label=None).reports["gate"].groups is None


def test_groups_that_share_a_text_are_counted_as_one() -> None:
    gate = pa.table({"text": ["a", "b", "A!", "c", "d"], "file": ["f", "f", "g", "h", "i"]})
    report = cut_rows({"gate": gate}, label=None, group="file").reports["gate"]
    assert (report.groups, report.repeats) == (3, 1)


def test_a_group_is_in_one_split_and_sizes_are_exact() -> None:
    table = make_rows(400, file=[f"f{k // 7}" for k in range(400)])
    result = cut_rows(
        {"all": table}, {"train": 100, "calibration": 20, "selection": 33, "gate": 150}, group="file"
    )
    assert list_sizes(result) == [100, 20, 33, 150]
    assert_disjoint(result, ("text",), "file")
    assert all(report.label_deviation_points < 4 for report in result.reports.values())
    assert result.reports["gate"].groups == len(set(result.splits["gate"]["file"].to_pylist()))


def test_train_rows_of_groups_in_the_gate_are_dropped() -> None:
    train = make_rows(10, file=["p", "q"] * 5)
    gate = make_rows(4, start=8, file=["q", "q", "r", "r"])  # text 8 (of group p) stands in both, text 9 too
    result = cut_rows({"train": train, "gate": gate}, {"calibration": 0, "selection": 0}, group="file")
    report = result.reports["train"]
    assert (report.n, report.dropped_group, report.dropped_overlap, report.groups) == (4, 5, 1, 1)
    assert result.reports["gate"].n == 4


def test_sizes_win_over_strata_with_whole_groups() -> None:
    table = make_rows(12, file=[f"f{k // 4}" for k in range(12)])
    table = table.set_column(1, "label", pa.array(list("aaaaaaaabbbb")))
    result = cut_rows({"all": table}, {"train": 4, "calibration": 0, "selection": 4, "gate": 4}, group="file")
    assert list_sizes(result) == [4, 0, 4, 4]
    assert result.reports["gate"].label_deviation_points == pytest.approx(
        100 / 3 if is_pure_a(result) else 200 / 3
    )


def is_pure_a(result: Cut) -> bool:
    return result.reports["gate"].label_counts == {"a": 4, "b": 0}


def test_groups_without_a_name_are_an_error() -> None:
    with pytest.raises(
        DataError, match=r"group column file is null or empty in 2 of 4 rows \(first: all/1\)"
    ):
        cut_rows({"all": make_rows(4, file=["p", None, "", "q"])}, group="file")


@pytest.mark.parametrize("spelled", ["{}.0", "{} ", " {}"])
def test_a_group_in_another_spelling_is_the_same_group(spelled: str) -> None:
    """pandas writes 1.0 for 1 if values are missing: rows of one document were in train and in the gate."""
    train = make_rows(8, file=[str(k // 2) for k in range(8)])
    gate = make_rows(4, start=100, file=[spelled.format(k // 2) for k in range(4)])
    result = cut_rows({"train": train, "gate": gate}, {"calibration": 0, "selection": 0}, group="file")
    assert list_sizes(result) == [4, 0, 0, 4]
    assert (result.reports["train"].dropped_group, result.reports["gate"].groups) == (4, 2)


def test_rows_of_one_group_are_one_group_for_the_judge() -> None:
    rows = Rows(pa.table({"id": [*"abcdef"], "file": ["1", "1.0", " 1", "01", "1.05", "2"]}))
    numbers = number_groups(rows, "file")
    assert numbers is not None
    assert numbers.tolist() == [1, 1, 1, 0, 2, 3]


def test_groups_that_are_nan_are_missing() -> None:
    table = make_rows(4, file=[1.0, float("nan"), float("nan"), 2.0])
    with pytest.raises(DataError, match=r"group column file is null or empty in 2 of 4 rows .*all/1"):
        cut_rows({"all": table}, group="file")


@pytest.mark.parametrize("column", ["id", "label", "file"])
def test_bytes_that_are_no_text_are_one_line(column: str) -> None:
    columns: dict[str, Any] = {"id": ["1", "2"], "text": ["a", "b"], "label": ["x", "y"], "file": ["f", "g"]}
    table = pa.table({**columns, column: [b"\xff", b"\xfe"]})
    with pytest.raises(DataError, match=rf"column {column}.* has type binary, expected text or numbers"):
        cut_rows({"all": table}, group="file")


def assert_disjoint(result: Cut, text: tuple[str, ...], group: str | None) -> None:
    ids: list[str] = [name for split in SPLITS for name in list_ids(result, split)]
    assert len(ids) == len(set(ids))
    texts = [
        {tuple(" ".join(row[c].split()) for c in text) for row in result.splits[split].to_pylist()}
        for split in SPLITS
    ]
    assert sum(map(len, texts)) == len(set().union(*texts))
    if group:
        groups = [set(result.splits[split][group].to_pylist()) for split in SPLITS]
        assert sum(map(len, groups)) == len(set().union(*groups))


@pytest.mark.parametrize("seed", range(25))
def test_no_id_group_or_text_is_ever_in_two_splits(seed: int) -> None:
    random = np.random.default_rng(seed)

    def table(count: int) -> pa.Table:
        space = random.choice(["", " ", "\n"], count)
        texts = [
            f"{gap}word {k}{gap}" for k, gap in zip(random.integers(0, 2 * count, count), space, strict=True)
        ]
        columns = {
            "text": texts,
            "label": random.integers(0, 4, count),
            "file": random.integers(0, count // 3, count),
        }
        return pa.table(columns)

    parts = {"all": table(300)} if seed % 2 else {"train": table(300), "gate": table(90)}
    group = "file" if seed % 3 else None
    rest = ("train", "gate", "selection")[seed % 5 % 3] if seed % 2 else "train"
    sizes: dict[str, Any] = {"train": 40, "calibration": 9, "selection": 14, "gate": 35, rest: "rest"}
    result = cut_rows(parts, sizes, group=group, seed=seed)
    assert_disjoint(result, ("text",), group)
    assert all(result.reports[name].n == size for name, size in sizes.items() if size != "rest")
    for name, report in result.reports.items():
        assert report.n == result.splits[name].num_rows == sum(report.label_counts.values())


def banking77() -> dict[str, pa.Table]:
    folder = (DATA / "banking77").resolve()
    if not folder.is_dir():
        pytest.skip(f"{folder} is missing: this test reads real data")
    tables = {}
    for part, name in (("train", "train.csv"), ("gate", "test.csv")):
        with (folder / name).open(encoding="utf-8", newline="") as stream:
            tables[part] = pa.Table.from_pylist(list(csv.DictReader(stream)))
    return tables


def test_the_leak_of_banking77_is_caught() -> None:
    parts = banking77()
    train, gate = (parts[name]["text"].to_pylist() for name in ("train", "gate"))
    known = {text.strip() for text in gate}
    stripped = {k for k, text in enumerate(train) if text.strip() in known}
    assert len(stripped) == 6
    # The seventh differs by two spaces inside: "I don't live in the UK.  Can I still get a card?"
    leak = stripped | {9921}
    for train_size in ("rest", 500):
        sizes = {"train": train_size, "calibration": 0, "selection": 0}
        result = cut_rows(parts, sizes, label="category")
        # 18 more differ from a gate row in case or punctuation only: "My top up has failed".
        report = result.reports["train"]
        assert (report.dropped_overlap, report.near_repeats) == (7 + 18, 18)
        assert list_sizes(result)[3] == 3080
        assert not {f"train/{k}" for k in leak} & set(list_ids(result, "train"))
    assert list_sizes(cut_rows(parts, {"calibration": 0, "selection": 0}, label="category"))[0] == 10_003 - 25


def test_banking77_keeps_its_77_labels_in_every_split() -> None:
    result = cut_rows(banking77(), {"train": 6000}, label="category")
    assert list_sizes(result) == [6000, 498, 997, 3080]
    assert all(min(report.label_counts.values()) > 0 for report in result.reports.values())
    assert max(report.label_deviation_points for report in result.reports.values()) < 0.2
    assert_disjoint(result, ("text",), None)


def test_lists_of_words_are_texts_that_are_in_one_split_only() -> None:
    words = [["good", "film"], ["good", " film "], ["bad"], ["a", "plot"]]
    table = pa.table({"words": words, "label": ["a", "b", "a", "b"]})
    parts = {"train": table, "gate": pa.table({"words": ["good  film"], "label": ["a"]})}
    result = cut_rows(parts, {"calibration": 0, "selection": 0}, text=("words",))
    assert sorted(result.splits["train"]["words"].to_pylist()) == [["a", "plot"], ["bad"]]
    assert result.reports["train"].dropped_overlap == 2

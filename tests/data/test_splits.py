"""slimgate.data.splits: sizes, strata, groups, overlaps, ids, reports; by hand, by random tables, on real
data.
"""

from __future__ import annotations

import csv
import hashlib
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from slimgate.data.splits import Cut, SplitSizes, cut, read_splits, write_splits
from slimgate.data.strata import allot
from slimgate.errors import DataError
from slimgate.plugins.rows import SPLITS

DATA = Path(__file__).parents[2] / "../shared/data"


def rows(count: int, start: int = 0, **columns: list[Any]) -> pa.Table:
    """`count` different texts, labels a and b in turn."""
    texts = [f"text {k}" for k in range(start, start + count)]
    return pa.table({"text": texts, "label": ["ab"[k % 2] for k in range(count)], **columns})


def cut_of(
    parts: dict[str, pa.Table],
    sizes: dict[str, Any] | None = None,
    *,
    text: tuple[str, ...] = ("text",),
    label: str | None = "label",
    group: str | None = None,
    seed: int = 0,
) -> Cut:
    return cut(
        parts,
        SplitSizes(**(sizes or {})),
        text_columns=text,
        label_column=label,
        group_column=group,
        seed=seed,
    )


def sizes_of(result: Cut) -> list[int]:
    return [result.reports[name].n for name in SPLITS]


def ids_of(result: Cut, split: str) -> list[str]:
    return list(result.splits[split]["id"].to_pylist())


def measure_overlap(before: Cut, after: Cut, split: str) -> float:
    """The share of a split's rows that it still has."""
    old, new = set(ids_of(before, split)), set(ids_of(after, split))
    return len(old & new) / min(len(old), len(new))


# --- sizes


@pytest.mark.parametrize("size", [0, -1, 1.5, True, "all", "Rest"])
def test_a_size_is_a_positive_number_or_rest(size: Any) -> None:
    with pytest.raises(ValidationError, match='expected a whole number of rows, at least 1, or "rest"'):
        SplitSizes(gate=size)


def test_only_calibration_and_selection_may_be_empty() -> None:
    assert SplitSizes(calibration=0, selection=0).selection == 0
    assert sizes_of(cut_of({"all": rows(10)}, {"calibration": 0, "selection": 0})) == [6, 0, 0, 4]


def test_one_table_is_cut_by_the_defaults() -> None:
    assert sizes_of(cut_of({"all": rows(200)})) == [90, 10, 20, 80]
    assert sizes_of(cut_of({"all": rows(20_000)})) == [10_488, 512, 1000, 8000]


def test_named_parts_are_kept_and_the_others_are_cut_from_train() -> None:
    result = cut_of({"train": rows(100), "gate": rows(30, start=100)})
    assert sizes_of(result) == [85, 5, 10, 30]
    assert {name: result.reports[name].part for name in SPLITS} == {
        "train": "train",
        "calibration": "train",
        "selection": "train",
        "gate": "gate",
    }
    assert set(ids_of(result, "gate")) == {f"gate/{k}" for k in range(30)}


def test_a_named_selection_is_drawn_to_its_size_from_itself() -> None:
    parts = {"train": rows(100), "selection": rows(40, start=100), "gate": rows(30, start=200)}
    assert sizes_of(cut_of(parts)) == [95, 5, 40, 30]
    smaller = cut_of(parts, {"selection": 12, "gate": 7, "train": 50})
    assert sizes_of(smaller) == [50, 5, 12, 7]
    assert all(name.startswith("selection/") for name in ids_of(smaller, "selection"))


def test_a_gate_alone_serves_models_that_are_ready() -> None:
    result = cut_of({"gate": rows(10)})
    assert sizes_of(result) == [0, 0, 0, 10]
    assert result.splits["train"].column_names == ["id", "text", "label"]
    assert result.reports["train"].part is None
    with pytest.raises(DataError, match=r"only part gate, expected part train, train or all .*train = 3"):
        cut_of({"gate": rows(10)}, {"train": 3})
    with pytest.raises(DataError, match="to draw gate from"):
        cut_of({"selection": rows(10)})


def test_the_rest_may_be_any_split_but_one_of_a_part() -> None:
    assert sizes_of(cut_of({"all": rows(50)}, {"train": 20, "gate": "rest"})) == [20, 2, 5, 23]
    assert sizes_of(cut_of({"all": rows(50)}, {"train": 20, "gate": 5, "selection": "rest"})) == [
        20,
        2,
        23,
        5,
    ]
    with pytest.raises(DataError, match="train and gate both take the rest of part all"):
        cut_of({"all": rows(50)}, {"gate": "rest"})


def test_too_few_rows_are_one_error_with_the_counts() -> None:
    with pytest.raises(DataError) as caught:
        cut_of({"train": rows(50), "gate": rows(5, start=46)}, {"train": 40, "selection": 8})
    assert str(caught.value) == (
        "too few rows for split train: part train has 50 rows, 4 dropped because a later part has their "
        "text, 46 left; no group and no text may be in two splits; asked train 40, calibration 2, selection "
        "8; train got 36. Ask for fewer rows"
    )
    with pytest.raises(DataError, match=r"split train: .* 5 dropped .* 0 left; asked train rest"):
        cut_of({"train": rows(5), "gate": rows(5)})
    with pytest.raises(DataError, match=r"part all has 0 rows"):
        cut_of({"all": rows(5).slice(0, 0)})


@pytest.mark.parametrize("names", [["test"], ["all", "gate"], []])
def test_unknown_parts_are_refused(names: list[str]) -> None:
    with pytest.raises(DataError, match="expected all, or some of train, calibration, selection, confirm, g"):
        cut_of({name: rows(5) for name in names})


# --- labels


@pytest.mark.parametrize(
    ("total", "weights", "limits", "expected"),
    [
        (10, [0.5, 0.3, 0.2], [9, 9, 9], [5, 3, 2]),
        (10, [0.5, 0.3, 0.2], [3, 9, 9], [3, 4, 3]),
        (3, [0.4, 0.4, 0.2], [9, 9, 9], [1, 1, 1]),
        (99, [0.5, 0.5], [2, 3], [2, 3]),
        (0, [0.5, 0.5], [2, 3], [0, 0]),
    ],
)
def test_quotas_follow_the_shares_as_far_as_there_are_rows(
    total: int, weights: list[float], limits: list[int], expected: list[int]
) -> None:
    assert allot(total, np.array(weights), np.array(limits)).tolist() == expected


def test_every_split_has_the_labels_of_its_part_in_their_shares() -> None:
    table = pa.table({"text": [f"t{k}" for k in range(100)], "label": ["a"] * 70 + ["b"] * 20 + ["c"] * 10})
    result = cut_of({"all": table}, {"calibration": 10, "selection": 20, "gate": 30})
    assert [result.reports[name].label_counts for name in SPLITS] == [
        {"a": 28, "b": 8, "c": 4},
        {"a": 7, "b": 2, "c": 1},
        {"a": 14, "b": 4, "c": 2},
        {"a": 21, "b": 6, "c": 3},
    ]
    assert all(report.label_deviation_points == 0 for report in result.reports.values())


def test_the_deviation_is_the_largest_of_a_label_in_points() -> None:
    table = pa.table({"text": ["p", "q", "r", "s"], "label": ["a", "a", "a", "b"]})
    report = cut_of({"gate": table}, {"gate": 2}).reports["gate"]
    assert report.label_counts == {"a": 2, "b": 0}
    assert report.label_deviation_points == 25.0


def test_no_strata_without_labels_or_with_measured_ones() -> None:
    table = rows(20).append_column("score", pa.array([k / 7 for k in range(20)]))
    for label in (None, "score"):
        report = cut_of({"all": table}, {"gate": 6}, label=label).reports["gate"]
        assert (report.n, report.label_counts, report.label_deviation_points) == (6, {}, None)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (
            [None, None],
            "part gate is unlabelled: label column label is null, empty, nan or -1 in 2 of 2 rows",
        ),
        ([-1, -1], r"part gate is unlabelled: .*first: gate/0, -1"),
        (["-1", "-1"], "part gate is unlabelled"),
        ([1, None], r"part gate is partly unlabelled: .* in 1 of 2 rows \(first: gate/1, None\)"),
        ([0, -1], "part gate is partly unlabelled"),
        (["x", ""], "part gate is partly unlabelled"),
        ([0.5, float("nan")], "part gate is partly unlabelled"),
    ],
)
def test_an_unlabelled_gate_is_an_error_that_says_so(labels: list[Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        cut_of({"gate": pa.table({"text": ["x", "y"], "label": labels})})


def test_a_gate_without_the_label_column_is_unlabelled() -> None:
    with pytest.raises(DataError, match="part gate is unlabelled: it has no column label"):
        cut_of({"train": rows(10), "gate": rows(10, start=10).drop_columns("label")})


def test_minus_one_beside_one_is_a_class() -> None:
    table = pa.table({"text": ["p", "q", "r"], "label": [-1, 1, 1]})
    assert cut_of({"gate": table}).reports["gate"].label_counts == {"-1": 1, "1": 2}


def test_missing_columns_suggest_the_nearest() -> None:
    with pytest.raises(DataError, match=r"part all has no text column txt\. Did you mean text\?"):
        cut_of({"all": rows(5)}, text=("txt",))
    with pytest.raises(DataError, match=r"part all has no label column lable\. Did you mean label\?"):
        cut_of({"all": rows(5)}, label="lable")
    with pytest.raises(DataError, match="part all has no group column file; known: label, text"):
        cut_of({"all": rows(5)}, group="file")


# --- texts


def test_empty_texts_are_an_error_with_the_first_id() -> None:
    table = pa.table({"text": ["x", None, " \n", "y"], "label": list("aabb")})
    with pytest.raises(DataError, match=r"null or empty in 2 of 4 rows \(first: all/1\)"):
        cut_of({"all": table})
    with pytest.raises(DataError, match="text column n has type int64, expected string"):
        cut_of({"all": pa.table({"n": [1, 2], "label": ["a", "b"]})}, text=("n",))


def test_a_train_row_that_stands_in_gate_is_dropped_and_counted() -> None:
    train = pa.table({"text": ["one", " two\n", "three  words", "Four", "five"], "label": list("ababa")})
    gate = pa.table({"text": ["two", "three words", "four", "two"], "label": list("abab")})
    result = cut_of({"train": train, "gate": gate}, {"calibration": 0, "selection": 0})
    assert set(ids_of(result, "train")) == {"train/0", "train/4"}
    train_report = result.reports["train"]
    assert (train_report.dropped_overlap, train_report.near_repeats, train_report.n) == (3, 1, 2)
    assert (result.reports["gate"].dropped_overlap, result.reports["gate"].repeats) == (0, 1)
    assert sorted(ids_of(result, "gate")) == [f"gate/{k}" for k in range(4)]


def test_overlaps_are_counted_on_the_whole_part() -> None:
    sizes = {"train": 10, "calibration": 0, "selection": 0, "gate": 3}
    result = cut_of({"train": rows(100), "gate": rows(20, start=90)}, sizes)
    assert result.reports["train"].dropped_overlap == 10
    assert sizes_of(result) == [10, 0, 0, 3]


@pytest.mark.parametrize("train", [10, 50], ids=["plenty", "hardly enough"])
def test_repeats_in_a_part_never_reach_two_splits(train: int) -> None:
    table = pa.table({"text": [f"t{k // 2}" for k in range(100)]})  # every text twice
    result = cut_of({"all": table}, {"train": train, "calibration": 4, "selection": 6}, label=None)
    assert sizes_of(result) == [train, 4, 6, 40]
    assert_disjoint(result, ("text",), None)


def test_a_repeat_of_an_undrawn_gate_row_counts_at_train() -> None:
    table = pa.table({"text": ["same"] * 9 + ["other"]})
    result = cut_of({"all": table}, {"calibration": 0, "selection": 0, "gate": 5, "train": 1}, label=None)
    assert result.splits["train"]["text"].to_pylist() == ["other"]
    assert result.splits["gate"]["text"].to_pylist() == ["same"] * 5
    assert (result.reports["train"].dropped_overlap, result.reports["gate"].repeats) == (4, 4)


def test_a_gate_that_takes_the_rest_loses_no_row_to_train() -> None:
    texts = ["same"] * 10 + [f"t{k}" for k in range(40)]
    result = cut_of(
        {"all": pa.table({"text": texts})},
        {"train": 20, "calibration": 0, "selection": 5, "gate": "rest"},
        label=None,
    )
    assert sizes_of(result) == [20, 0, 5, 25]
    assert result.reports["gate"].repeats == 9
    assert_disjoint(result, ("text",), None)


def test_a_pair_is_compared_as_a_pair() -> None:
    train = pa.table({"a": ["x", "x", "xy"], "b": ["y", "z", ""], "label": list("aba")})
    with pytest.raises(DataError, match=r"text column b is null or empty in 1 of 3 rows \(first: train/2\)"):
        cut_of({"train": train}, text=("a", "b"))
    gate = pa.table({"a": ["x ", "x y"], "b": [" z", "z"], "label": list("ab")})
    sizes = {"calibration": 0, "selection": 0}
    result = cut_of({"train": train.slice(0, 2), "gate": gate}, sizes, text=("a", "b"))
    assert ids_of(result, "train") == ["train/0"]
    assert result.reports["train"].dropped_overlap == 1


def test_near_repeats_of_gate_rows_leave_train() -> None:
    train = pa.table({"text": ["The film was good.", "THE FILM, was good", "the film was bad", "a plot"]})
    gate = pa.table({"text": ["the film was good", "The film was bad!", "The film was good."]})
    result = cut_of({"train": train, "gate": gate}, {"calibration": 0, "selection": 0}, label=None)
    assert result.splits["train"]["text"].to_pylist() == ["a plot"]
    report = result.reports["train"]
    assert (report.dropped_overlap, report.near_repeats) == (3, 2)  # "The film was good." stands there as is
    assert result.reports["gate"].n == 3


def test_near_repeats_of_one_part_never_stand_in_two_splits() -> None:
    texts = [f"{'The' if k % 2 else 'the'} plot no {k // 2}{'.' if k % 3 else ''}" for k in range(100)]
    sizes = {"train": 50, "calibration": 4, "selection": 6}
    result = cut_of({"all": pa.table({"text": texts})}, sizes, label=None)
    numbers = [
        {text.rstrip(".").split()[-1] for text in t["text"].to_pylist()} for t in result.splits.values()
    ]
    assert sum(map(len, numbers)) == len(set().union(*numbers))
    more = cut_of({"all": pa.table({"text": ["Same.", "same", "same!", "other"]})}, {"gate": 1}, label=None)
    assert more.reports["train"].near_repeats == more.reports["train"].dropped_overlap


@pytest.mark.parametrize("turned", [False, True])
def test_a_pair_in_the_other_order_is_the_same_pair(turned: bool) -> None:
    train = pa.table({"a": ["x y", "x"], "b": ["z", "z"], "label": list("ab")})
    gate = pa.table({"a": ["Z" if turned else "x y"], "b": ["X, y" if turned else "z"], "label": ["a"]})
    sizes = {"calibration": 0, "selection": 0}
    result = cut_of({"train": train, "gate": gate}, sizes, text=("a", "b"))
    assert ids_of(result, "train") == ["train/1"]
    report = result.reports["train"]
    assert (report.dropped_overlap, report.near_repeats) == (1, int(turned))


def test_words_of_a_list_keep_their_case_and_punctuation() -> None:
    train = pa.table({"words": [["Apple", "fell"], ["apple", "fell"], ["apple", "fell", "."]]})
    gate = pa.table({"words": [["apple", "fell"]]})
    sizes = {"calibration": 0, "selection": 0}
    result = cut_of({"train": train, "gate": gate}, sizes, text=("words",), label=None)
    assert sorted(ids_of(result, "train")) == ["train/0", "train/2"]


# --- groups


def test_repeated_texts_are_one_group_without_a_group_column() -> None:
    gate = pa.table({"text": ["one", "two", "One.", "three", "two"]})
    report = cut_of({"gate": gate}, label=None).reports["gate"]
    assert (report.n, report.repeats, report.groups) == (5, 2, 3)
    assert cut_of({"gate": gate.slice(0, 2)}, label=None).reports["gate"].groups is None


def test_groups_that_share_a_text_are_counted_as_one() -> None:
    gate = pa.table({"text": ["a", "b", "A!", "c", "d"], "file": ["f", "f", "g", "h", "i"]})
    report = cut_of({"gate": gate}, label=None, group="file").reports["gate"]
    assert (report.groups, report.repeats) == (3, 1)


def test_a_group_stands_in_one_split_and_sizes_are_exact() -> None:
    table = rows(400, file=[f"f{k // 7}" for k in range(400)])
    result = cut_of(
        {"all": table}, {"train": 100, "calibration": 20, "selection": 33, "gate": 150}, group="file"
    )
    assert sizes_of(result) == [100, 20, 33, 150]
    assert_disjoint(result, ("text",), "file")
    assert all(report.label_deviation_points < 4 for report in result.reports.values())
    assert result.reports["gate"].groups == len(set(result.splits["gate"]["file"].to_pylist()))


def test_train_rows_of_groups_in_the_gate_are_dropped() -> None:
    train = rows(10, file=["p", "q"] * 5)
    gate = rows(4, start=8, file=["q", "q", "r", "r"])  # text 8 (of group p) stands in both, text 9 too
    result = cut_of({"train": train, "gate": gate}, {"calibration": 0, "selection": 0}, group="file")
    report = result.reports["train"]
    assert (report.n, report.dropped_group, report.dropped_overlap, report.groups) == (4, 5, 1, 1)
    assert result.reports["gate"].n == 4


def test_sizes_win_over_strata_with_whole_groups() -> None:
    table = rows(12, file=[f"f{k // 4}" for k in range(12)])
    table = table.set_column(1, "label", pa.array(list("aaaaaaaabbbb")))
    result = cut_of({"all": table}, {"train": 4, "calibration": 0, "selection": 4, "gate": 4}, group="file")
    assert sizes_of(result) == [4, 0, 4, 4]
    assert result.reports["gate"].label_deviation_points == pytest.approx(
        100 / 3 if is_pure_a(result) else 200 / 3
    )


def is_pure_a(result: Cut) -> bool:
    return result.reports["gate"].label_counts == {"a": 4, "b": 0}


def test_groups_without_a_name_are_an_error() -> None:
    with pytest.raises(
        DataError, match=r"group column file is null or empty in 2 of 4 rows \(first: all/1\)"
    ):
        cut_of({"all": rows(4, file=["p", None, "", "q"])}, group="file")


def test_groups_that_are_nan_are_missing() -> None:
    table = rows(4, file=[1.0, float("nan"), float("nan"), 2.0])
    with pytest.raises(DataError, match=r"group column file is null or empty in 2 of 4 rows .*all/1"):
        cut_of({"all": table}, group="file")


@pytest.mark.parametrize("column", ["id", "label", "file"])
def test_bytes_that_are_no_text_are_one_line(column: str) -> None:
    columns: dict[str, Any] = {"id": ["1", "2"], "text": ["a", "b"], "label": ["x", "y"], "file": ["f", "g"]}
    table = pa.table({**columns, column: [b"\xff", b"\xfe"]})
    with pytest.raises(DataError, match=rf"column {column}.* has type binary, expected text or numbers"):
        cut_of({"all": table}, group="file")


# --- ids


def test_ids_are_part_and_row_and_come_first() -> None:
    result = cut_of({"all": rows(10)})
    assert result.splits["gate"].column_names == ["id", "text", "label"]
    gate_rows = result.splits["gate"].to_pylist()
    assert all(row["text"] == f"text {row['id'].removeprefix('all/')}" for row in gate_rows)


def test_an_id_of_the_source_is_kept_as_text() -> None:
    result = cut_of({"gate": rows(3, id=[7, 8, 9])})
    assert sorted(ids_of(result, "gate")) == ["7", "8", "9"]
    assert result.splits["gate"].column_names == ["id", "text", "label"]


def test_ids_that_are_not_unique_are_an_error() -> None:
    with pytest.raises(DataError, match=r"2 ids occur more than once over all parts \(first: 1\)"):
        cut_of({"train": rows(3, id=[1, 2, 3]), "gate": rows(3, start=5, id=[1, 2, 4])})
    with pytest.raises(DataError, match="part gate: column id is null in 1 of 2 rows"):
        cut_of({"gate": rows(2, id=["a", None])})


# --- seeds, order, stability


def test_splits_do_not_depend_on_the_order_of_parts() -> None:
    parts = {"train": rows(100), "gate": rows(40, start=100)}
    once = cut_of(parts, {"gate": 10})
    assert once == cut_of(dict(reversed(parts.items())), {"gate": 10})
    assert once == cut_of(
        {name: pa.concat_tables([t.slice(0, 9), t.slice(9)]) for name, t in parts.items()}, {"gate": 10}
    )
    other = cut_of(parts, {"gate": 10}, seed=1)
    assert other.reports["gate"].digest != once.reports["gate"].digest


@pytest.mark.parametrize("group", [None, "file"])
@pytest.mark.parametrize("changed", ["train", "calibration", "selection", "gate"])
def test_the_size_of_a_split_hardly_moves_the_others(changed: str, group: str | None) -> None:
    table = rows(4000, file=[f"f{k // 3}" for k in range(4000)])
    sizes = {"train": 1500, "calibration": 200, "selection": 300, "gate": 1000}
    before = cut_of({"all": table}, sizes, group=group)
    after = cut_of({"all": table}, {**sizes, changed: sizes[changed] + 100}, group=group)
    assert measure_overlap(before, after, changed) > 0.99
    assert min(measure_overlap(before, after, name) for name in SPLITS) > 0.85


def test_train_does_not_depend_on_the_size_of_a_named_gate() -> None:
    parts = {"train": rows(100), "gate": rows(40, start=95)}
    small, large = cut_of(parts, {"gate": 5}), cut_of(parts, {"gate": 30})
    assert small.splits["train"] == large.splits["train"]
    assert set(ids_of(small, "gate")) < set(ids_of(large, "gate"))


def test_the_digest_is_of_ids_texts_and_labels_in_order() -> None:
    result = cut_of({"gate": rows(2, note=["x", "y"])})
    table = result.splits["gate"]
    expected = hashlib.sha256()
    for name in ("id", "text", "label"):
        expected.update(json.dumps(table[name].to_pylist()).encode())
    assert result.reports["gate"].digest == expected.hexdigest()
    noted = cut_of({"gate": rows(2, note=["other", "notes"])})
    assert noted.reports["gate"].digest == result.reports["gate"].digest


def assert_disjoint(result: Cut, text: tuple[str, ...], group: str | None) -> None:
    ids: list[str] = [name for split in SPLITS for name in ids_of(result, split)]
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
def test_no_id_group_or_text_ever_stands_in_two_splits(seed: int) -> None:
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
    result = cut_of(parts, sizes, group=group, seed=seed)
    assert_disjoint(result, ("text",), group)
    assert all(result.reports[name].n == size for name, size in sizes.items() if size != "rest")
    for name, report in result.reports.items():
        assert report.n == result.splits[name].num_rows == sum(report.label_counts.values())


# --- files


def test_splits_are_read_as_they_were_written(tmp_path: Path) -> None:
    result = cut_of({"train": rows(100), "gate": rows(40, start=95)})
    write_splits(result, tmp_path / "splits")
    assert read_splits(tmp_path / "splits") == result


def test_splits_that_are_not_whole_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has incomplete splits"):
        read_splits(tmp_path)
    write_splits(cut_of({"all": rows(10)}), tmp_path)
    (tmp_path / "gate.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match="cut them again"):
        read_splits(tmp_path)
    (tmp_path / "splits.json").write_text('{"schema": "slimgate.splits/0"}')
    with pytest.raises(DataError, match=r"has schema slimgate\.splits/0, expected slimgate\.splits/1"):
        read_splits(tmp_path)


# --- speed and real data


@pytest.mark.parametrize("group", [None, "file"])
def test_a_hundred_thousand_rows_are_cut_in_two_seconds(group: str | None) -> None:
    count = 100_000
    table = rows(count, file=[f"f{k // 8}" for k in range(count)])
    start = time.process_time()  # other processes of the machine do not count
    cut_of({"all": table}, group=group)
    assert time.process_time() - start < 2


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
        result = cut_of(parts, sizes, label="category")
        # 18 more differ from a gate row in case or punctuation only: "My top up has failed".
        report = result.reports["train"]
        assert (report.dropped_overlap, report.near_repeats) == (7 + 18, 18)
        assert sizes_of(result)[3] == 3080
        assert not {f"train/{k}" for k in leak} & set(ids_of(result, "train"))
    assert sizes_of(cut_of(parts, {"calibration": 0, "selection": 0}, label="category"))[0] == 10_003 - 25


def test_banking77_keeps_its_77_labels_in_every_split() -> None:
    result = cut_of(banking77(), {"train": 6000}, label="category")
    assert sizes_of(result) == [6000, 498, 997, 3080]
    assert all(min(report.label_counts.values()) > 0 for report in result.reports.values())
    assert max(report.label_deviation_points for report in result.reports.values()) < 0.2
    assert_disjoint(result, ("text",), None)


def test_the_digest_covers_what_else_the_task_reads() -> None:
    def digest(scores: list[float]) -> str:
        scored = cut(
            {"all": rows(4, score=scores)},
            SplitSizes(train=2, calibration=0, selection=0, gate=2),
            text_columns=("text",),
            label_column=None,
            group_column=None,
            seed=0,
            read_columns=("text", "score"),
        )
        return scored.reports["train"].digest + scored.reports["gate"].digest

    assert digest([1.0, 2.0, 3.0, 4.0]) == digest([1.0, 2.0, 3.0, 4.0])
    assert digest([1.0, 2.0, 3.0, 4.0]) != digest([1.0, 2.0, 3.0, 5.0])
    with pytest.raises(DataError, match=r"part all has no column scor\. Did you mean score"):
        cut(
            {"all": rows(4, score=[1.0] * 4)},
            SplitSizes(),
            text_columns=("text",),
            label_column=None,
            group_column=None,
            seed=0,
            read_columns=("scor",),
        )


def test_lists_of_words_are_texts_that_stand_in_one_split_only() -> None:
    words = [["good", "film"], ["good", " film "], ["bad"], ["a", "plot"]]
    table = pa.table({"words": words, "label": ["a", "b", "a", "b"]})
    parts = {"train": table, "gate": pa.table({"words": ["good  film"], "label": ["a"]})}
    result = cut_of(parts, {"calibration": 0, "selection": 0}, text=("words",))
    assert sorted(result.splits["train"]["words"].to_pylist()) == [["a", "plot"], ["bad"]]
    assert result.reports["train"].dropped_overlap == 2

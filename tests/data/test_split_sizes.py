"""slimgate.data.splits: the sizes of the splits, and the shares of the labels in them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError
from support.cut_rows import cut_rows, list_ids, list_sizes, make_rows

from slimgate.data.labels import list_class_names
from slimgate.data.splits import SplitSizes
from slimgate.data.strata import apportion_total
from slimgate.errors import DataError
from slimgate.plugins.rows import SPLITS


@pytest.mark.parametrize("size", [0, -1, 1.5, True, "all", "Rest"])
def test_a_size_is_a_positive_number_or_rest(size: Any) -> None:
    with pytest.raises(ValidationError, match='expected a whole number of rows, at least 1, or "rest"'):
        SplitSizes(gate=size)


def test_only_calibration_and_selection_may_be_empty() -> None:
    assert SplitSizes(calibration=0, selection=0).selection == 0
    assert list_sizes(cut_rows({"all": make_rows(10)}, {"calibration": 0, "selection": 0})) == [6, 0, 0, 4]


def test_one_table_is_cut_by_the_defaults() -> None:
    assert list_sizes(cut_rows({"all": make_rows(200)})) == [90, 10, 20, 80]
    assert list_sizes(cut_rows({"all": make_rows(20_000)})) == [10_488, 512, 1000, 8000]


def test_named_parts_are_kept_and_the_others_are_cut_from_train() -> None:
    result = cut_rows({"train": make_rows(100), "gate": make_rows(30, start=100)})
    assert list_sizes(result) == [85, 5, 10, 30]
    assert {name: result.reports[name].part for name in SPLITS} == {
        "train": "train",
        "calibration": "train",
        "selection": "train",
        "gate": "gate",
    }
    assert set(list_ids(result, "gate")) == {f"gate/{k}" for k in range(30)}


def test_a_named_selection_is_drawn_to_its_size_from_itself() -> None:
    parts = {"train": make_rows(100), "selection": make_rows(40, start=100), "gate": make_rows(30, start=200)}
    assert list_sizes(cut_rows(parts)) == [95, 5, 40, 30]
    smaller = cut_rows(parts, {"selection": 12, "gate": 7, "train": 50})
    assert list_sizes(smaller) == [50, 5, 12, 7]
    assert all(name.startswith("selection/") for name in list_ids(smaller, "selection"))


def test_a_gate_alone_serves_models_that_are_ready() -> None:
    result = cut_rows({"gate": make_rows(10)})
    assert list_sizes(result) == [0, 0, 0, 10]
    assert result.splits["train"].column_names == ["id", "text", "label"]
    assert result.reports["train"].part is None
    with pytest.raises(DataError, match=r"only part gate, expected part train, train or all .*train = 3"):
        cut_rows({"gate": make_rows(10)}, {"train": 3})
    with pytest.raises(DataError, match="to draw gate from"):
        cut_rows({"selection": make_rows(10)})


def test_the_rest_may_be_any_split_but_one_of_a_part() -> None:
    assert list_sizes(cut_rows({"all": make_rows(50)}, {"train": 20, "gate": "rest"})) == [20, 2, 5, 23]
    assert list_sizes(cut_rows({"all": make_rows(50)}, {"train": 20, "gate": 5, "selection": "rest"})) == [
        20,
        2,
        23,
        5,
    ]
    with pytest.raises(DataError, match="train and gate both take the rest of part all"):
        cut_rows({"all": make_rows(50)}, {"gate": "rest"})


def test_too_few_rows_are_one_error_with_the_counts() -> None:
    with pytest.raises(DataError) as caught:
        cut_rows({"train": make_rows(50), "gate": make_rows(5, start=46)}, {"train": 40, "selection": 8})
    assert str(caught.value) == (
        "too few rows for split train: part train has 50 rows, 4 dropped because a later part has their "
        "text, 46 left; no group and no text may be in two splits; asked train 40, calibration 2, selection "
        "8; train got 36. Ask for fewer rows"
    )
    with pytest.raises(DataError, match=r"split train: .* 5 dropped .* 0 left; asked train rest"):
        cut_rows({"train": make_rows(5), "gate": make_rows(5)})
    with pytest.raises(DataError, match=r"part all has 0 rows"):
        cut_rows({"all": make_rows(5).slice(0, 0)})


@pytest.mark.parametrize("names", [["test"], ["all", "gate"], []])
def test_unknown_parts_are_refused(names: list[str]) -> None:
    with pytest.raises(DataError, match="expected all, or some of train, calibration, selection, confirm, g"):
        cut_rows({name: make_rows(5) for name in names})


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
    assert apportion_total(total, np.array(weights), np.array(limits)).tolist() == expected


def test_every_split_has_the_labels_of_its_part_in_their_shares() -> None:
    table = pa.table({"text": [f"t{k}" for k in range(100)], "label": ["a"] * 70 + ["b"] * 20 + ["c"] * 10})
    result = cut_rows({"all": table}, {"calibration": 10, "selection": 20, "gate": 30})
    assert [result.reports[name].label_counts for name in SPLITS] == [
        {"a": 28, "b": 8, "c": 4},
        {"a": 7, "b": 2, "c": 1},
        {"a": 14, "b": 4, "c": 2},
        {"a": 21, "b": 6, "c": 3},
    ]
    assert all(report.label_deviation_points == 0 for report in result.reports.values())


def test_the_deviation_is_the_largest_of_a_label_in_points() -> None:
    table = pa.table({"text": ["p", "q", "r", "s"], "label": ["a", "a", "a", "b"]})
    report = cut_rows({"gate": table}, {"gate": 2}).reports["gate"]
    assert report.label_counts == {"a": 2, "b": 0}
    assert report.label_deviation_points == 25.0


def test_no_strata_without_labels_or_with_measured_ones() -> None:
    table = make_rows(20).append_column("score", pa.array([k / 7 for k in range(20)]))
    for label in (None, "score"):
        report = cut_rows({"all": table}, {"gate": 6}, label=label).reports["gate"]
        assert (report.n, report.label_counts, report.label_deviation_points) == (6, {}, None)


@pytest.mark.parametrize(
    ("labels", "counts"),
    [([True, False, True], {"True": 2, "False": 1}), ([1.0, 0.0, 1.0], {"1.0": 2, "0.0": 1})],
    ids=["truths", "floats"],
)
def test_labels_are_counted_by_the_names_of_the_classes(labels: list[Any], counts: dict[str, int]) -> None:
    """The alarm about a label without gate rows looks for the names of the classes."""
    table = pa.table({"text": ["x", "y", "z"], "label": labels})
    assert cut_rows({"gate": table}).reports["gate"].label_counts == counts
    assert list_class_names(labels) == tuple(sorted(counts))


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
        (["x", " "], "part gate is partly unlabelled"),
        (["x", "NaN"], "part gate is partly unlabelled"),
        ([0.5, float("nan")], "part gate is partly unlabelled"),
    ],
)
def test_an_unlabelled_gate_is_an_error_that_says_so(labels: list[Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        cut_rows({"gate": pa.table({"text": ["x", "y"], "label": labels})})


def test_a_gate_without_the_label_column_is_unlabelled() -> None:
    with pytest.raises(DataError, match="part gate is unlabelled: it has no column label"):
        cut_rows({"train": make_rows(10), "gate": make_rows(10, start=10).drop_columns("label")})


def test_minus_one_beside_one_is_a_class() -> None:
    table = pa.table({"text": ["p", "q", "r"], "label": [-1, 1, 1]})
    assert cut_rows({"gate": table}).reports["gate"].label_counts == {"-1": 1, "1": 2}


def test_missing_columns_suggest_the_nearest() -> None:
    with pytest.raises(DataError, match=r"part all has no text column txt\. Did you mean text\?"):
        cut_rows({"all": make_rows(5)}, text=("txt",))
    with pytest.raises(DataError, match=r"part all has no label column lable\. Did you mean label\?"):
        cut_rows({"all": make_rows(5)}, label="lable")
    with pytest.raises(DataError, match="part all has no group column file; known: label, text"):
        cut_rows({"all": make_rows(5)}, group="file")

"""Which gate rows belong to which slice."""

from __future__ import annotations

from types import SimpleNamespace

import pyarrow as pa
import pytest

from slimgate.data.splits import SplitSizes
from slimgate.errors import DataError
from slimgate.plugins.rows import Rows
from slimgate.run.slicing import find_column_slices, find_gate_slices, make_length_buckets
from slimgate.suite.named_plugin import Plugin
from slimgate.suite.suite import TaskSetup
from slimgate.tasks import text_classification


def setup(*slices: str, text: tuple[str, ...] = ("text",)) -> TaskSetup:
    params = text_classification.Params(text=text, label="label")
    task = Plugin("text_classification", text_classification.task, params)
    return TaskSetup(task, Plugin("none", SimpleNamespace(), None), None, SplitSizes(), slices)


def rows(**columns: list[object]) -> Rows:
    count = len(next(iter(columns.values())))
    return Rows(pa.table({"id": [str(k) for k in range(count)], **columns}))


def named(setup: TaskSetup, rows: Rows) -> dict[str, list[int]]:
    return {f"{part.column}: {part.value}": part.rows.tolist() for part in find_column_slices(setup, rows)}


def test_rows_that_share_a_value_are_a_slice_each_row_in_one() -> None:
    table = rows(language=["en", "de", "en", None, ""], year=[2020, 2021, 2020, 2020, 2021])
    assert named(setup("language", "year"), table) == {
        "language: (empty)": [4],
        "language: (missing)": [3],
        "language: de": [1],
        "language: en": [0, 2],
        "year: 2020": [0, 2, 3],
        "year: 2021": [1, 4],
    }


def test_length_buckets_are_quartiles_of_the_words() -> None:
    texts = ["w " * count for count in (1, 2, 3, 4, 5, 6, 7, 8)]
    assert make_length_buckets(rows(text=list(texts)), ("text",)) == [
        *["1 to 2 words"] * 2,
        *["3 to 4 words"] * 2,
        *["5 to 6 words"] * 2,
        *["7 to 8 words"] * 2,
    ]


def test_words_of_both_texts_count_and_equal_lengths_share_bins() -> None:
    table = rows(a=["one two", "one", "one", "one"], b=["three", None, "", "two\n three"])
    assert make_length_buckets(table, ("a", "b")) == ["2 to 3 words", "1 word", "1 word", "2 to 3 words"] or (
        make_length_buckets(table, ("a", "b")) == ["3 words", "1 word", "1 word", "3 words"]
    )


def test_texts_of_one_length_are_one_bucket() -> None:
    assert set(make_length_buckets(rows(text=["a b", "c d", "e f"]), ("text",))) == {"2 words"}


def test_lengths_of_messages_and_images_are_refused() -> None:
    messages = [[{"role": "user", "content": "one two"}], [{"role": "user", "content": "one"}]]
    for values in (messages, [b"PNG", b"JPEG"]):
        with pytest.raises(DataError, match=r'slices: length_bucket counts the words .* column "text" has'):
            make_length_buckets(rows(text=values), ("text",))


@pytest.mark.parametrize("values", [[True, False], [1.0, 0.5], [1, 0], ["b", "a"]], ids=str)
def test_slices_of_labels_have_the_names_of_classes(values: list[object]) -> None:
    table = rows(text=["a", "b"], label=values)
    classes = text_classification.task.facts(setup().task.params, {"gate": table}).classes
    assert [part.value for part in find_gate_slices(setup(), table) if part.column == "label"] == [*classes]


def test_a_column_called_length_bucket_is_the_rows_own() -> None:
    table = rows(text=["a", "b c"], length_bucket=["short", "long"])
    assert named(setup("length_bucket"), table) == {"length_bucket: long": [1], "length_bucket: short": [0]}


def test_the_label_column_is_left_to_the_labels_own_slices() -> None:
    assert named(setup("label"), rows(label=["a", "b"])) == {}


def test_no_slices_are_no_slices() -> None:
    assert find_column_slices(setup(), rows(text=["a"])) == []


def test_a_column_of_too_many_values_is_reported() -> None:
    assert len(find_column_slices(setup("n"), rows(n=list(range(200))))) == 200
    with pytest.raises(DataError) as error:
        find_column_slices(setup("n"), rows(n=list(range(201))))
    assert str(error.value) == (
        'slices: column "n" has 201 values in the gate rows, expected at most 200; name a coarser column'
    )


def test_a_column_that_is_missing_or_holds_lists_is_reported() -> None:
    with pytest.raises(
        DataError, match=r'slices: the rows have no column "lenght_bucket"\. Did you mean len'
    ):
        find_column_slices(setup("lenght_bucket"), rows(text=["a"]))
    with pytest.raises(DataError, match=r"slices: column n has type list<.*expected text or numbers"):
        find_column_slices(setup("n"), rows(n=[[1], [2]]))

"""Prediction files that cannot be read, that do not match, or that hold no answers."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.prediction_rows import shuffle_rows, write_predictions
from support.small_predictions import NAMES, PLAIN, SCORES, pair_rows, read_rows

from slimgate.errors import DataError, SlimgateError
from slimgate.logs.predictions.columns import ColumnNames
from slimgate.logs.predictions.files import read_predictions
from slimgate.logs.predictions.pairs import pair_predictions


@pytest.mark.parametrize("late", [{"group": "g"}, {"p_x": 0.5}, {"p_x": 0.5, "p_y": 0.5}], ids=str)
def test_a_late_key_is_refused_in_any_order(tmp_path: Path, late: dict[str, Any]) -> None:
    rows = [{"id": f"{i}", "label": "x", "prediction": "x"} for i in range(300)]
    rows += [{"id": f"{i}", "label": "x", "prediction": "x", **late} for i in range(300, 302)]
    messages = []
    for name, ordered in (("first.jsonl", rows[::-1]), ("late.jsonl", rows)):
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in ordered))
        with pytest.raises(DataError, match="300 of 302 rows") as raised:
            read_predictions(tmp_path / name, NAMES)
        messages.append(re.sub(r".*\.jsonl|\(?ids.*", "", str(raised.value)))
    assert messages[0] == messages[1]


@pytest.mark.parametrize("row", [0, -1], ids=["first", "last"])
def test_a_row_without_a_label_is_refused(tmp_path: Path, row: int) -> None:
    rows = [{"id": f"{i}", "label": "x", "prediction": "x"} for i in range(300)]
    del rows[row]["label"]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(each) + "\n" for each in rows))
    with pytest.raises(DataError, match='column "label" has no value in 1 of 300 rows'):
        read_predictions(tmp_path / "rows.jsonl", NAMES)


def test_a_label_without_a_probability_is_said(tmp_path: Path) -> None:
    narrow = {**PLAIN, "prediction": ["x"] * 3, "p_x": [1, 1, 1]}
    [warning] = pair_rows(tmp_path, PLAIN, narrow).warnings
    assert warning.endswith('v.jsonl has no probability of "y", which is the label of 1 rows: taken as 0')


BAD_COLUMNS = {
    "no-id": ({"ids": ["a"], "label": ["x"], "prediction": ["x"]}, 'no column "id". Did you mean ids?'),
    "no-label": (
        {"id": ["a"], "prediction": ["x"], "labels": ["x"]},
        'no column "label". Did you mean labels? rename it, or say --label COLUMN to slimgate judge',
    ),
    "no-prediction": (
        {"id": ["a"], "label": ["x"], "predicted": ["x"]},
        "and no probabilities (p_<class>, prob_<class> or probabilities). Did you mean predicted?",
    ),
    "two-kinds": ({**PLAIN, "p_x": [1] * 3, "prob_x": [1] * 3}, 'columns "prob_x" and "p_x"'),
    "probabilities-are-no-hint": (
        {"id": ["a"], "tag": ["x"], "p_x": [1], "p_y": [0]},
        'no column "label"; known: tag; rename it, or say --label COLUMN to slimgate judge',
    ),
    "blanks in ids": (
        {**PLAIN, "id": ["b", "a", "b "]},
        'the ids "b ", "b" differ only in blanks or Unicode form',
    ),
    "twice": ({**PLAIN, "id": ["b", "a", "b"]}, '1 id occurs more than once: "b"'),
    "many-twice": (
        {"id": [*"aabbccdd"], "label": ["x"] * 8, "prediction": ["x"] * 8},
        '4 ids occur more than once: "a", "b", "c" and 1 more',
    ),
    "empty-label": ({**PLAIN, "label": ["x", "", ""]}, '"label" has no value in 2 of 3 rows (ids "b", "c")'),
    "empty-id": ({**PLAIN, "id": ["a", "", "c"]}, '"id" has no value in 1 of 3 rows (rows 2)'),
    "nan": (
        {**PLAIN, "p_x": [0.9, "nan", "nan"], "p_y": [0.1, 0.8, 0.6]},
        '2 of 3 rows have a probability that is NaN or infinite: ids "b", "c"',
    ),
    "infinite": ({**PLAIN, "p_x": [0.9, "inf", 0.4], "p_y": [0.1, 0.8, 0.6]}, "NaN or infinite"),
    "negative": (
        {**PLAIN, "p_x": [1.1, 0.2, 0.4], "p_y": [-0.1, 0.8, 0.6]},
        '1 of 3 rows has a negative probability: ids "a"',
    ),
    "sum": (
        {**PLAIN, "p_x": [0.9, 0.2, 0.4], "p_y": [0.1, 0.8, 0.61]},
        '(of "x", "y") that do not sum to 1 within 0.001, first 1.01: ids "c"',
    ),
    "no-probability": (
        {**PLAIN, "p_x": [0.9, "", 0.4], "p_y": [0.1, 0.8, 0.6]},
        '1 of 3 rows has no probability of class "x": ids "b"',
    ),
    "a-word": ({**PLAIN, "p_x": ["high", 0, 0], "p_y": [0, 1, 1]}, "invalid value 'high'"),
    "nested": ({**PLAIN, "probabilities": ["[1]"] * 3}, "give one column per class, p_<class>"),
    "no-rows": ({"id": [], "label": [], "prediction": []}, "has no rows"),
}


@pytest.mark.parametrize(("columns", "message"), BAD_COLUMNS.values(), ids=BAD_COLUMNS)
@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_what_is_wrong_is_said_with_examples(
    tmp_path: Path, suffix: str, columns: dict[str, Any], message: str
) -> None:
    path = write_predictions(tmp_path / f"rows{suffix}", columns)
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        read_predictions(path, NAMES)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.5, None, 0.7])
def test_a_probability_of_none_is_refused_in_binary_and_json_too(
    tmp_path: Path, suffix: str, value: float | None
) -> None:
    with pytest.raises(DataError, match=r'1 of 3 rows has .*: ids "b"'):
        read_rows(tmp_path / f"rows{suffix}", **PLAIN, p_x=[0.9, value, 0.4], p_y=SCORES["p_y"])


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
@pytest.mark.parametrize("role", ["id", "label", "prediction"])
def test_a_null_is_a_missing_value(tmp_path: Path, suffix: str, role: str) -> None:
    with pytest.raises(DataError, match=f'column "{role}" has no value in 1 of 3 rows'):
        read_rows(tmp_path / f"rows{suffix}", **{**PLAIN, role: ["x", None, "y"]})


BAD_LINES = {
    "not-json": ('{"id": 1', "line 2 is not JSON"),
    "deep": ("[" * 100_000, "line 2 is not JSON (nested too deeply)"),
    "list": ("[1]", "line 2 is [1], expected an object"),
    "value": ('{"id": {"a": 1}, "label": "x"}', 'line 2: {"a": 1} was given, expected a text or a number'),
    "not-nested": ('{"id": "b", "label": "x", "probabilities": 1}', "line 2: probabilities is 1, expected a"),
    "length": ('{"id": "b", "label": "x", "probabilities": [1]}', "of the same kind and length in all rows"),
    "kind": ('{"id": "b", "label": "x", "probabilities": {"x": 1}}', "of the same kind and length"),
    "no-number": (
        '{"id": "b", "label": "x", "probabilities": ["1", 0]}',
        'line 2: "1" was given as a probability, expected a number',
    ),
    "huge": (
        f'{{"id": "b", "label": "x", "probabilities": [1{"0" * 400}, 0]}}',
        "was given as a probability, expected a number",
    ),
}


@pytest.mark.parametrize(("line", "message"), BAD_LINES.values(), ids=BAD_LINES)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"id": "a", "label": "x", "probabilities": [0.5, 0.5]}\n' + line + "\n")
    with pytest.raises(DataError, match=re.escape(message)):
        read_predictions(path, NAMES)


def test_a_list_that_is_shorter_in_a_later_block_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slimgate.logs.predictions.jsonl.BLOCK", 1)
    with pytest.raises(DataError, match="line 2"):
        read_rows(tmp_path / "rows.jsonl", id=[1, 2], label=[0, 1], probabilities=[[0.5, 0.5], [1]])


def write_unreadable_files(folder: Path) -> dict[str, tuple[Path, str]]:
    (folder / "empty.csv").touch()
    (folder / "rows.xlsx").write_text("PK")
    (folder / "rows").write_text("PK")
    (folder / "no.parquet").write_text("id,label\n")
    (folder / "latin.jsonl").write_bytes(b'{"id": "\xe9"}\n')
    (folder / "latin.csv").write_bytes(b"id,label,prediction\n1,\xe9,x\n")
    (folder / "ragged.csv").write_text("id,label,prediction\n1,x,x,x\n2,x,x\n")
    (folder / "cut.csv").write_text("id,label,prediction\n1,x,x\n2,x")
    (folder / "short.csv").write_text("id,label,prediction\n\n1,x,x\n2\n3,x,x\n")
    (folder / "last.csv").write_text("id,label,prediction\n1,x,x\n2,x,well, x")
    (folder / "double.csv").write_text("id,label,label\n1,x,x\n")
    (folder / "blank.jsonl").write_text("\n\n")
    pq.write_table(pa.table({**PLAIN, "p_x": [[1.0]] * 3}), folder / "lists.parquet")
    pq.write_table(pa.table([["a"]] * 4, ["id", "label", "prediction", "id"]), folder / "double.parquet")
    return {
        "missing": (folder / "emty.csv", "no such file. Did you mean empty.csv?"),
        "folder": (folder, "is a folder"),
        "empty": (folder / "empty.csv", "is empty, expected rows as csv"),
        "extension": (folder / "rows.xlsx", 'is ".xlsx", expected one of .csv, .tsv, .jsonl, .parquet'),
        "no-extension": (
            folder / "rows",
            ".csv, .tsv, .jsonl, .parquet; for a log of another tool, name its reader with --format",
        ),
        "not-parquet": (folder / "no.parquet", "is not parquet"),
        "not-utf-8": (folder / "latin.jsonl", "byte 8 (0xe9) is not utf-8; "),
        "not-utf-8-csv": (folder / "latin.csv", "cannot be read as csv"),
        "ragged": (
            folder / "ragged.csv",
            "line 2 has 4 columns, expected 3 (1,x,x,x); put a text that has the separator",
        ),
        "short": (folder / "short.csv", "line 4 has 1 column, expected 3 (2); a value or a separator is"),
        "last": (folder / "last.csv", "line 3 has 4 columns, expected 3 (2,x,well, x); put a text that has"),
        "cut": (folder / "cut.csv", "line 3 has 2 columns, expected 3 (2,x); the line is incomplete"),
        "double": (folder / "double.csv", "column 'label' twice"),
        "blank": (folder / "blank.jsonl", "has no rows"),
        "double-parquet": (folder / "double.parquet", 'column "id" occurs twice'),
        "lists": (folder / "lists.parquet", "cannot be read as parquet"),
    }


def test_a_file_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    for name, (path, message) in write_unreadable_files(tmp_path).items():
        with pytest.raises(SlimgateError) as caught:
            read_predictions(path, NAMES)
        assert message in str(caught.value), name
        assert str(path) in str(caught.value), name


def test_missing_ids_are_counted_on_both_sides(tmp_path: Path) -> None:
    less = {name: values[1:] for name, values in PLAIN.items()}
    more = {"id": ["b", "c", *"defg"], "label": [*"yxxxxx"], "prediction": ["x"] * 6}
    with pytest.raises(DataError, match=r'v.jsonl lacks 1 of the 3 ids of .*t.jsonl: "a"$'):
        pair_rows(tmp_path, PLAIN, less)
    expected = (
        r'lacks 1 of the 3 ids of .*: "a"; .*t.jsonl lacks 4 of the 6 ids .*: "d", "e", "f" and 1 more$'
    )
    with pytest.raises(DataError, match=expected):
        pair_rows(tmp_path, PLAIN, more)


def test_labels_that_differ_are_shown(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r'a different label for 2 of 3 ids: "a" \("x" and "y"\), "b" \("y" and "x"\)$'
    ):
        pair_rows(tmp_path, PLAIN, shuffle_rows({**PLAIN, "label": ["y", "x", "x"]}))


def test_groups_that_differ_are_shown(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r'a different group for 1 of 3 ids: "c" \("h" and "g"\)$'):
        pair_rows(tmp_path, {**PLAIN, "group": ["g", "g", "h"]}, {**PLAIN, "group": ["g", "g", "g"]})


def test_classes_of_probabilities_that_no_label_has(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r'of classes "0", "1", "2", none of which is a label'):
        pair_rows(tmp_path, PLAIN, {**PLAIN, "probabilities": [[0.2, 0.2, 0.6]] * 3})
    with pytest.raises(
        DataError, match=r'of classes "v", "w", none of which is a label; the 2 classes are "x"'
    ):
        pair_rows(tmp_path, PLAIN, {**PLAIN, "p_v": SCORES["p_x"], "p_w": SCORES["p_y"]})


def test_an_index_beyond_slimgates_own_classes(tmp_path: Path) -> None:
    table = pa.table({"id": ["a", "b"], "label": [0, 2], "prediction": [0, 1]})
    pq.write_table(
        table.replace_schema_metadata({"slimgate.classes": '["x", "y"]'}), tmp_path / "own.parquet"
    )
    with pytest.raises(DataError, match="label 2 is not a class index, expected 0 … 1"):
        read_predictions(tmp_path / "own.parquet", NAMES)


def test_a_long_text_in_another_column_is_no_hindrance(tmp_path: Path) -> None:
    file = read_rows(tmp_path / "rows.csv", **PLAIN, text=["short", "long " * 500_000, "short"])
    assert file.ids.to_pylist() == PLAIN["id"]


FOUR = {"id": ["a", "b", "c", "d"], "label": ["0", "1", "2", "3"]}
NO_ANSWERS = {
    "scores-beside-more-labels": (
        {**FOUR, "prediction": [1.0, 0.0, 1.0, 1.0]},
        "prediction",
        'column "prediction" holds "0", "1", column "label" holds "0", "1", "2" and 1 more: '
        "these look like scores of the answers",
    ),
    "scores-by-name": (
        {**FOUR, "label": ["0", "1", "1", "0"], "acc": [1.0, 0.0, 1.0, 1.0]},
        "acc",
        'column "acc" holds "0", "1", column "label" holds "0", "1": these look like scores',
    ),
    "truths": ({**FOUR, "correct": [True, False, True, True]}, "correct", "these look like scores"),
    "letters": (
        {**FOUR, "prediction": ["A", "B", "C", "D"]},
        "prediction",
        "no prediction is one of the labels; expected answers that are written like the labels",
    ),
    "numbers": (
        {**FOUR, "label": [1.5, 2.5, 0.1, 4.0], "prediction": [1.4, 2.6, 0.2, 4.1]},
        "prediction",
        "no prediction is one of the labels, and all are numbers; for a regression, give tables with",
    ),
}


@pytest.mark.parametrize(("rows", "column", "message"), NO_ANSWERS.values(), ids=NO_ANSWERS)
def test_predictions_that_are_no_answers_are_refused_as_seen(
    tmp_path: Path, rows: dict[str, Any], column: str, message: str
) -> None:
    files = [
        read_predictions(
            write_predictions(tmp_path / f"{name}.parquet", rows), ColumnNames(prediction=column)
        )
        for name in ("t", "v")
    ]
    with pytest.raises(DataError, match=re.escape(message)):
        pair_predictions(*files)


def test_a_variant_may_collapse_but_not_answer_what_nobody_does(tmp_path: Path) -> None:
    collapsed = pair_rows(tmp_path, {**FOUR, "prediction": FOUR["label"]}, {**FOUR, "prediction": ["0"] * 4})
    assert collapsed.variant.predictions.tolist() == [0] * 4
    odd = {**FOUR, "prediction": ["0", "1", "2", "9"]}
    assert pair_rows(tmp_path, odd, {**FOUR, "prediction": ["9"] * 4}).variant.classes[-1] == "9"
    with pytest.raises(DataError, match=r'v\.jsonl: column "prediction" holds "x", .*: no prediction is one'):
        pair_rows(tmp_path, odd, {**FOUR, "prediction": ["x"] * 4})


def test_a_column_name_that_is_no_text_is_one_clear_error(tmp_path: Path) -> None:
    path = write_predictions(tmp_path / "rows.parquet", {**PLAIN, "caf_xxxx": ["1", "2", "3"]})
    path.write_bytes(path.read_bytes().replace(b"caf_xxxx", b"caf\xe9xxxx"))
    with pytest.raises(
        DataError, match=r"rows\.parquet: the column name b'caf\\xe9xxxx' is not UTF-8; rename"
    ):
        read_predictions(path, NAMES)


def test_half_of_a_surrogate_pair_in_a_class_is_named(tmp_path: Path) -> None:
    row = {"id": "a", "label": "x", "probabilities": {"x": 0.5, "y\ud83d": 0.5}}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row))
    with pytest.raises(
        DataError, match=r"rows\.jsonl: probabilities: 'y\\ud83d' contains half of a surrogate"
    ):
        read_predictions(tmp_path / "rows.jsonl", NAMES)

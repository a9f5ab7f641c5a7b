"""Tables that are read by columns come out as those that are read by rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from slimgate.cli.main import main
from slimgate.errors import DataError
from slimgate.logs.columns import Samples, read_samples
from slimgate.logs.find import read_log
from slimgate.logs.readers import table
from slimgate.logs.readers._table_columns import TableRows

TABLES: dict[str, dict[str, list[Any]]] = {
    "scores": {"id": ["a", "b", "c"], "score": [1.0, 0.0, None]},
    "numbers as ids": {"id": [3, 1, 2], "score": [1, 0, 1]},
    "true and false": {"id": ["a", "b"], "score": [True, False]},
    "scores as texts": {"id": ["a", "b"], "score": ["0.25", "1e-1"]},
    "labels": {
        "id": ["a", "b", "c", "d"],
        "label": ["x", "y", None, "x"],
        "prediction": ["x", "x", "y", None],
    },
    "texts": {
        "id": ["a", "b", "c"],
        "score": [0.5, 0.5, 1.0],
        "prompt": ["one", None, "three"],
        "document": [None, None, None],
        "target": ["t", None, "t"],
        "label": ["l", "m", None],
        "answer": [None, "2", "3"],
    },
}


def read_both(path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Samples, Samples]:
    """The samples by columns, and by rows."""
    task = read_log(path).tasks[""]
    assert isinstance(task.rows, TableRows)
    assert task.rows.read_columns() is not None
    by_columns = read_samples("x", task)[""]
    monkeypatch.setattr(TableRows, "read_columns", lambda self: None)  # noqa: ARG005
    return by_columns, read_samples("x", task)[""]


# A csv of empty cells or of words is read by rows.
CSV = ("numbers as ids", "scores as texts")


@pytest.mark.parametrize(
    ("name", "suffix"), [*((name, ".parquet") for name in TABLES), *((name, ".csv") for name in CSV)]
)
def test_columns_are_as_rows(name: str, suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / f"table{suffix}"
    write = pq.write_table if suffix == ".parquet" else pa.csv.write_csv
    write(pa.table(TABLES[name]), path)
    by_columns, by_rows = read_both(path, monkeypatch)
    assert by_columns.ids.equals(by_rows.ids)
    np.testing.assert_array_equal(by_columns.order, by_rows.order)
    assert by_columns.scores.keys() == by_rows.scores.keys()
    for metric, scores in by_rows.scores.items():
        np.testing.assert_array_equal(by_columns.scores[metric], scores)
    assert by_columns.keys.keys() == by_rows.keys.keys()
    for key, digests in by_rows.keys.items():
        np.testing.assert_array_equal(by_columns.keys[key], digests)
    np.testing.assert_equal(by_columns.answers, by_rows.answers)
    np.testing.assert_array_equal(by_columns.errors, by_rows.errors)
    assert by_columns.clusters is by_rows.clusters is None
    assert [*by_columns.rows()] == [*by_rows.rows()]


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("id", ["a", ""], "a row has no id"),
        ("id", ["a", None], "a row has no id"),
        ("id", ["a", "a"], "occurs? more than once"),
        ("id", ["cafe\u0301", "caf\u00e9"], "differ only in blanks or Unicode form"),
        ("id", ["a", " a"], 'the ids " a", "a" differ only in blanks'),
        ("score", ["1", "much"], "score 'much', expected a number"),
        ("score", [1.0, float("inf")], "expected a finite number"),
        ("score", [1.0, -1e101], r"score is -1e\+101, expected a finite number up to 1e\+100"),
    ],
)
def test_a_mistake_has_the_message_of_rows(
    column: str, values: list[Any], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "table.parquet"
    pq.write_table(pa.table({"id": ["a", "b"], "score": [1.0, 0.0], column: values}), path)
    with pytest.raises(DataError, match=message):
        read_samples("x", read_log(path).tasks[""])


def test_a_table_with_other_columns_is_read_by_rows(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    pq.write_table(pa.table({"id": ["a"], "score": [1.0], "group": ["g"]}), path)
    rows = read_log(path).tasks[""].rows
    assert isinstance(rows, TableRows)
    assert rows.read_columns() is None


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [(["--slice", "prompt_length"], "score[prompt_length=q1]"), (["--answers"], "answer_length")],
    ids=["slices", "answers"],
)
def test_a_table_of_columns_alone_has_slices_and_answer_lengths(
    arguments: list[str], shown: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, words in (("base", 5), ("target", 6)):
        rows = {
            "id": list(range(100)),
            "score": [1] * (100 - words) + [0] * words,
            "prompt": ["?" * (row + 1) for row in range(100)],
            "answer": ["word " * words] * 100,
        }
        pq.write_table(pa.table(rows), tmp_path / f"{name}.parquet")
    files = [str(tmp_path / "base.parquet"), str(tmp_path / "target.parquet")]
    assert main(["judge", *files, "--higher-is-better", "score", *arguments]) == 0
    assert shown in capsys.readouterr().out


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_truncated_is_read_in_each_spelling(suffix: str, tmp_path: Path) -> None:
    flags = ["1.0", "0.0", "Length", "stop", "TRUE", "false", "yes", "no", "1", "0", None]
    table = pa.table({"id": [*map(str, range(11))], "score": [1.0] * 11, "truncated": flags})
    path = tmp_path / f"table{suffix}"
    if suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()), "utf-8")
    else:
        (pq.write_table if suffix == ".parquet" else pa.csv.write_csv)(table, path)
    rows = read_log(path).tasks[""].rows()
    assert [row.truncated for row in rows] == [True, False] * 5 + [None]


def test_a_float_column_of_pandas_is_truncated(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    flags = [1.0, 0.0, float("nan")]
    pq.write_table(pa.table({"id": ["a", "b", "c"], "score": [1.0] * 3, "truncated": flags}), path)
    assert [row.truncated for row in read_log(path).tasks[""].rows()] == [True, False, None]


@pytest.mark.parametrize("value", ["cut", "2", "0.5", "abort"])
def test_another_value_of_truncated_is_refused(tmp_path: Path, value: str) -> None:
    path = tmp_path / "table.csv"
    path.write_text(f"id,score,truncated\na,1,true\nb,1,{value}\n", "utf-8")
    with pytest.raises(DataError, match=f'id b: truncated is "{value}", expected true or false') as refusal:
        read_samples("x", read_log(path).tasks[""])
    assert "(cut off: length, max_tokens, max_output_tokens, model_length; else stop, " in str(refusal.value)


def test_each_known_finish_reason_is_truncated_or_not(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    cut_off = ["length", "MAX_TOKENS", "max_output_tokens", "model_length"]
    ended = ["stop", "eos", "end_turn", "stop_sequence", "tool_calls", "function_call", "content_filter"]
    flags = [*cut_off, *ended]
    path.write_text("".join(["id,score,truncated\n", *(f"{flag},1,{flag}\n" for flag in flags)]), "utf-8")
    rows = read_log(path).tasks[""].rows()
    assert [row.truncated for row in rows] == [True] * len(cut_off) + [False] * len(ended)


def write_answers(path: Path, table: pa.Table) -> Path:
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()), "utf-8")
    else:
        (pq.write_table if path.suffix == ".parquet" else pa.csv.write_csv)(table, path)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_another_spelling_of_a_label_is_refused(suffix: str, tmp_path: Path) -> None:
    answers = {"id": ["a", "b", "c"], "label": ["Yes", "No", "Yes"], "prediction": ["yes", "No", "yes"]}
    path = write_answers(tmp_path / f"table{suffix}", pa.table(answers))
    words = 'table.*: id a: the prediction is "yes", and the label is "Yes": they differ only in case'
    for columns in ({}, {"cat": ["x"] * 3}):
        write_answers(path, pa.table({**answers, **columns}))
        with pytest.raises(DataError, match=words):
            read_samples("x", read_log(path, "table").tasks[""])


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
@pytest.mark.parametrize("columns", [{}, {"cat": ["x"] * 4}], ids=["by columns", "by rows"])
def test_a_label_of_another_row_is_just_wrong(suffix: str, columns: Any, tmp_path: Path) -> None:
    names = ["Rome", "May", "Wien", None]
    answers = {"id": ["a", "b", "c", "d"], "label": names, "prediction": ["may", "May", None, "x"]}
    path = write_answers(tmp_path / f"table{suffix}", pa.table({**answers, **columns}))
    samples = read_samples("x", read_log(path, "table").tasks[""])[""]
    assert samples.scores["accuracy"][:2].tolist() == [0, 1]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
@pytest.mark.parametrize("columns", [{}, {"cat": ["x"] * 4}], ids=["by columns", "by rows"])
def test_a_row_without_a_label_has_no_score(suffix: str, columns: Any, tmp_path: Path) -> None:
    answers = {"id": [*"abcd"], "label": ["x", None, " ", "y"], "prediction": ["x", "x", "x", "x"]}
    path = write_answers(tmp_path / f"table{suffix}", pa.table({**answers, **columns}))
    samples = read_samples("x", read_log(path, "table").tasks[""])[""]
    assert samples.scores["accuracy"].tolist() == pytest.approx([1, np.nan, np.nan, 0], nan_ok=True)


def test_rows_of_label_and_prediction_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "table.jsonl"
    path.write_text('{"id": 1, "label": "x", "prediction": "x"}\n', "utf-8")
    calls = []
    read = table.read_objects
    monkeypatch.setattr(table, "read_objects", lambda path: calls.append(path) or read(path))
    read_samples("x", read_log(path, "table").tasks[""])
    assert calls == [path]


def test_a_whole_float_of_pandas_is_its_number(tmp_path: Path) -> None:
    answers = {"id": ["a", "b", "c"], "label": [1, 0, 1], "prediction": [1.0, 1.0, float("nan")]}
    path = write_answers(tmp_path / "table.parquet", pa.table(answers))
    rows = read_log(path, "table").tasks[""].rows()
    assert [row.scores["accuracy"] for row in rows] == [1.0, 0.0, None]


@pytest.mark.parametrize("absent", [None, float("nan"), ""], ids=["null", "NaN", "empty"])
def test_a_value_that_is_absent_is_no_group_and_no_error(tmp_path: Path, absent: Any) -> None:
    """pandas writes NaN into lines of JSON, and other programs write an empty text."""
    path = tmp_path / "table.jsonl"
    rows = [{"id": "a", "group": "g", "error": "time-out"}, *({"id": name} for name in "bc")]
    unset = dict.fromkeys(("group", "error", "filter", "epoch"), absent)
    lines = (json.dumps({"score": 1.0, **unset, **row}) + "\n" for row in rows)
    path.write_text("".join(lines), "utf-8")
    read = [(row.id, row.filter, row.cluster, row.error) for row in read_log(path).tasks[""].rows()]
    assert read == [("a", "", "g", "time-out"), ("b", "", None, None), ("c", "", None, None)]


def test_an_id_of_an_epoch_needs_a_column_epoch(tmp_path: Path) -> None:
    """The epochs of a sample would count as independent samples."""
    path = tmp_path / "table.csv"
    path.write_text("id,score\nq epoch 1,1\nq epoch 2,0\n", "utf-8")
    with pytest.raises(DataError, match='in a table: the id "q" and a column epoch'):
        read_samples("table", read_log(path).tasks[""])


def test_another_spelling_of_a_group_makes_no_other_group(tmp_path: Path) -> None:
    """Two groups of one document would count as independent, and the interval would be too narrow."""
    path = tmp_path / "table.csv"
    groups = ["g", "g ", "G", "1.0", "1", "Caf\u00e9  b", "cafe\u0301 B"]
    path.write_text(
        "id,score,group\n" + "".join(f"{at},1,{name}\n" for at, name in enumerate(groups)), "utf-8"
    )
    read = [row.cluster for row in read_log(path, "table").tasks[""].rows()]
    assert read == ["g", "g", "g", "1", "1", "caf\u00e9 b", "caf\u00e9 b"]


def test_a_group_that_pandas_wrote_as_a_float_is_its_number(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    groups = [1.0, 1.0, float("nan")]
    pq.write_table(pa.table({"id": ["a", "b", "c"], "score": [1.0] * 3, "group": groups}), path)
    assert [row.cluster for row in read_log(path).tasks[""].rows()] == ["1", "1", None]


def test_a_stated_direction_is_of_the_accuracy_of_labels(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("id,label,prediction,higher_is_better\na,x,x,true\n", "utf-8")
    assert read_log(path, "table").tasks[""].higher_is_better == {"accuracy": True}


def test_labels_that_are_lists_are_checked_by_rows(tmp_path: Path) -> None:
    answers = {"id": ["a", "b"], "label": [["x"], ["y"]], "prediction": [["x"], ["Y"]]}
    path = tmp_path / "table.parquet"
    pq.write_table(pa.table(answers), path)
    with pytest.raises(DataError, match="id b: the prediction is"):
        read_samples("x", read_log(path, "table").tasks[""])
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(DataError, match=r"table\.parquet"):
        read_log(path, "table")


def test_an_id_is_the_same_as_an_integer_and_as_a_float(tmp_path: Path) -> None:
    """1 and 1.0 were two samples, so a file with both counted each sample twice."""
    lines = ['{"id": 1, "score": 1}\n', '{"id": 2.0, "score": 0}\n']
    (tmp_path / "a.jsonl").write_text("".join(lines))
    pq.write_table(pa.table({"id": [1.0, 2.0], "score": [1.0, 0.0]}), tmp_path / "b.parquet")
    for name in ("a.jsonl", "b.parquet"):
        assert [row.id for row in read_log(tmp_path / name).tasks[""].rows()] == ["1", "2"]
    (tmp_path / "twice.jsonl").write_text("".join([*lines, '{"id": 1.0, "score": 1}\n']))
    task = read_log(tmp_path / "twice.jsonl").tasks[""]
    with pytest.raises(DataError, match='1 sample occurs more than once: "1"'):
        read_samples("twice", task)


def test_samples_with_more_epochs_than_others_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A target that loses all samples but the one with 40 epochs lost 99 % of them, and 71 % of the rows."""
    rows = [f"{at},{epoch},1\n" for at in range(100) for epoch in range(40 if at == 7 else 1)]
    for name in ("base", "target"):
        (tmp_path / f"{name}.csv").write_text(f"id,epoch,score\n{''.join(rows)}", "utf-8")
        rows = [row if row.startswith("7,") else row.replace(",1\n", ",0\n") for row in rows]
    files = [str(tmp_path / f"{name}.csv") for name in ("base", "target")]
    assert main(["judge", *files, "--higher-is-better", "score", "--drop-points", "90"]) == 4
    error = capsys.readouterr().err
    assert 'sample "7" has 40 epochs in the base\'s log, and "0" has 1; expected the same number' in error

"""Every kind of log, file and folder, is recognized by its own reader and by no other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.kl_logs import write_kl_log
from support.tool_logs import OLDER, SCORED, TIMED

from slimgate.errors import DataError
from slimgate.logs.find import find_reader, has_predictions, read_log
from slimgate.plugins.loading import list_known_plugins, load

WRITTEN = Path(__file__).parent / "written_by_tools"
RIGHT = [1.0, 0.0, 1.0, 1.0]
LOGS = {
    "lm_eval": ["lm_eval/base", "lm_eval/base/samples_sums_choice_2026-11-22T14-50-51.168755.jsonl"],
    "promptfoo": ["promptfoo/base.json"],
    "inspect": ["inspect/base.eval", "inspect"],
    "deepeval": ["deepeval/base.json"],
    "guidellm": ["guidellm/base.json"],
    "mteb": ["mteb/base", "mteb/base/Greek_predictions.json"],
    "evalscope": ["evalscope/base"],
    "mlperf": ["mlperf/base", "mlperf/base/mlperf_log_accuracy.json"],
}


def list_readers(path: Path) -> list[str]:
    """The readers that take a path for theirs; that of tables looks at the suffix alone."""
    return [
        name for name in list_known_plugins("log") if name != "table" and load("log", name).recognizes(path)
    ]


@pytest.mark.parametrize("reader", [*SCORED, *OLDER])
def test_a_log_of_answers_is_recognized_by_its_reader_alone(tmp_path: Path, reader: str) -> None:
    path = (SCORED | OLDER)[reader](tmp_path / "log", RIGHT)
    assert list_readers(path) == ([] if reader == "table" else [reader])
    assert find_reader(path) is load("log", reader)
    assert not has_predictions(path)
    inner = [file for file in (tmp_path / "log").rglob("*") if file.is_file()]
    assert all(list_readers(file) in ([], [reader]) for file in inner)


@pytest.mark.parametrize("name", TIMED)
def test_a_load_test_is_recognized_by_its_reader_alone(tmp_path: Path, name: str) -> None:
    reader, write = TIMED[name]
    path = write(tmp_path / "log", [100.0, 110.0])
    assert list_readers(path) == [reader]
    assert not has_predictions(path)


def test_a_kl_log_is_recognized_by_its_reader_alone(tmp_path: Path) -> None:
    path = write_kl_log(tmp_path / "q4.txt", np.full(20, 0.01))
    assert list_readers(path) == ["llama_perplexity"]
    assert not has_predictions(path)


@pytest.mark.parametrize(
    ("reader", "name"), [(reader, name) for reader, names in LOGS.items() for name in names]
)
def test_a_real_log_is_recognized_by_its_reader_only(reader: str, name: str) -> None:
    assert list_readers(WRITTEN / name) == [reader]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("empty.jsonl", ""),
        ("list.json", "[]"),
        ("list.jsonl", "[1, 2]\n"),
        ("number.json", "7"),
        ("cut.jsonl", '{"metadata": {"a": 1}, "metr'),
        ("table.md", "| model | score |\n| --- | --- |\n| a | 0.5 |\n"),
        ("predictions.csv", "id,label,prediction\n1,a,b\n"),
        ("flat.json", '{"score": 0.5, "name": "x"}'),
        ("metrics.json", '{"aggregate": {"accuracy": 0.5}}'),
    ],
)
def test_other_files_are_recognized_by_no_reader(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, "utf-8")
    assert list_readers(tmp_path / name) == []
    assert list_readers(tmp_path) == []


def test_the_format_of_another_tool_is_one_line() -> None:
    with pytest.raises(DataError, match="the format lm_eval was given, but this is a log of promptfoo"):
        read_log(WRITTEN / "promptfoo/base.json", "lm_eval")


@pytest.mark.parametrize("form", ["lm_eval", "inspect", "promptfoo"])
def test_the_format_of_a_tool_for_a_table_is_one_line(tmp_path: Path, form: str) -> None:
    table = tmp_path / "scores.csv"
    table.write_text("id,metric,score\n1,acc,1\n2,acc,0\n", "utf-8")
    with pytest.raises(DataError, match=f"the format {form} was given, but this is a table of scores"):
        read_log(table, form)

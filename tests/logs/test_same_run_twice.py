"""One run in another layout is no second run; a target that is given twice is refused; notes are warnings."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from math import nan
from pathlib import Path
from typing import Any

import pytest
from support.judge_command import Judge
from support.lm_eval_logs import write_lm_eval
from support.load_test_files import write_vllm

from slimgate import assert_within
from slimgate.errors import DataError
from slimgate.logs.find import read_log
from slimgate.logs.same_run import is_same_run
from slimgate.plugins.reader import Log, Row, TaskLog

SCORES = [float(at % 5 > 0) for at in range(400)]


def write_table(path: Path, scores: list[float], *, more: str = "") -> Path:
    rows = [{"id": str(at), "metric": "em", "score": score} for at, score in enumerate(scores)]
    path.write_text("\n".join(json.dumps(row) + more for row in rows) + "\n", "utf-8")
    return path


def test_rows_in_another_layout_are_no_repeat(judge: Judge, tmp_path: Path) -> None:
    base = write_table(tmp_path / "base.jsonl", SCORES)
    again = write_table(tmp_path / "again.jsonl", SCORES, more=" ")
    target = write_table(tmp_path / "target.jsonl", [0.0, 0.0, *SCORES[2:]])
    code, _, err = judge(base, target, "--repeat", again, "--drop-points", 5)
    assert code == 4
    assert f"--repeat {again}: it has the same rows as {base}, so it shows no noise" in err
    code, _, err = judge("--base", base, again, "--target", target, "--drop-points", 5)
    assert code == 4
    assert f"{again}: it has the same rows as {base}, so it is not another run" in err
    other = write_table(tmp_path / "other.jsonl", [*SCORES[:-1], 0.0])
    assert judge(base, target, "--repeat", other, "--drop-points", 5)[0] == 0


def test_equal_scores_without_answers_are_noted(judge: Judge, tmp_path: Path) -> None:
    base = write_table(tmp_path / "base.jsonl", SCORES)
    words = "all scores are the same in both logs: check that they are of two models"
    assert words in judge(base, write_table(tmp_path / "again.jsonl", SCORES))[1]
    assert words not in judge(base, write_table(tmp_path / "other.jsonl", [1.0, *SCORES[1:]]))[1]


def test_a_load_test_that_is_the_base_again_is_refused(judge: Judge, tmp_path: Path) -> None:
    base = write_vllm(tmp_path / "base.json")
    target = tmp_path / "target.json"
    target.write_text(json.dumps(json.loads(base.read_text("utf-8")), indent=1), "utf-8")
    code, _, err = judge(base, target)
    assert code == 4
    assert f"{target}: it has the same times as {base}, so it is the same run" in err
    assert judge(base, write_vllm(tmp_path / "other.json", seed=1))[0] == 0


def test_a_run_at_another_time_is_another_run(tmp_path: Path) -> None:
    first = read_log(write_lm_eval(tmp_path / "a", {"gsm8k": SCORES}))
    second = read_log(write_lm_eval(tmp_path / "b", {"gsm8k": SCORES}))
    assert is_same_run(first, second) is (first.time == second.time)
    assert not is_same_run(first, read_log(write_lm_eval(tmp_path / "c", {"gsm8k": SCORES[1:]})))


@pytest.mark.parametrize(
    ("change", "is_same"),
    [
        pytest.param(lambda rows: rows[::-1], True, id="another order"),
        pytest.param(lambda rows: [{**row, "seconds": 0.5} for row in rows], True, id="a further column"),
        pytest.param(
            lambda rows: [{**row, "seconds": at} for at, row in enumerate(rows)][::-1], True, id="both"
        ),
        pytest.param(lambda rows: rows[:-1], False, id="a row less"),
        pytest.param(lambda rows: [rows[0], *rows[:0:-1]], True, id="the same first row"),
        pytest.param(
            lambda rows: [{**row, "score": rows[at - 1]["score"]} for at, row in enumerate(rows)][::-1],
            False,
            id="scores of other rows",
        ),
        pytest.param(
            lambda rows: [{**row, "answer": "x" * (at == 9)} for at, row in enumerate(rows)][::-1],
            False,
            id="another answer",
        ),
        pytest.param(
            lambda rows: [{**row, "score": 1.0 if row["id"] == "0" else row["score"]} for row in rows][::-1],
            False,
            id="another score",
        ),
        pytest.param(lambda rows: [{**row, "id": f"n{row['id']}"} for row in rows], False, id="other ids"),
    ],
)
def test_rows_are_matched_by_id(
    tmp_path: Path, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]], is_same: bool
) -> None:
    rows: list[dict[str, Any]] = [
        {"id": str(at), "score": score, "answer": f"a{at}"} for at, score in enumerate(SCORES)
    ]
    paths = tmp_path / "base.jsonl", tmp_path / "again.jsonl"
    for path, lines in zip(paths, (rows, change(rows)), strict=True):
        path.write_text("".join(json.dumps(row) + "\n" for row in lines), "utf-8")
    assert is_same_run(*map(read_log, paths)) is is_same


def test_no_score_equals_no_score() -> None:
    def make_log(*scores: float | None, name: str = "em") -> Log:
        def rows() -> Iterator[Row]:
            return (Row(str(at), {name: score}) for at, score in enumerate(scores))

        return Log("simulated", "log", {"task": TaskLog(rows)})

    assert is_same_run(make_log(1.0, nan), make_log(1.0, float("nan")))
    assert is_same_run(make_log(1.0, nan), make_log(1.0, None))
    assert not is_same_run(make_log(1.0, nan), make_log(1.0, 0.0))
    assert not is_same_run(make_log(1.0), make_log(1.0, name="f1"))


def test_a_target_that_is_given_twice_is_refused(judge: Judge, tmp_path: Path) -> None:
    base = write_table(tmp_path / "base.jsonl", SCORES)
    target = write_table(tmp_path / "int8.jsonl", [*SCORES[:-1], 0.0])
    code, _, err = judge(base, target, target, "--drop-points", 5)
    assert code == 4
    assert f"{target}: this target was given twice, expected each target once" in err
    folder = tmp_path / "other"
    folder.mkdir()
    shutil.copy(target, folder)
    assert judge(base, target, folder / target.name, "--drop-points", 5)[0] == 0


def test_assert_within_warns_of_the_notes_on_logs(tmp_path: Path) -> None:
    base = write_table(tmp_path / "base.jsonl", SCORES)
    target = write_table(tmp_path / "target.jsonl", [1.0, *SCORES[1:-1]])
    with pytest.warns(UserWarning, match="of 400 samples 1 is only in the base's log") as warned:
        assert_within(base, target, drop_points=5, missing="drop", higher_is_better=["em"])
    assert warned[0].filename == __file__
    with pytest.raises(DataError, match="1 is only in the base's log"):
        assert_within(base, target, drop_points=5)

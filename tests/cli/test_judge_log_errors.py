"""`slimgate judge` on logs: logs that do not compare, broken logs and wrong options are one line."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.judge_command import Judge
from support.lm_eval_logs import draw_scores, lose_answers, write_lm_eval, write_lm_eval_pair

from slimgate.logs.base_log import write_base_log
from slimgate.logs.find import read_log


@pytest.fixture
def base() -> list[float]:
    return draw_scores(0, wrong=0.2)


REFUSED: dict[str, tuple[dict[str, Any], str, str | None]] = {
    "other prompts": (
        {"prompt": "Question {id} ?"},
        r'are not comparable: gsm8k: prompts differ in 400 of 400 samples \("0", "1", "2" and 397 more\), '
        r'first "Question 0\?" and "Question 0 \?"; accept it by --allow prompt',
        "prompt",
    ),
    "other documents": (
        {"rows": {"doc_hash": "0" * 64}},
        "gsm8k: documents differ in 400 of 400 samples .* accept it by --allow document",
        "document",
    ),
    "other targets": (
        {"rows": {"target_hash": "0" * 64}},
        "gsm8k: targets differ in 400 of 400 samples .* accept it by --allow target",
        "target",
    ),
    "other shots": (
        {"results": {"n-shot": {"gsm8k": 5}}},
        r'not comparable: gsm8k: shots \{"seed": null, "shots": 0\} and \{"seed": 1234, "shots": 5\}; '
        "accept it by --allow shots",
        "shots",
    ),
    "another limit": (
        {"results": {"n-samples": {"gsm8k": {"original": 400, "effective": 400}}}},
        r"gsm8k: limit 400 of 9999 samples and none \(400 samples\); accept it by --allow limit",
        "limit",
    ),
    "another chat template": (
        {"results": {"chat_template_sha": "abc"}},
        r'gsm8k: chat template \{"chat_template_sha": null\} and \{"chat_template_sha": "abc"\}; accept it',
        "chat_template",
    ),
    "another version": (
        {"results": {"versions": {"gsm8k": 3.0}}},
        r"gsm8k: task version 1\.0 and 3\.0; accept it by --allow version",
        "version",
    ),
    "other generation settings": (
        {"results": {"config": {"gen_kwargs": {"temperature": 1.0}}}},
        r'gsm8k: generation settings \{"gen_kwargs": \{\}\} and \{"gen_kwargs": \{"temperature": 1\.0\}\}',
        "generation",
    ),
    "another filter": (
        {"rows": {"filter": "strict"}},
        "gsm8k: filter '', 'strict' is in only one of the logs",
        None,
    ),
    "another metric": ({"metric": "f1"}, "gsm8k: no metric in common: .* has acc, .* has f1", None),
    "another direction": (
        {"results": {"higher_is_better": {"gsm8k": {"acc": False}}}},
        "metric acc is better when higher in one log and not in the other",
        None,
    ),
    "a score that is infinite": (
        {"rows": {"acc": float("inf")}},
        "target gsm8k: sample 0: score acc is inf, expected a finite number",
        None,
    ),
    "a sample twice": (
        {"rows": {"doc_id": 7}},
        'target gsm8k: 1 sample occurs more than once: "7"; expected one row per sample',
        None,
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_logs_that_do_not_compare_are_refused_in_one_line(
    judge: Judge, tmp_path: Path, base: list[float], name: str
) -> None:
    more, expected, allow = REFUSED[name]
    logs = write_lm_eval_pair(tmp_path, base, lose_answers(base, 1), **more)
    code, out, err = judge(*logs, "--drop-points", 3)
    assert (code, out, err.count("\n")) == (4, "", 1)
    assert re.search(expected, err), err
    base_file = tmp_path / "base.parquet"
    write_base_log(read_log(logs[0]), base_file)
    assert judge(base_file, logs[1], "--drop-points", 3)[2] == err.replace(str(logs[0]), str(base_file))
    if allow is not None:
        code, out, _ = judge(*logs, "--drop-points", 3, "--allow", allow)
        assert code == 0
        assert re.search(r"^note: gsm8k: .*(differ|and)", out, re.MULTILINE)


def _another_task(folder: Path) -> None:
    write_lm_eval(folder / "target", {"arc": [1.0, 0.0]})


def _a_task_less(folder: Path) -> None:
    write_lm_eval(folder / "base", {"gsm8k": [1.0, 0.0], "arc": [1.0, 1.0]})
    write_lm_eval(folder / "target", {"gsm8k": [1.0, 0.0]})


def _interrupted(folder: Path) -> None:
    (file,) = write_lm_eval(folder / "target", {"gsm8k": [1.0, 0.0]}).glob("samples_*")
    file.write_text(file.read_text("utf-8")[:-40], "utf-8")


def _no_samples(folder: Path) -> None:
    write_lm_eval(folder / "target", {"gsm8k": []}, results={"n-samples": {}})


def _fewer_samples(folder: Path) -> None:
    write_lm_eval(folder / "target", {"gsm8k": [1.0]}, results={"n-samples": {}})


def _two_models(folder: Path) -> None:
    for model in ("a", "b"):
        write_lm_eval(folder / "target" / model, {"gsm8k": [1.0, 0.0]})


def _no_log(folder: Path) -> None:
    (folder / "target").mkdir()
    (folder / "target/notes.txt").write_text("nothing", "utf-8")


def _empty_folder(folder: Path) -> None:
    (folder / "target").mkdir()


def _broken_results(folder: Path) -> None:
    (
        write_lm_eval(folder / "target", {"gsm8k": [1.0, 0.0]}) / "results_2026-01-02T03-04-05.000000.json"
    ).write_text('{"n-shot": ', "utf-8")


def _foreign_rows(folder: Path) -> None:
    (file,) = write_lm_eval(folder / "target", {"gsm8k": [1.0, 0.0]}).glob("samples_*")
    file.write_text('{"doc_id": 0, "score": 1}\n', "utf-8")


BROKEN: dict[str, tuple[Callable[[Path], None], str]] = {
    "no task in common": (
        _another_task,
        "no task in common: .*target lacks the task gsm8k; .*base lacks the task arc",
    ),
    "a task less": (
        _a_task_less,
        "are not comparable: .*target lacks the task arc; accept it by --allow tasks",
    ),
    "a line that ends early": (
        _interrupted,
        "line 2 is not JSON .*; the line is incomplete: was the run that wrote it interrupted",
    ),
    "no samples": (_no_samples, r"/samples_gsm8k_.*\.jsonl: no samples, expected at least one; run "),
    "fewer samples": (
        _fewer_samples,
        r'1 is only in the base\'s log \("1"\): --missing drop leaves them out',
    ),
    "several models": (
        _two_models,
        r"the logs in 2 folders \(.*/target/a, .*/target/b\) are of several models; give the folder of one",
    ),
    "no log": (
        _no_log,
        "no reader knows this folder; expected a log of aiperf, baseline, deepeval, evalscope, evalution, ",
    ),
    "an empty folder": (_empty_folder, "target: the folder is empty, expected a log in it"),
    "broken results": (_broken_results, "results_.*json: not JSON: Expecting value"),
    "rows of another tool": (_foreign_rows, "line 1 is not a sample of lm-eval .*expected doc_id, metrics"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_logs_are_refused_in_one_line(judge: Judge, tmp_path: Path, name: str) -> None:
    write, expected = BROKEN[name]
    write_lm_eval(tmp_path / "base", {"gsm8k": [1.0, 0.0]})
    write(tmp_path)
    code, out, err = judge(tmp_path / "base", tmp_path / "target", "--drop-points", 3)
    assert (code, out, err.count("\n")) == (4, "", 1)
    assert re.search(expected, err), err


@pytest.mark.parametrize("option", ["--pooled-points", "--slice-points", "--analyses"])
def test_an_option_of_0_is_not_ignored(judge: Judge, tmp_path: Path, option: str) -> None:
    for name in ("base", "target"):
        (tmp_path / f"{name}.csv").write_text("id,label,prediction\n0,a,a\n1,b,b\n", "utf-8")
    files = tmp_path / "base.csv", tmp_path / "target.csv"
    assert judge(*files, option, 0)[0] == 4
    if option != "--analyses":
        budgets = tmp_path / "budgets.toml"
        budgets.write_text("[budgets]\naccuracy = { drop_points = 20 }\n", "utf-8")
        code, _, err = judge(*files, option, 0, "--budgets", budgets)
        assert (code, f"{option} and --budgets were given, expected one of them" in err) == (4, True)


def test_an_option_of_logs_is_named_where_prediction_files_came(judge: Judge, tmp_path: Path) -> None:
    for name in ("base", "target"):
        (tmp_path / f"{name}.csv").write_text("row,intent,answer\n0,a,a\n1,b,b\n")
    files = tmp_path / "base.csv", tmp_path / "target.csv"
    columns = ["--id", "row", "--label", "intent", "--prediction", "answer"]
    code, _, err = judge(*files, *columns, "--allow", "document")
    assert code == 4
    assert "--allow was given with prediction files, but is only for logs; leave it out" in err
    code, _, err = judge(*files, *columns, "--slice", "intent")
    assert code == 4
    assert "--slice and --id were given: with --slice, prediction files are read as tables, whose" in err
    code, _, err = judge(tmp_path, files[1], "--drop-points", 2)
    assert code == 4
    assert "a folder was given, but a table is one file in it; name the file, such as " in err
    write_lm_eval(tmp_path / "log", {"gsm8k": [1.0, 0.0]})
    table = tmp_path / "scores.csv"
    table.write_text("id,task,metric,score\na,gsm8k,acc,1\nb,gsm8k,acc,0\n")
    code, _, err = judge(table, tmp_path / "log", "--drop-points", 2)
    assert code == 4
    assert "are not comparable (read as table and as lm_eval): " in err


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (
            ["--allow", "promt"],
            "--allow promt: expected one of tasks, metrics, document, prompt.*Did you mean prompt",
        ),
        (["--format", "lmeval"], '"lmeval": no such reader of logs.*Did you mean lm_eval'),
        (["--label", "x"], "--label was given with logs"),
        (["--budgets", "missing.toml"], "missing.toml: cannot be read: No such file"),
    ],
)
def test_wrong_options_are_one_line(
    judge: Judge, tmp_path: Path, base: list[float], options: list[str], expected: str
) -> None:
    code, _, err = judge(*write_lm_eval_pair(tmp_path, base, base), *options)
    assert (code, err.count("\n")) == (4, 1)
    assert re.search(expected, err), err


def test_a_log_is_not_judged_against_itself(judge: Judge, tmp_path: Path, base: list[float]) -> None:
    folder, _ = write_lm_eval_pair(tmp_path, base, base)
    assert "base and target are the same path" in judge(folder, folder, "--drop-points", 2)[2]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        pytest.param("bas", "no such file or folder. Did you mean base?", id="typo"),
        pytest.param("gone/base", "no such file or folder, and no folder {folder}/gone", id="no folder"),
        pytest.param(
            "bse/v1/log",
            "no such file or folder, and no folder {folder}/bse. Did you mean base?",
            id="typo in a folder",
        ),
        pytest.param(
            r"logs\base",
            "no such file or folder; write / between folders, which also works on Windows",
            id="backslash",
        ),
    ],
)
def test_a_missing_log_names_the_nearest_path(
    judge: Judge, tmp_path: Path, base: list[float], wrong: str, message: str
) -> None:
    _, target = write_lm_eval_pair(tmp_path, base, base)
    code, _, err = judge(tmp_path / wrong, target, "--drop-points", 2)
    assert (code, err) == (4, f"slimgate judge: {tmp_path / wrong}: {message.format(folder=tmp_path)}\n")


def test_a_table_without_a_task_beside_a_log_is_one_line(judge: Judge, tmp_path: Path) -> None:
    log = write_lm_eval(tmp_path / "base", {"gsm8k": [1.0, 0.0]})
    table = tmp_path / "target.csv"
    table.write_text("id,score\n0,1\n1,0\n")
    code, _, err = judge(log, table, "--drop-points", 2)
    assert (code, err.count("\n")) == (4, 1)
    assert "(log of lm_eval) and " in err
    assert "expected two logs of one tool, or a table whose column task has the task gsm8k" in err

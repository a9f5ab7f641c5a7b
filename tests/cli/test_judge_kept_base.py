"""A base that is judged once and kept: later targets need no log of it, and are judged as against the log."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slimgate._system.digests import file_sha256
from slimgate.cli.main import main
from slimgate.errors import DataError
from slimgate.logs.base_log import write_base_log
from slimgate.logs.budgets import LogBudgets
from slimgate.logs.find import read_log
from slimgate.logs.pairs import list_shared_tasks
from slimgate.logs.rules import Differences, Rules
from slimgate.logs.verdicts import judge_logs
from slimgate.plugins.reader import SETTINGS, Log, Row, TaskLog
from slimgate.record.run import read_record

WRITTEN = Path(__file__).parents[1] / "logs/written_by_tools"
# The logs of lm-eval there hold 10 samples of 300.
SHORTENED = ("--missing", "drop")
RULES = Rules(missing="drop")
Judge = Callable[..., tuple[int, Any, str]]


@pytest.fixture
def judge(capsys: pytest.CaptureFixture[str]) -> Judge:
    def run(*arguments: object) -> tuple[int, Any, str]:
        capsys.readouterr()
        code = main(["judge", *map(str, arguments), "--drop-points", "40", "--json"])
        out, err = capsys.readouterr()
        return code, json.loads(out) if out else None, err

    return run


def without_times(printed: Any) -> Any:
    """What --json prints of one target, without when it was measured and where the base was read."""
    (target,) = printed.values()
    for facts in (*target["quality"].values(), target["behaviour"]):
        del facts["measured"]
    return {key: value for key, value in target.items() if key != "notes"}


@pytest.mark.parametrize(
    ("base", "target", "options"),
    [
        ("lm_eval/base", "lm_eval/int4", SHORTENED),
        ("promptfoo/base.json", "promptfoo/target.json", ("--higher-is-better", "wording")),
    ],
    ids=["lm_eval", "promptfoo"],
)
def test_a_kept_base_gives_its_logs_verdict_to_the_last_digit(
    judge: Judge, tmp_path: Path, base: str, target: str, options: tuple[str, ...]
) -> None:
    logs = WRITTEN / base, WRITTEN / target
    code, expected, _ = judge(*logs, *options, "--report", tmp_path / "report")
    accept = ["accept", str(tmp_path / "report"), "--name", "v1", "--baselines", str(tmp_path / "kept")]
    assert main([*accept, "--reason", "a test"]) == 0
    shutil.rmtree(tmp_path / "report")
    facts = without_times(expected)
    for path in ("kept/v1", "kept/v1/report", "kept/v1/report/base.parquet"):
        judged = judge(tmp_path / path, logs[1], *options)
        assert judged[0] == code, judged[2]
        assert without_times(judged[1]) == facts


@pytest.mark.parametrize("change", ["replaced", "added", "removed"])
def test_a_base_log_that_was_not_judged_is_refused(
    judge: Judge, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: str
) -> None:
    """A worse base would let every later model pass."""
    files = [write_scores(tmp_path / f"{name}.jsonl", wrong) for name, wrong in (("base", 0), ("bad", 40))]
    judge(*files, "--report", tmp_path / "report")
    judge(*files[::-1], "--report", tmp_path / "other")
    changed = tmp_path / "report" / ("base-0002.parquet" if change == "added" else "base.parquet")
    changed.unlink(missing_ok=True)
    if change != "removed":
        shutil.copyfile(tmp_path / "other/base.parquet", changed)
    expected = f"{changed}: it is not the log of the base that {tmp_path / 'report/run.json'} judged"
    accept = ["accept", str(tmp_path / "report"), "--name", "v1", "--baselines", str(tmp_path / "kept")]
    capsys.readouterr()
    assert main([*accept, "--reason", "a test"]) == 4
    assert expected in capsys.readouterr().err
    if change != "removed":
        code, _, error = judge(tmp_path / "report", files[1])
        assert (code, expected in error) == (4, True)


def test_digests_of_a_base_that_are_no_digests_are_one_line(
    judge: Judge, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [write_scores(tmp_path / f"{name}.jsonl", wrong) for name, wrong in (("base", 0), ("bad", 40))]
    judge(*files, "--report", tmp_path / "report")
    record_file = tmp_path / "report/run.json"
    record = json.loads(record_file.read_text("utf-8"))
    record["task"]["source"]["base_logs"] = 5
    record_file.write_text(json.dumps(record), "utf-8")
    capsys.readouterr()
    accept = ["accept", str(tmp_path / "report"), "--name", "v1", "--baselines", str(tmp_path / "kept")]
    assert main([*accept, "--reason", "a test"]) == 4
    expected = f"{record_file}: base_logs is 5, expected the digest of each log of the base; restore the "
    assert expected in capsys.readouterr().err


def test_a_kept_base_is_kept_again_as_it_is(judge: Judge, tmp_path: Path) -> None:
    base, target = WRITTEN / "lm_eval/base", WRITTEN / "lm_eval/int4"
    judge(base, target, *SHORTENED, "--report", tmp_path / "first")
    judge(tmp_path / "first", target, *SHORTENED, "--report", tmp_path / "second")
    first, second = (read_log(tmp_path / name) for name in ("first", "second"))
    assert {name: list(task.rows()) for name, task in first.tasks.items()} == {
        name: list(task.rows()) for name, task in second.tasks.items()
    }


@pytest.mark.parametrize("base", ["base.jsonl", "other"], ids=["the log itself", "another report"])
def test_a_report_as_the_target_is_refused(judge: Judge, tmp_path: Path, base: str) -> None:
    """Its log is that of the base, so a target that lost 20 points would pass."""
    files = [write_scores(tmp_path / f"{name}.jsonl", wrong) for name, wrong in (("base", 0), ("int4", 10))]
    judge(*files, "--report", tmp_path / "report")
    judge(*files, "--report", tmp_path / "other")
    code, _, error = judge(tmp_path / base, tmp_path / "report")
    assert code == 4
    assert "report: a report keeps the log of its base and not of its target; give the" in error


def test_the_scores_of_a_report_are_refused_as_a_table(judge: Judge, tmp_path: Path) -> None:
    """They do not state that an error rate is better when lower, so a model with more errors would pass."""
    for name, errors in (("base", 5), ("int4", 25)):
        rows = "".join(f"{at},error_rate,{int(at < errors)}\n" for at in range(50))
        (tmp_path / f"{name}.csv").write_text(f"id,metric,score\n{rows}", "utf-8")
    judge(tmp_path / "base.csv", tmp_path / "int4.csv", "--report", tmp_path / "report")
    code, _, error = judge(*(tmp_path / f"report/outcomes/{name}.parquet" for name in ("teacher", "int4")))
    assert code == 4
    assert "teacher.parquet: these are the scores of a record, which name no metric and no direction" in error


def test_a_kept_base_is_no_second_run_of_the_base(judge: Judge, tmp_path: Path) -> None:
    base, target = WRITTEN / "lm_eval/base", WRITTEN / "lm_eval/int4"
    judge(base, target, *SHORTENED, "--report", tmp_path / "kept")
    code, _, error = judge(base, target, *SHORTENED, "--repeat", tmp_path / "kept")
    assert code == 4
    assert "it has the same rows as" in error


def test_a_kept_base_states_the_version_of_its_tool(tmp_path: Path) -> None:
    """One version writes the same options into both logs, so an option in one of them is a difference."""

    def log_of(name: str, options: dict[str, Any]) -> Log:
        row, settings = Row("0", {"acc": 1.0}), {"task_args": options}
        task = TaskLog(lambda: iter([row]), settings=settings, shared_options=("task_args",))
        return Log("tool", name, {"sums": task}, environment={"harness": {"tool": "1.2"}})

    base, target = log_of("base", {}), log_of("target", {"hint": "half \ud800 of a pair"})
    write_base_log(base, tmp_path / "base.parquet")
    stored = read_log(tmp_path / "base.parquet")
    assert stored.environment == base.environment
    for log in (base, stored):
        with pytest.raises(DataError, match="are not comparable: sums: task arguments"):
            judge_logs(log, target, LogBudgets(), Rules())
    write_base_log(target, tmp_path / "base.parquet")
    assert read_log(tmp_path / "base.parquet").tasks["sums"].settings == target.tasks["sums"].settings


def write_scores(file: Path, wrong: int) -> Path:
    rows = [{"id": at, "score": int(at >= wrong), "higher_is_better": True} for at in range(50)]
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows), "utf-8")
    return file


def read_kept(folder: Path) -> list[float]:
    """The number of wrong answers in each kept run of the base."""
    log = read_log(folder)
    runs = [run.tasks[""].rows() for run in (log, *log.further)]
    return [sum(1 - (row.scores["score"] or 0) for row in rows) for rows in runs]


def test_a_kept_base_may_be_replaced_by_itself(judge: Judge, tmp_path: Path) -> None:
    files = [write_scores(tmp_path / f"{wrong}.jsonl", wrong) for wrong in range(6)]
    report = "--report", tmp_path / "kept"
    judge("--base", *files[:2], "--target", *files[2:4], *report)
    further = file_sha256(tmp_path / "kept/base-0002.parquet")
    assert judge("--base", tmp_path / "kept", "--target", *files[3:5], *report)[0] == 0
    assert read_kept(tmp_path / "kept") == [0, 1]
    digests = read_record(tmp_path / "kept/run.json").task.source["files"]
    assert digests[f"{tmp_path / 'kept'} (base-0002.parquet)"] == further
    assert judge("--base", files[5], tmp_path / "kept", "--target", *files[3:5], *report)[0] == 0
    assert read_kept(tmp_path / "kept") == [5, 0, 1]
    judge(*files[:2], *report)
    assert read_kept(tmp_path / "kept") == [0]


def test_a_record_without_a_base_log_removes_an_earlier_one(judge: Judge, tmp_path: Path) -> None:
    files = [write_scores(tmp_path / f"{wrong}.jsonl", wrong) for wrong in (0, 1)]
    judge(*files, "--report", tmp_path / "kept")
    for name, last in (("base", "a"), ("target", "b")):
        answers = "".join(f"{at},{'ab'[at % 2]},{'ab'[at % 2]}\n" for at in range(99))
        (tmp_path / f"{name}.csv").write_text(f"id,label,prediction\n{answers}99,a,{last}\n", "utf-8")
    judge(tmp_path / "base.csv", tmp_path / "target.csv", "--report", tmp_path / "kept")
    with pytest.raises(DataError, match="its record has no base log"):
        read_log(tmp_path / "kept")


def test_all_that_a_log_says_of_samples_and_tasks_is_kept(tmp_path: Path) -> None:
    rows = [
        Row("a", {"f1": 0.25, "em": None}, "strict", {"prompt": "p" * 900}, "doc", prompt="p" * 900 + "end"),
        Row("b", {"f1": 1.0}, error="time-out", truncated=True, not_numbers=("pairs",), answer="x" * 900),
        Row("c", {}, answer="\ud800", target="t"),
        Row("d", {"f1": 1.0}),
    ]
    settings = {name: {"given": (1, None, "ü")} for name in SETTINGS}
    log = Log("mine", "logs", {"one": TaskLog(lambda: iter(rows), {"f1": False}, settings)}, "m", ("note",))
    write_base_log(log, tmp_path / "base.parquet")
    stored = read_log(tmp_path / "base.parquet")
    stored_rows = list(stored.tasks["one"].rows())
    assert (stored.tool, stored.model, stored.notes[1:]) == ("mine", "m", ("note",))
    assert stored.tasks["one"].higher_is_better == {"f1": False}
    for before, after in zip(rows, stored_rows, strict=True):
        for name in ("id", "scores", "filter", "cluster", "error", "truncated", "not_numbers"):
            assert getattr(before, name) == getattr(after, name)
    assert (stored_rows[0].prompt or "").endswith("end")
    assert (len(stored_rows[0].prompt or ""), len(stored_rows[1].answer or "")) == (400, 400)
    assert stored.tasks["one"].optional_metrics is False
    assert list_shared_tasks(log, stored, Differences(("log", "kept"))) == ["one"]
    judged = judge_logs(stored, log, LogBudgets(measured=("f1",)), RULES)
    assert {comparison.filter: comparison.changed for comparison in judged.comparisons} == {
        "": 0,
        "strict": None,
    }


def test_a_record_without_the_log_of_a_base_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}", "utf-8")
    with pytest.raises(
        DataError,
        match="its record has no base log, because only records of judged logs of answers have one; give",
    ):
        read_log(tmp_path)


def test_a_baseline_of_two_suites_is_refused(judge: Judge, tmp_path: Path) -> None:
    for name in ("one", "two"):
        logs = WRITTEN / "lm_eval/base", WRITTEN / "lm_eval/int4"
        judge(*logs, *SHORTENED, "--report", tmp_path / name)
    with pytest.raises(DataError, match=r"it has the logs of 2 bases; name one of .*one, .*two"):
        read_log(tmp_path)


def test_a_report_without_its_base_has_no_record(judge: Judge, tmp_path: Path) -> None:
    """The record was written first, so an interrupted report had the base of an earlier run next to it."""
    (tmp_path / "out" / "base.parquet" / "blocked").mkdir(parents=True)
    files = [WRITTEN / "promptfoo" / f"{name}.json" for name in ("base", "target")]
    code, _, err = judge(*files, "--higher-is-better", "wording", "--report", tmp_path / "out")
    assert code == 4, err
    assert not (tmp_path / "out" / "run.json").exists()

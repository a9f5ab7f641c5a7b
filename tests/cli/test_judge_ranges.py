"""`slimgate judge` on scores that are no right or wrong: declared ranges, caps, two scales."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.judge_command import Judge

from slimgate import Log, LogRow, TaskLog, assert_within
from slimgate.errors import DataError, SuiteError
from slimgate.judge import QualityBudget
from slimgate.logs.base_log import read_base_log, write_base_log
from slimgate.logs.budgets import LogBudgets
from slimgate.logs.comparisons import Comparison
from slimgate.logs.rules import Rules
from slimgate.logs.verdicts import judge_logs
from slimgate.record.run import read_record

N = 600
GRADES = np.tile([8.0, 9.0, 10.0], N // 3)


def table(path: Path, scores: Any, metric: str = "grade", *, up: bool = True) -> Path:
    lines = [f"{at},{metric},{score},{str(up).lower()}" for at, score in enumerate(scores)]
    path.write_text("\n".join(["id,metric,score,higher_is_better", *lines]) + "\n", "utf-8")
    return path


def pair(
    folder: Path, base: Any, target: Any, metric: str = "grade", *, up: bool = True
) -> tuple[Path, Path]:
    return tuple(  # type: ignore[return-value]
        table(folder / f"{name}.csv", scores, metric, up=up)
        for name, scores in (("base", base), ("target", target))
    )


def damaged(rows: int, score: float = 1.0, base: Any = GRADES) -> Any:
    return np.where(np.arange(len(base)) < rows, score, base)


def test_without_a_range_a_drop_fails_and_never_passes(judge: Judge, tmp_path: Path) -> None:
    code, out, _ = judge(*pair(tmp_path, GRADES, GRADES), "--drop-points", 50)
    assert code == 1
    assert "INCONCLUSIVE, the range of grade is not known" in out
    assert "--range grade=LOW:HIGH" in out
    code, out, _ = judge(*pair(tmp_path, GRADES, GRADES - 2), "--drop-points", 50)
    assert (code, "FAIL (0 PASS, 1 FAIL" in out) == (1, True)


def test_a_range_of_the_user_decides(judge: Judge, tmp_path: Path) -> None:
    logs = pair(tmp_path, GRADES, GRADES)
    code, out, _ = judge(*logs, "--drop-points", 5, "--range", "grade=1:10")
    assert (code, "PASS (1 PASS" in out) == (0, True)
    # at worst 9 × (1 - 0.05^(1/600)) = 0.0448 of a grade
    assert judge(*logs, "--drop-points", 4.4, "--range", "grade=1:10")[0] == 1
    file = tmp_path / "budgets.toml"
    file.write_text('[budgets]\n"grade" = { drop_points = 5.0 }\n[ranges]\ngrade = [1, 10]\n', "utf-8")
    assert judge(*logs, "--budgets", file)[0] == 0


@pytest.mark.parametrize(
    ("metric", "option", "worst"),
    [
        pytest.param("similarity", ["--range", "similarity=-1:1"], "-1 to 1", id="of-the-user"),
        pytest.param("cosine_similarity", [], "-1 to 1", id="of-its-name"),
    ],
)
def test_missing_as_wrong_needs_0_to_be_the_worst(
    judge: Judge, tmp_path: Path, metric: str, option: list[str], worst: str
) -> None:
    shares = np.full(N, 0.75)
    logs = pair(tmp_path, shares, shares[: N - 12], metric)  # the target lacks 2 %
    code, _, err = judge(*logs, "--drop-points", 2.7, "--missing", "as-wrong", *option)
    assert (code, f"{metric}: scores from {worst} have another worst value than 0" in err) == (4, True)
    code, out, _ = judge(*logs, "--drop-points", 2.7, "--missing", "as-wrong", "--range", f"{metric}=0:1")
    assert (code, "drop 1.5 points" in out) == (0, True)


def test_a_score_outside_of_its_range_is_named(judge: Judge, tmp_path: Path) -> None:
    logs = pair(tmp_path, GRADES, damaged(1, 11.0))
    code, _, err = judge(*logs, "--drop-points", 5, "--range", "grade=1:10")
    assert code == 4
    assert "sample 0 of the target has a score of 11, outside of the range 1 to 10 that --range" in err
    shares = pair(tmp_path, np.full(N, 0.5), damaged(1, 1.5, np.full(N, 0.5)), "f1")
    code, _, err = judge(*shares, "--drop-points", 5)
    assert code == 4
    assert (
        "outside of the range 0 to 1 that its name or its log says; if it has another, write --range f1="
        in err
    )


@pytest.mark.parametrize("metric", ["grade", "accuracy", "chrf"])
def test_shares_against_percents_are_refused(judge: Judge, tmp_path: Path, metric: str) -> None:
    shares = np.linspace(0.4, 0.95, N)
    for base, target in ((shares, 100 * shares), (100 * shares, shares)):
        code, _, err = judge(*pair(tmp_path, base, target, metric), "--drop-points", 5)
        assert code == 4
        assert "the logs have scores of two scales (base" in err


def test_percents_against_shares_are_refused_if_they_look_better(judge: Judge, tmp_path: Path) -> None:
    shares = np.linspace(0.05, 0.4, N)
    code, _, err = judge(*pair(tmp_path, 100 * shares, shares, "wer", up=False), "--drop-points", 5)
    assert (code, "two scales" in err) == (4, True)
    code, out, _ = judge(*pair(tmp_path, shares, 100 * shares, "wer", up=False), "--drop-points", 5)
    assert (code, "FAIL" in out) == (1, True)


def test_a_wer_is_capped_and_the_answers_that_loop_are_judged(judge: Judge, tmp_path: Path) -> None:
    base = np.full(N, 0.1)
    logs = pair(tmp_path, base, damaged(12, 5.1, base), "wer", up=False)
    code, out, _ = judge(*logs, "--drop-points", 5)
    assert code == 1
    assert re.search(r"\] with the cap, budget 5\.0, above the cap of 1: 2 % \[", out)
    assert "limit 0.62 %, 10.0 without the cap" in out
    # the values of the table are without the cap: its drop says that it is not their difference
    assert re.search(r"^wer .* 0\.100 +0\.200 +2\.0 \[\S+, \S+\] with the cap ", out, re.MULTILINE)
    capped = tmp_path / "capped"
    judge(*logs, "--drop-points", 5, "--report", capped)
    for name in ("report.md", "pr-comment.md"):
        assert "] with the cap |" in (capped / name).read_text("utf-8")
    assert '] with the cap"' in (capped / "report.html").read_text("utf-8")  # of a chart
    assert judge(*pair(tmp_path, base, base, "wer", up=False), "--drop-points", 5)[0] == 0


def test_scores_that_happen_to_be_shares_are_not_declared_to_be(judge: Judge, tmp_path: Path) -> None:
    same = np.full(N, 0.5)
    code, out, _ = judge(*pair(tmp_path, same, same, "helpfulness"), "--drop-points", 2)
    assert (code, "the range of helpfulness is not known" in out) == (1, True)
    code, _, err = judge(*pair(tmp_path, same, same, "helpfulness"), "--pooled-points", 2)
    assert code == 4
    assert "not declared to be from 0 to 1, so they cannot be pooled" in err
    declared = ("--range", "helpfulness=0:1")
    assert judge(*pair(tmp_path, same, same, "helpfulness"), "--pooled-points", 2, *declared)[0] == 0


def test_scores_of_0_and_1_are_right_or_wrong_by_default(judge: Judge, tmp_path: Path) -> None:
    right = np.tile([0.0, 1.0, 1.0], N // 3)
    assert judge(*pair(tmp_path, right, right, "mine"), "--drop-points", 2)[0] == 0
    # a word error rate of 0 or 1 may be 5 in an answer that was not drawn
    assert judge(*pair(tmp_path, right, right, "wer", up=False), "--drop-points", 2)[0] == 1
    assert judge(*pair(tmp_path, right, right, "mine"), "--drop-points", 2, "--range", "mine=0:10")[0] == 1


@pytest.mark.parametrize("budget", ["drop_relative = 0.02", "floor = 8.5"])
def test_no_kind_of_budget_passes_without_a_range(judge: Judge, tmp_path: Path, budget: str) -> None:
    logs = pair(tmp_path, GRADES, GRADES)
    file = tmp_path / "budgets.toml"
    file.write_text(f'[budgets]\n"*" = {{ {budget} }}\n', "utf-8")
    assert judge(*logs, "--budgets", file)[0] == 1
    assert judge(*logs, "--budgets", file, "--range", "grade=1:10")[0] == 0


def test_a_budget_on_both_sides_asks_for_the_range(judge: Judge, tmp_path: Path) -> None:
    logs = pair(tmp_path, GRADES, GRADES)
    code, _, err = judge(*logs, "--equivalent-points", 5)
    assert (code, "declare it by --range grade=LOW:HIGH" in err) == (4, True)
    assert judge(*logs, "--equivalent-points", 5, "--range", "grade=1:10")[0] == 0


def test_a_range_that_is_none_is_refused(judge: Judge, tmp_path: Path) -> None:
    logs = pair(tmp_path, GRADES, GRADES)
    for option, message in (("grade", "expected NAME=LOW:HIGH"), ("grad=1:10", "Did you mean grade?")):
        code, _, err = judge(*logs, "--drop-points", 5, "--range", option)
        assert (code, message in err) == (4, True)
    file = tmp_path / "budgets.toml"
    file.write_text('[budgets]\n"*" = { drop_points = 5.0 }\n[ranges]\ngrade = [10, 1]\n', "utf-8")
    code, _, err = judge(*logs, "--budgets", file)
    assert (code, '[ranges] "grade"' in err) == (4, True)


def test_a_name_with_two_ranges_is_refused(judge: Judge, tmp_path: Path) -> None:
    logs = pair(tmp_path, GRADES, GRADES)
    code, _, err = judge(*logs, "--drop-points", 5, "--range", "grade=1:10", "--range", "grade=1:100")
    assert code == 4
    assert "--range grade=1:100: grade was given twice, expected each name once" in err


def test_the_record_has_range_and_cap(judge: Judge, tmp_path: Path) -> None:
    base = np.full(N, 0.1)
    logs = pair(tmp_path, base, damaged(3, 2.1, base), "wer", up=False)
    judge(*logs, "--drop-points", 8, "--report", tmp_path / "report")
    record = read_record(tmp_path / "report/run.json")
    [comparison] = record.task.params["comparisons"]
    assert (comparison["range"], comparison["cap"]) == ([0.0, None], 1.0)
    [budget] = record.variants[1].quality["wer"].budgets
    assert budget.capped is not None
    assert (budget.capped.above, budget.capped.above_max) == (pytest.approx(0.005), pytest.approx(0.01))
    text = json.loads((tmp_path / "report/run.json").read_text("utf-8"))
    assert text["variants"][1]["quality"]["wer"]["budgets"][0]["capped"]["uncapped"] == pytest.approx(1.0)


# --- in Python


def log(scores: Any, ranges: dict[str, tuple[float, float]]) -> Log:
    rows = [LogRow(str(at), {"grade": float(score)}) for at, score in enumerate(scores)]
    return Log("mine", "mine", {"": TaskLog(lambda: iter(rows), {"grade": True}, ranges=ranges)})


def judged(base: Log, target: Log) -> Comparison:
    budgets = LogBudgets((("*", (QualityBudget("drop_points", 5.0),)),))
    return judge_logs(base, target, budgets, Rules()).comparisons[0]


def test_a_reader_may_declare_the_range() -> None:
    ends = {"grade": (1.0, 10.0)}
    assert judged(log(GRADES, ends), log(GRADES, ends)).judged.verdict == "PASS"
    assert judged(log(GRADES, {}), log(GRADES, {})).judged.verdict == "INCONCLUSIVE"
    with pytest.raises(DataError, match="grade is from 1 to 10 in mine and from 0 to 10 in mine"):
        judged(log(GRADES, ends), log(GRADES, {"grade": (0.0, 10.0)}))


def test_a_kept_base_keeps_the_range(tmp_path: Path) -> None:
    write_base_log(log(GRADES, {"grade": (0.0, float("inf"))}), tmp_path / "base.parquet")
    [task] = read_base_log(tmp_path / "base.parquet", "base").tasks.values()
    assert task.ranges == {"grade": (0.0, float("inf"))}


def test_an_assertion_takes_ranges(tmp_path: Path) -> None:
    better = np.where(np.arange(len(GRADES)) == np.argmin(GRADES), np.max(GRADES), GRADES)
    logs = pair(tmp_path, GRADES, better)
    assert_within(*logs, metric="grade", drop_points=5.0, ranges={"grade": (1, 10)})
    with pytest.raises(AssertionError, match="the range of grade is not known"):
        assert_within(*logs, metric="grade", drop_points=5.0)
    with pytest.raises(SuiteError, match=r"assert_within .*grade.: \(10, 1\) was given"):
        assert_within(*logs, metric="grade", drop_points=5.0, ranges={"grade": (10, 1)})


def test_points_of_scores_in_percent_are_explained(judge: Judge, tmp_path: Path) -> None:
    percent = np.where(np.arange(400) % 10 < 9, 100.0, 0.0)
    logs = pair(tmp_path, percent, percent, "mine")
    line = "mine: scores go up to 100, and a point is 0.01 of their unit, so a budget of 2 is 0.02 in 100"
    _, out, _ = judge(*logs, "--drop-points", 2, "--range", "mine=0:100")
    assert f"{line}; for 2 in 100 write 200\n" in out
    for options in (("200", "mine=0:100"), ("2", "mine=0:101")):
        assert line not in judge(*logs, "--drop-points", options[0], "--range", options[1])[1]

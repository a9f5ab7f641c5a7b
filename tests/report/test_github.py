"""Annotations as GitHub parses them, and the summary of a step."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from support.kl_logs import write_kl_log
from support.releases import INT8, Model, write_release
from support.sample_record import change_variant

from slimgate.cli.main import main
from slimgate.judge.budget_kinds import QualityBudget
from slimgate.judge.budget_tables import FlipsBudget, SliceBudget
from slimgate.record.run import RunRecord, read_record
from slimgate.record.verdicts import CarriedResult
from slimgate.report.github import append_summary, is_in_actions, list_budget_annotations
from slimgate.report.pr_comment import format_pr_comment
from slimgate.results.base import Verdict
from slimgate.results.self_test import SelfTest, SelfTestFacts

# What the runner takes a command for.
COMMAND = re.compile(r"::(error|warning|notice) file=([^,:]*),title=([^,:]*)::([^\r\n]*)")
LOST = {**INT8, "loan": range(400)}


def record(folder: Path, **models: Model) -> RunRecord:
    return read_record(write_release(folder, models=models) / "run.json")


def parsed(line: str) -> tuple[str, ...]:
    match = COMMAND.fullmatch(line)
    assert match is not None, line
    return tuple(
        part.replace("%2C", ",")
        .replace("%3A", ":")
        .replace("%0A", "\n")
        .replace("%0D", "\r")
        .replace("%25", "%")
        for part in match.groups()
    )


def test_a_budget_that_does_not_hold_is_an_error_on_its_suite(tmp_path: Path) -> None:
    run = record(tmp_path, int8=Model(), bad=Model(wrong=LOST))
    (line,) = list_budget_annotations(run, "models/bench/a,b.toml")
    level, file, title, message = parsed(line)
    assert (level, file, title) == ("error", "models/bench/a,b.toml", "slimgate: bad, accuracy")
    assert message == run.variant("bad").quality["accuracy"].message


def test_errors_come_before_undecided_budgets_which_are_warnings(tmp_path: Path) -> None:
    undecided = Model(budgets=(QualityBudget("drop_points", 0.75),))
    lines = list_budget_annotations(record(tmp_path, unsure=undecided, bad=Model(wrong=LOST)), "x.toml")
    assert [parsed(line)[0::2][:2] for line in lines] == [
        ("error", "slimgate: bad, accuracy"),
        ("warning", "slimgate: unsure, accuracy"),
    ]


def test_undecided_slices_are_a_warning(tmp_path: Path) -> None:
    run = record(tmp_path, int8=Model(slices=SliceBudget(drop_points=1.0)))
    (line,) = list_budget_annotations(run, "x.toml")
    level, _, title, message = parsed(line)
    assert (level, title) == ("warning", "slimgate: int8, slices")
    assert "0 inside, 4 undecided" in message


def test_a_percent_sign_and_a_line_break_arrive_as_they_were(tmp_path: Path) -> None:
    error = "broken: 100 % of it\r\nsecond line, with 5%0A::error::x"
    (line,) = list_budget_annotations(record(tmp_path, broken=Model(error=error)), "x.toml")
    assert parsed(line)[3] == error


def test_flips_over_their_budget_are_reported_by_their_own_line(tmp_path: Path) -> None:
    run = record(tmp_path, int8=Model(wrong=LOST, budgets=(), flips=FlipsBudget(flips_max_percent=0.5)))
    (line,) = list_budget_annotations(run, "x.toml")
    assert parsed(line)[2] == "slimgate: int8, flips"
    assert "right to wrong" in parsed(line)[3]


def test_a_kl_log_over_its_budget_has_the_line_of_the_log(tmp_path: Path) -> None:
    log = write_kl_log(tmp_path / "q4.log", np.full(200, 0.05))
    budgets = tmp_path / "b.toml"
    budgets.write_text("[budgets]\nkl = { mean_max = 0.02 }\n", "utf-8")
    assert main(["judge", str(log), "--budgets", str(budgets), "--report", str(tmp_path / "out")]) == 1
    judged = read_record(tmp_path / "out/run.json")
    (line,) = list_budget_annotations(judged, "x.toml")
    level, _, title, message = parsed(line)
    assert (level, title) == ("error", "slimgate: q4, kl")
    assert message.startswith("q4: mean KL, nats a token 0.05 [")
    assert message.endswith(": FAIL")


def test_what_is_not_gated_is_not_annotated(tmp_path: Path) -> None:
    assert (
        list_budget_annotations(record(tmp_path, shown=Model(wrong=LOST, gated=False, reason="x")), "x.toml")
        == []
    )


def test_a_gate_that_is_not_sound_is_annotated(tmp_path: Path) -> None:
    part = SelfTestFacts(verdict=Verdict.FAIL, message="the copy answers otherwise", measured="")
    run = record(tmp_path).model_copy(update={"self_test": SelfTest(identical=part)})
    assert parsed(list_budget_annotations(run, "x.toml")[0])[2:] == (
        "slimgate: the gate itself",
        part.message,
    )


@pytest.mark.parametrize(("value", "expected"), [("true", True), ("false", False), (None, False)])
def test_only_a_workflow_is_reported(value: str | None, expected: bool) -> None:
    assert is_in_actions({} if value is None else {"GITHUB_ACTIONS": value}) is expected


def test_the_summary_is_added_to_what_is_there(tmp_path: Path) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    append_summary(summary, "| ü |")
    assert summary.read_text("utf-8") == "before\n| ü |\n"


def test_what_would_act_on_a_screen_is_shown(tmp_path: Path) -> None:
    (line,) = list_budget_annotations(record(tmp_path, broken=Model(error="a\x1b[31m\u202e\0\nb")), "x.toml")
    assert parsed(line)[3] == "a\\x1b[31m\\u202e\\x00\nb"


def test_what_an_earlier_run_judged_says_so(tmp_path: Path) -> None:
    run = record(tmp_path, bad=Model(wrong=LOST))
    old = CarriedResult(kind="quality", name="accuracy", measured="2026-11-20T14:02:03+00:00")
    carried = change_variant(run, "bad", carried=[old])
    (line,) = list_budget_annotations(carried, "x.toml")
    when = "carried over, measured 2026-11-20 14:02 UTC"
    assert parsed(line)[2] == f"slimgate: bad, accuracy ({when})"
    message = run.variant("bad").quality["accuracy"].message
    assert f"{message} ({when})" in format_pr_comment([carried]).replace("\\", "")
    assert when not in format_pr_comment([run])

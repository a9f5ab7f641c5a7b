"""The first screen of a report: what was judged, what to ship, and where a failing variant loses most."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from support.sample_record import EXAMPLE, MEASURED, make_sample_record

from slimgate._system.git import describe_commit
from slimgate.cli.main import main
from slimgate.record.run import RunRecord, format_record_json
from slimgate.report.head import format_first_screen, list_worst_losses
from slimgate.report.markdown import format_suite_report
from slimgate.report.page.budgets import rank_budgets
from slimgate.report.page.drawing import draw_margin
from slimgate.report.recommendation import recommend
from slimgate.report.trust import describe_run, format_origin
from slimgate.results.base import Verdict
from slimgate.results.self_test import SelfTest, SelfTestFacts


def with_self_test(**parts: SelfTestFacts | None) -> RunRecord:
    return make_sample_record(self_test=EXAMPLE.self_test.model_copy(update=parts))


def self_test_part(verdict: Verdict) -> SelfTestFacts:
    return SelfTestFacts(verdict=verdict, message="self-test, a part", measured=MEASURED)


def test_a_run_has_teacher_machine_baseline_and_self_test() -> None:
    record = make_sample_record()
    assert describe_run(record).startswith(
        "Teacher, digest 1d3c9b76dd6a · AMD EPYC, 2 cores · baseline none · "
    )
    assert describe_run(record).endswith("self-test 3 of 3 as expected")
    undecided = with_self_test(planted_fault=self_test_part(Verdict.INCONCLUSIVE))
    assert describe_run(undecided).endswith("self-test 2 of 3 as expected (not the planted fault)")
    assert describe_run(make_sample_record(self_test=SelfTest())).endswith("self-test not run")


def test_the_commit_follows_the_time() -> None:
    suite = EXAMPLE.suite.model_copy(update={"commit": "0123456789ab+"})
    assert format_origin(make_sample_record(suite=suite)).endswith(" UTC · commit 0123456789ab+")


def test_a_commit_is_read_from_git_and_changed_files_add_a_plus(tmp_path: Path) -> None:
    describe_commit.cache_clear()
    assert describe_commit(tmp_path) is None  # no repository
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["add", "."], [*who, "commit", "-q", "--allow-empty", "-m", "first"]):
        (tmp_path / "suite.toml").write_text("title = 1")
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True)
    describe_commit.cache_clear()
    commit = describe_commit(tmp_path)
    assert commit is not None
    assert len(commit) == 12
    (tmp_path / "suite.toml").write_text("title = 2")
    describe_commit.cache_clear()
    assert describe_commit(tmp_path) == f"{commit}+"


def test_a_gate_that_failed_its_self_test_ships_nothing() -> None:
    failed = with_self_test(planted_fault=self_test_part(Verdict.PASS))
    [line] = recommend(failed)
    assert (
        line
        == "**Ship nothing**: the gate failed its self-test (planted fault), so no verdict can be trusted."
    )
    assert "Ship **" not in format_first_screen(failed)


def test_what_to_ship_is_before_what_does_not_hold() -> None:
    screen = format_first_screen(make_sample_record())
    assert screen.index("**What to ship**") < screen.index("**What does not hold**")


def test_a_failing_variant_says_its_surest_loss_and_new_mistakes() -> None:
    [line] = list_worst_losses(make_sample_record())
    assert line.startswith(
        "**student** loses most on label networkx (1,500 rows): accuracy 0.829 → 0.765, drop 6.4"
    )
    assert line.endswith("; by answering pandas for networkx (96 more rows, 260 before).")


@pytest.mark.parametrize(
    ("value", "interval", "limit", "options", "places"),
    [
        (0.0, None, 2.0, {}, (100.0, 100.0)),
        (1.0, (0.5, 1.5), 2.0, {}, (62.5, 87.5)),
        (3.0, (2.0, 4.0), 2.0, {}, (0.0, 50.0)),
        (3.0, (2.0, 4.0), 2.0, {"is_minimum": True, "zero": 1.0}, (50.0, 100.0)),
        (-1.0, (-1.5, 0.5), 2.0, {"two_sided": True}, (62.5, 100.0)),
    ],
    ids=["no-drop", "inside", "outside", "a-speed-up", "two-sided"],
)
def test_a_margins_limit_is_in_the_middle_and_its_inside_right(
    value: float,
    interval: tuple[float, float] | None,
    limit: float,
    options: dict[str, bool],
    places: tuple[float, float],
) -> None:
    drawn = draw_margin(value, interval, limit, **options)
    assert drawn is not None
    assert drawn.limits == (50.0,)
    assert (drawn.low, drawn.high) == places


def test_budgets_are_ranked_from_the_worst_of_gated_variants() -> None:
    lines = rank_budgets(make_sample_record().variants)
    verdicts = [line.budget.verdict for line in lines]
    order = [Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS]
    assert verdicts == sorted(verdicts, key=order.index)
    assert {line.model for line in lines}.isdisjoint({"teacher", "pruned-50"})
    failed = [line.budget.margin for line in lines if line.budget.verdict is Verdict.FAIL]
    assert all(margin is not None and margin.high <= 50 for margin in failed)


def test_the_report_command_writes_the_reports_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = make_sample_record()
    (tmp_path / "run.json").write_text(format_record_json(record))
    assert main(["report", str(tmp_path), "--out", str(tmp_path / "again")]) == 0
    report = (tmp_path / "again/report.md").read_text()
    pictures = [f"plots/{path.name}" for path in (tmp_path / "again/plots").glob("*.svg")]
    assert report.startswith(
        format_suite_report(record).partition("## Details")[0].partition("## Answers")[0][:500]
    )
    assert all(picture in report for picture in pictures)
    assert '<h2 id="budgets-head">Budgets</h2>' in (tmp_path / "again/report.html").read_text()
    assert capsys.readouterr().out.split() == [f"{tmp_path}/again/report.md", f"{tmp_path}/again/report.html"]
    assert main(["report", str(tmp_path / "missing")]) == 4

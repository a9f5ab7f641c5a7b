"""seeds = [...]: stochastic variants are built by each, and the spread between builds is told apart."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.user_repository import COMMON, Ran, run_pytest

from slimgate.record.files import read_record_file
from slimgate.record.lines import make_lines
from slimgate.record.mlflow import make_model_runs

pytestmark = pytest.mark.slow

SUITE = """\
[suite]
title = "three builds"
extends = "_common.toml"
seeds = [0, 1, 2]

[task]
splits = { train = 200, calibration = 16, selection = 40, gate = 400, confirm = 200 }

[variants]
tuned = { steps = [{ keep_layers = [0, 3] }, { fine_tune = { epochs = 1, learning_rate = 1e-3 } }] }
int8 = { from = "tuned", steps = [{ int8_dynamic = {} }] }
pruned = { steps = [{ magnitude_prune = { sparsity = 0.5 } }] }

[budgets]
accuracy = { drop_points = 50.0, drop_relative = 0.9, floor = 0.1 }
mcc = { drop_points = 100.0, over = "builds" }
"""


@pytest.fixture(scope="module")
def ran(repository: Path) -> Ran:
    (repository / "bench/builds.toml").write_text(SUITE)
    assert "seed" not in COMMON
    return run_pytest(repository, "bench/builds.toml", "-k", "quality")


def test_every_seed_is_in_the_record_for_what_is_stochastic(ran: Ran) -> None:
    assert ran.code == 0, ran.out
    assert ran.record("builds")["suite"]["seeds"] == [0, 1, 2]
    for name in ("tuned", "int8"):
        facts = ran.find_variant("builds", name)["quality"]["accuracy"]
        builds = facts["builds"]
        assert builds["seeds"] == [0, 1, 2]
        assert builds["drops_points"][0] == pytest.approx(facts["drop_points"])
        assert builds["mean_points"] == pytest.approx(sum(builds["drops_points"]) / 3)
        assert builds["sd_points"] > 0
        assert builds["sampling_se_points"] > 0
    assert ran.find_variant("builds", "pruned")["quality"]["accuracy"]["builds"] is None


def test_a_budget_over_builds_is_judged_on_their_mean(ran: Ran) -> None:
    facts = ran.find_variant("builds", "int8")["quality"]["mcc"]
    (budget,) = facts["budgets"]
    assert (budget["builds"], budget["verdict"]) == (3, "PASS")
    assert budget["value"] == pytest.approx(facts["builds"]["mean_points"])
    assert budget["interval"][0] < budget["value"] < budget["interval"][1]
    (equal,) = ran.find_variant("builds", "pruned")["quality"]["mcc"]["budgets"]
    assert (equal["builds"], equal["value"]) == (1, None)
    report = (ran.folder / "reports/latest/builds/report.md").read_text()
    assert "budget 100.0 over 3 builds: " in report
    assert "budget 100.0 (all builds are equal) " in report
    assert report.count("compares the builds of the first seed, not the methods") == 1
    shown = "{:.1f} [{:.1f}, {:.1f}] over 3 builds".format(budget["value"], *budget["interval"])
    assert shown in ran.out  # the table of the terminal has what the verdict is about


def test_lines_have_the_drop_of_all_builds(ran: Ran) -> None:
    record = read_record_file(ran.folder / "reports/latest/builds").record
    lines = {(line.variant, line.name): line for line in make_lines(record) if line.kind == "metric"}
    facts = ran.find_variant("builds", "int8")["quality"]["mcc"]
    judged, shown = lines["int8", "mcc"], lines["int8", "accuracy"]
    assert (judged.builds, shown.builds, lines["pruned", "mcc"].builds) == (3, 3, None)
    assert judged.drop == facts["builds"]["drops_points"][0]
    assert (judged.builds_drop, judged.builds_drop_sd) == (
        facts["builds"]["mean_points"],
        facts["builds"]["sd_points"],
    )
    assert [judged.builds_drop_low, judged.builds_drop_high] == facts["budgets"][0]["interval"]
    assert (shown.builds_drop_low, shown.builds_drop_high) == (None, None)  # its budgets are over rows
    logged = {run.name: run.metrics for run in make_model_runs(record)}
    assert logged["int8"]["metric/mcc/builds_drop_points"] == facts["builds"]["mean_points"]


def test_the_three_kinds_of_budget_stand_each_with_its_verdict(ran: Ran) -> None:
    facts = ran.find_variant("builds", "tuned")["quality"]["accuracy"]
    assert [(budget["kind"], budget["verdict"]) for budget in facts["budgets"]] == [
        ("drop_points", "PASS"),
        ("drop_relative", "PASS"),
        ("floor", "PASS"),
    ]
    low, high = facts["budgets"][2]["interval"]
    assert low < facts["value"] == facts["budgets"][2]["value"] < high
    report = (ran.folder / "reports/latest/builds/report.md").read_text()
    assert "Builds by seed" in report
    assert "floor 0.10: " in report


def test_a_second_run_builds_nothing(ran: Ran) -> None:
    again = run_pytest(ran.folder, "bench/builds.toml", "-k", "quality")
    assert again.code == 0
    for name in ("tuned", "int8"):
        facts = [run.find_variant("builds", name)["quality"]["accuracy"]["builds"] for run in (ran, again)]
        assert facts[0] == facts[1]
        assert again.find_variant("builds", name)["from_store"] is True


def test_a_budget_over_builds_has_confirm_answers_of_every_build(ran: Ran) -> None:
    confirmed = run_pytest(ran.folder, "bench/builds.toml", "--slimgate-confirm", "-q")
    assert confirmed.code == 0, confirmed.out
    (budget,) = confirmed.find_variant("builds", "int8")["confirm"]["mcc"]["budgets"]
    assert (budget["builds"], budget["verdict"]) == (3, "PASS")
    assert "budget 100.0 over 3 builds: " in confirmed.out


def test_separable_gated_variants_are_in_record_and_report(ran: Ran) -> None:
    separation = ran.record("builds")["separation"]
    assert (separation["metric"], separation["n"], separation["left_out"]) == ("accuracy", 400, [])
    assert sorted(separation["values"]) == ["int8", "pruned", "tuned"]
    assert len(separation["pairs"]) == 3
    report = (ran.folder / "reports/latest/builds/report.md").read_text()
    assert report.count("## Which variants can be told apart") == 1

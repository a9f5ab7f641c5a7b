"""`slimgate power`: what a number of rows can decide."""

from __future__ import annotations

import re

import numpy as np
import pytest

from slimgate.cli.main import main
from slimgate.judge.evidence import make_tango_evidence
from slimgate.judge.power import make_plan


def test_few_rows_cannot_decide_and_many_can(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["power", "--rows", "1319", "--flip-rate", "0.08", "--drop-points", "1"]) == 1
    out = capsys.readouterr().out
    assert out.startswith("1,319 rows cannot decide a budget of 1 point if 8 % of the samples change")
    assert "With about 4,972 rows, an equal model passes 80 % of the time." in out
    assert "4 repeats of each sample do the same" in out
    assert main(["power", "--rows", "5000", "--flip-rate", "0.08", "--drop-points", "1"]) == 0
    assert "repeats" not in capsys.readouterr().out


def test_a_model_at_the_budget_passes_one_time_in_twenty() -> None:
    planned = make_plan(1319, 0.08, 0.01)
    assert planned.at_budget is not None
    assert 0.04 < planned.at_budget.passes < 0.06
    assert 0.04 < planned.at_budget.fails < 0.06
    assert 0.45 < planned.at_budget.point_passes < 0.56
    assert planned.equal.fails < 0.01
    assert planned.equal.undecided == pytest.approx(1 - planned.equal.passes - planned.equal.fails)


@pytest.mark.parametrize(("rows", "flips", "margin"), [(100, 0.2, 0.0005), (1000, 0.01, 0.00005)])
def test_a_budget_below_one_row_fails_an_equal_model_rarely(rows: int, flips: float, margin: float) -> None:
    planned = make_plan(rows, flips, margin)
    assert planned.at_budget is not None
    assert planned.equal.fails < 0.055
    assert planned.at_budget.fails < 0.055


def test_a_budget_below_one_row_is_stated(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["power", "--rows", "100", "--flip-rate", "0.2", "--drop-points", "0.05"]) == 1
    assert "The budget is less than one sample." in capsys.readouterr().out
    assert main(["power", "--rows", "2000", "--flip-rate", "0.2", "--drop-points", "0.05"]) == 1
    assert "less than one sample" not in capsys.readouterr().out


def test_shares_are_those_of_the_test_that_judges_logs() -> None:
    rng = np.random.default_rng(5)
    n, psi, margin, runs = 300, 0.06, 0.03, 400
    base = np.ones(n)
    passes = 0
    for _ in range(runs):
        drawn = rng.random(n)
        before = np.where(drawn > 1 - psi / 2, 0.0, base)
        after = np.where(drawn < psi / 2, 0.0, base)
        passes += make_tango_evidence(before, after, higher_is_better=True).shows_below(margin)
    assert make_plan(n, psi, margin).equal.passes == pytest.approx(passes / runs, abs=0.07)


def test_a_drop_larger_than_the_flips_is_not_simulated() -> None:
    planned = make_plan(500, 0.015, 0.01)
    assert planned.at_budget is not None
    assert planned.twice is None


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["0", "0.1", "1"], "--rows 0: expected at least 1"),
        (["10", "8", "1"], "--flip-rate 8: expected a share above 0, at most 1, such as 0.08"),
        (["10", "0.1", "0"], "--drop-points 0: expected percentage points above 0 and under 100"),
    ],
)
def test_numbers_out_of_range_are_one_line(
    capsys: pytest.CaptureFixture[str], options: list[str], expected: str
) -> None:
    rows, flips, points = options
    assert main(["power", "--rows", rows, "--flip-rate", flips, "--drop-points", points]) == 4
    assert re.fullmatch(rf"slimgate power: {re.escape(expected)}\n", capsys.readouterr().err)


def test_both_sides_take_more_rows(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["power", "--rows", "3092", "--flip-rate", "0.05", "--equivalent-points", "1"]) == 1
    out = capsys.readouterr().out
    assert out.startswith("3,092 rows cannot decide a budget of ±1 point if 5 % of the samples change")
    assert "With about 4,342 rows, an equal model passes 80 % of the time." in out
    assert "loses or gains twice the budget" in out


def test_power_takes_one_budget(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["power", "--rows", "100", "--flip-rate", "0.05"]
    for more, problem in (
        ([], "one of the arguments --drop-points --equivalent-points is required"),
        (["--drop-points", "1", "--equivalent-points", "1"], "not allowed with argument"),
    ):
        assert main([*options, *more]) == 4
        assert problem in capsys.readouterr().err
    assert main([*options, "--equivalent-points", "0"]) == 4
    refused = capsys.readouterr().err
    assert "--equivalent-points 0: expected percentage points above 0 and under 100" in refused


def test_points_that_look_like_a_share_are_asked_about(capsys: pytest.CaptureFixture[str]) -> None:
    main(["power", "--rows", "360", "--flip-rate", "0.05", "--drop-points", "0.02"])
    question = "points are percentage points, so 0.02 is 0.02 %. Did you mean --drop-points 2?"
    assert capsys.readouterr().err == f"slimgate power: --drop-points 0.02: {question}\n"

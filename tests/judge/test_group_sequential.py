"""Levels of several analyses: as published, and together 5 % on simulated walks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import ndtri

from slimgate.judge.budget_kinds import QualityBudget
from slimgate.judge.decision import choose_verdict
from slimgate.judge.family import (
    InterimAnalysis,
    compute_analysis_levels,
    compute_analysis_rows,
    find_due_analysis,
    withhold_family_fails,
)
from slimgate.judge.metrics import load_metric
from slimgate.judge.power import make_plan
from slimgate.judge.quality import judge_quality
from slimgate.judge.verdict import QualityJudgement
from slimgate.outcomes import class_outcomes
from slimgate.results.base import CappedFacts


def test_the_bounds_are_those_of_lan_and_demets() -> None:
    # ldbounds 2.0, bounds(t=1:5/5, iuse=1, alpha=0.025), also in Lan and DeMets' own table
    z = [-ndtri(level) for level in compute_analysis_levels(5, 0.025)]
    assert z == pytest.approx([4.8769, 3.3569, 2.6803, 2.2898, 2.0310], abs=2e-4)


def test_one_analysis_has_the_whole_level() -> None:
    assert compute_analysis_levels(1) == pytest.approx((0.05,), abs=1e-12)


@pytest.mark.parametrize("analyses", [2, 4, 7, 20])
def test_all_analyses_together_are_wrong_in_5_percent(analyses: int) -> None:
    rng = np.random.default_rng(analyses)
    runs = 200_000
    walk = np.cumsum(rng.standard_normal((runs, analyses)), axis=1) / np.sqrt(np.arange(1, analyses + 1))
    crossed = (walk >= -ndtri(np.array(compute_analysis_levels(analyses)))).any(axis=1).mean()
    assert crossed == pytest.approx(0.05, abs=4 * np.sqrt(0.05 * 0.95 / runs))


@pytest.mark.parametrize("analyses", [3, 8])
def test_levels_rise_and_stay_under_the_whole(analyses: int) -> None:
    levels = compute_analysis_levels(analyses)
    assert sorted(levels) == list(levels)
    assert levels[-1] < 0.05


@pytest.mark.parametrize("analyses", [0, 21])
def test_a_number_of_analyses_out_of_range_is_refused(analyses: int) -> None:
    with pytest.raises(ValueError, match=f"{analyses} analyses, expected 1 to 20"):
        compute_analysis_levels(analyses)


def test_a_analysis_is_due_from_its_share_of_the_rows_on() -> None:
    assert compute_analysis_rows(1319, 4) == (330, 660, 990, 1319)
    due = [find_due_analysis(rows, 1319, 4) for rows in (329, 330, 659, 660, 1318, 1319)]
    assert [analysis and analysis.number for analysis in due] == [None, 1, 1, 2, 3, 4]


def judgement(p_value: float, p_holds: float) -> QualityJudgement:
    """A real judgement, with other p-values and the verdict that follows from them alone."""
    outcomes = class_outcomes(["a"] * 100, ["a"] * 100, classes=["a", "b"])
    judged = judge_quality(load_metric("accuracy"), outcomes, outcomes, [QualityBudget("drop_points", 2.0)])
    verdict = choose_verdict(inside=p_value <= 0.05, outside=p_holds <= 0.05)
    budget = replace(judged.budgets[0], verdict=verdict, p_value=p_value, p_holds=p_holds)
    return replace(judged, budgets=(budget,))


@pytest.mark.parametrize(
    ("p_value", "p_holds", "number", "expected"),
    [
        (0.03, 0.97, 2, "INCONCLUSIVE"),
        (0.005, 0.99, 2, "PASS"),
        (0.03, 0.97, 4, "PASS"),
        (0.045, 0.96, 4, "INCONCLUSIVE"),  # the last level is 4.27 %
        (0.97, 0.03, 2, "INCONCLUSIVE"),
        (0.99, 0.005, 2, "FAIL"),
        (0.5, 0.5, 4, "INCONCLUSIVE"),
    ],
)
def test_a_verdict_must_hold_at_the_level_of_its_look(
    p_value: float, p_holds: float, number: int, expected: str
) -> None:
    [judged] = withhold_family_fails(
        [judgement(p_value, p_holds)], [InterimAnalysis(number, 4, 25 * number, 100)]
    )
    assert judged.verdict == expected
    if expected == "INCONCLUSIVE" and min(p_value, p_holds) < 0.05:
        assert f"but not at analysis {number} of 4 (level " in (judged.family or "")


def test_an_analysis_names_no_condition_of_a_cap_at_5_percent() -> None:
    capped = CappedFacts(
        cap=1.0,
        uncapped=0.1,
        above=0.0,
        above_interval=(0.0, 0.03),
        above_max=0.02,
        derived=True,
        undecided=("share",),
    )
    alone = judgement(0.2, 0.8)
    alone = replace(alone, budgets=(replace(alone.budgets[0], capped=capped),))
    [judged] = withhold_family_fails([alone], [InterimAnalysis(2, 4, 50, 100)])
    assert judged.budgets[0].capped == replace(capped, undecided=())
    [judged] = withhold_family_fails([alone])
    assert judged.budgets[0].capped == capped


def test_fails_of_many_budgets_share_the_level_of_their_look() -> None:
    """Of two budgets the first falls at half of the level, the other then at the whole."""
    full, half = compute_analysis_levels(4)[1], compute_analysis_levels(4, 0.025)[1]
    assert half < full / 2
    analysis = InterimAnalysis(2, 4, 50, 100)
    just_over = judgement(0.99, half * 1.01)
    passing = judgement(0.001, 0.999)
    first, _ = withhold_family_fails([just_over, passing], [analysis, analysis])
    assert (first.verdict, "Holm's correction" in (first.family or "")) == ("INCONCLUSIVE", True)
    under = judgement(0.99, half * 0.99)
    assert [judged.verdict for judged in withhold_family_fails([under, just_over], [analysis, analysis])] == [
        "FAIL"
    ] * 2


def test_analyses_save_rows_and_cost_little_power() -> None:
    once, often = (make_plan(1319, 0.08, 0.02, analyses=analyses) for analyses in (1, 4))
    assert once.equal.rows == 1319
    assert often.equal.rows < 0.85 * 1319
    assert once.equal.passes - often.equal.passes < 0.02
    assert often.at_budget is not None
    assert often.at_budget.passes == pytest.approx(0.05, abs=0.006)

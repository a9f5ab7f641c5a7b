"""Which way each kind of budget is looser, and what another limit would make of the figures."""

from __future__ import annotations

import pytest

from slimgate.judge.decision import withhold_budget_pass
from slimgate.record.budgets import Judged, clean_reason, is_looser, judge_under_limit, list_judged_budgets
from slimgate.record.run import VariantRecord
from slimgate.results.base import BudgetFacts, CappedFacts, Verdict
from slimgate.results.latency import LatencyFacts


@pytest.mark.parametrize(
    "kind",
    ["drop_points", "equivalent_points", "drop_relative", "error_increase_relative", "increase_relative",
     "ceiling", "flips_max_percent", "slices.accuracy", "memory_ratio_max"],
)  # fmt: skip
def test_more_is_looser_where_a_limit_is_the_most(kind: str) -> None:
    assert is_looser(kind, 2.0, 1.0)
    assert not is_looser(kind, 1.0, 2.0)
    assert not is_looser(kind, 1.0, 1.0)


@pytest.mark.parametrize("kind", ["floor", "speedup_min", "compression_min"])
def test_less_is_looser_where_a_limit_is_the_least(kind: str) -> None:
    assert is_looser(kind, 1.0, 2.0)
    assert not is_looser(kind, 2.0, 1.0)


@pytest.mark.parametrize(
    ("kind", "limit", "verdict"),
    [
        ("drop_points", 3.0, Verdict.PASS),
        ("drop_points", 1.5, Verdict.INCONCLUSIVE),
        ("drop_points", 0.5, Verdict.FAIL),
        ("floor", 0.5, Verdict.PASS),
        ("floor", 1.5, Verdict.INCONCLUSIVE),
        ("floor", 3.0, Verdict.FAIL),
    ],
)
def test_another_limit_is_held_against_the_interval(kind: str, limit: float, verdict: Verdict) -> None:
    facts = BudgetFacts(kind=kind, limit=9, verdict=Verdict.PASS)
    assert judge_under_limit(kind, limit, Judged("accuracy", None, facts, 1.6, (1.0, 2.0))) is verdict


def test_what_is_exact_holds_at_its_limit() -> None:
    size = Judged("size", None, BudgetFacts(kind="compression_min", limit=1, verdict=Verdict.PASS), 1.5, None)
    assert judge_under_limit("compression_min", 1.5, size) is Verdict.PASS
    assert judge_under_limit("compression_min", 1.6, size) is Verdict.FAIL


def test_of_slices_no_single_figure_decides() -> None:
    facts = BudgetFacts(kind="slices.accuracy", limit=5, verdict=Verdict.PASS)
    assert judge_under_limit("slices.accuracy", 1.0, Judged("slices", None, facts, None, None)) is None


def test_what_no_interval_decides_is_undecided_under_every_limit() -> None:
    facts = BudgetFacts(kind="speedup_min", limit=1.2, verdict=Verdict.INCONCLUSIVE)
    unseen = Judged("latency", "b1", facts, 2.0, (1.9, 2.1))
    assert judge_under_limit("speedup_min", 1.5, unseen) is Verdict.INCONCLUSIVE
    assert judge_under_limit("speedup_min", 3.0, unseen) is Verdict.INCONCLUSIVE
    slower = Judged("latency", "b1", facts, 1.3, (1.0, 1.6))
    assert judge_under_limit("speedup_min", 1.7, slower) is Verdict.FAIL


@pytest.mark.parametrize(
    ("limit", "verdict"),
    [(1.3, Verdict.PASS), (1.5, Verdict.INCONCLUSIVE), (2.5, Verdict.INCONCLUSIVE), (3.1, Verdict.FAIL)],
)
def test_another_limit_of_a_speed_up_must_be_cleared_by_as_much(limit: float, verdict: Verdict) -> None:
    """As `judge_speedup` does where the smallest delay that was seen was 30 %."""
    facts = BudgetFacts(kind="speedup_min", limit=1.5, verdict=Verdict.INCONCLUSIVE)
    times = LatencyFacts(
        speedup=2.0, speedup_interval=(1.73, 2.31), clearance=1.3, budgets=[facts], measured="now"
    )
    [judged] = list_judged_budgets(VariantRecord(name="a", parent="teacher", latency={"b1": times}))
    assert judge_under_limit("speedup_min", limit, judged) is verdict


@pytest.mark.parametrize("recorded", [1.2, 1.5, 1.55])
def test_no_limit_of_a_speed_passes_if_no_delay_was_seen(recorded: float) -> None:
    """Whether or not the recorded limit is inside the interval."""
    facts = BudgetFacts(kind="speedup_min", limit=recorded, verdict=Verdict.INCONCLUSIVE)
    times = LatencyFacts(
        speedup=1.5, speedup_interval=(1.4, 1.6), clearance=None, budgets=[facts], measured="now"
    )
    [judged] = list_judged_budgets(VariantRecord(name="a", parent="teacher", latency={"b1": times}))
    assert judge_under_limit("speedup_min", 1.1, judged) is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("recorded", [2.0, 3.0])
def test_no_limit_passes_a_verdict_that_was_withheld(recorded: float) -> None:
    facts = withhold_budget_pass(
        BudgetFacts(kind="drop_points", limit=recorded, verdict=Verdict.PASS, p_value=0.01)
    )
    judged = Judged("labels_f1_macro", None, facts, 0.5, (-1.5, 2.5))
    assert judge_under_limit("drop_points", 4.0, judged) is Verdict.INCONCLUSIVE


def test_a_failed_budget_passes_under_a_limit_that_holds() -> None:
    """Its p-value is 1 too."""
    facts = BudgetFacts(kind="drop_points", limit=1.0, verdict=Verdict.FAIL, p_value=1.0)
    judged = Judged("accuracy", None, facts, 35.0, (33.6, 36.4))
    assert judge_under_limit("drop_points", 50.0, judged) is Verdict.PASS


@pytest.mark.parametrize(("reason", "expected"), [(None, None), ("", None), (" \n", None), (" why ", "why")])
def test_a_reason_of_blanks_is_none(reason: str | None, expected: str | None) -> None:
    assert clean_reason(reason) == expected


@pytest.mark.parametrize(
    ("limit", "above", "derived", "verdict"),
    [
        (3.0, (0.0, 0.008), True, Verdict.PASS),
        (1.5, (0.0, 0.004), True, Verdict.INCONCLUSIVE),
        (2.5, (0.0, 0.012), True, Verdict.INCONCLUSIVE),
        (2.5, (0.0, 0.008), False, Verdict.PASS),
        (2.9, (0.02, 0.04), False, Verdict.FAIL),
        (2.9, (0.02, 0.04), True, Verdict.FAIL),
        (6.0, (0.01, 0.019), True, Verdict.PASS),
        (2.5, (0.0, 0.008), True, None),  # whether the third condition holds is not known
    ],
)
def test_a_capped_mean_is_also_held_to_the_share_above_the_cap(
    limit: float, above: tuple[float, float], derived: bool, verdict: Verdict | None
) -> None:
    """Of a budget of 3 at most 1 % may be above the cap; a derived limit moves with the budget."""
    capped = CappedFacts(
        cap=1.0, uncapped=1.7, above=0.01, above_interval=above, above_max=0.01, derived=derived
    )
    facts = BudgetFacts(kind="increase_relative", limit=3.0, verdict=Verdict.PASS, capped=capped)
    judged = Judged("perplexity", None, facts, 1.6, (1.0, 2.0))
    assert judge_under_limit("increase_relative", limit, judged) is verdict

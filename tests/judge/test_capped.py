"""Means of values without a bound: the capped mean, the share above the cap, and both together."""

from __future__ import annotations

from math import inf, log

import numpy as np
import pytest

from slimgate.errors import MeasureError, SuiteError
from slimgate.judge import QualityBudget, judge_quality
from slimgate.judge.budget_kinds import Over
from slimgate.judge.budget_tables import KlBudgetTable, LimitBudget, QualityBudgetTable
from slimgate.judge.capped import CappedRows, choose_cap
from slimgate.judge.message import format_message
from slimgate.judge.metrics import load_metric
from slimgate.judge.metrics.base import Metric, make_row_mean, mean_of, statistic_of_sums
from slimgate.judge.perplexity import judge_perplexity
from slimgate.judge.score_metric import SCORE, make_score_metric, make_score_outcomes
from slimgate.judge.token_kl import TokenKl, judge_tokens
from slimgate.outcomes import Floats, Outcomes
from slimgate.results.base import Verdict


def damaged(n: int, rows: int, nats: float, *, everywhere: float = 0.0) -> TokenKl:
    """Documents of one token; the first `rows` part by `nats`, all others by `everywhere`."""
    return TokenKl(np.where(np.arange(n) < rows, nats, everywhere), np.ones(n, dtype=np.bool_), np.arange(n))


def kl_verdict(tokens: TokenKl, limit: float, **options: float) -> Verdict:
    [judged] = judge_tokens(tokens, [LimitBudget("mean_max", limit, **options)])
    return judged.verdict


def test_a_row_counts_for_the_cap_and_no_more() -> None:
    rows = CappedRows(np.array([0.5, 6.0, -4.0, 0.0]), np.array([1.0, 2.0, 1.0, 1.0]), None, 1.0)
    # 0.5, 2 × 1, -1 and 0 over 5
    assert rows.capped.mean == pytest.approx(1.5 / 5)
    assert rows.mean == pytest.approx(2.5 / 5)
    assert rows.above.mean == pytest.approx(2 / 5)
    assert (rows.capped.best, rows.capped.worst) == (-1.0, 1.0)
    assert rows.up_to_worst.worst == 8.0


def test_builds_count_alike() -> None:
    rows = CappedRows(np.array([[0.0, 3.0], [0.0, 0.0]]), np.ones(2), None, 1.0)
    assert rows.above.mean == pytest.approx(0.25)
    assert rows.capped.mean == pytest.approx(0.25)


def test_the_cap_grows_with_the_budget() -> None:
    assert choose_cap(1.0, 0.02) == 1.0
    assert choose_cap(1.0, 0.8) == 1.6


@pytest.mark.parametrize(
    ("n", "expected"), [(1196, Verdict.INCONCLUSIVE), (1197, Verdict.PASS)], ids=["too few", "enough"]
)
def test_an_equal_model_passes_if_no_damaged_share_is_left_open(n: int, expected: Verdict) -> None:
    """The limit of the share is 0.02 / 8: 0.9975 to the power of n is to be at most 5 %."""
    assert kl_verdict(damaged(n, 0, 0.0), 0.02) is expected


def test_the_share_may_have_a_limit_of_its_own() -> None:
    # 0.98^149 is just under 5 %, and so is (1 - 0.02)^149 of the mean
    assert kl_verdict(damaged(149, 0, 0.0), 0.02, above_cap_max=0.02) is Verdict.PASS
    assert kl_verdict(damaged(148, 0, 0.0), 0.02, above_cap_max=0.02) is Verdict.INCONCLUSIVE


def test_rows_above_the_cap_fail_though_the_capped_mean_holds() -> None:
    """2 % of the documents count for 1 nat each: a mean of 0.02; 0.05 / 8 of them may be above the cap."""
    [judged] = judge_tokens(damaged(2000, 40, 1.1), [LimitBudget("mean_max", 0.05)])
    assert judged.value == pytest.approx(0.02)
    assert judged.interval is not None
    assert judged.interval[1] < 0.05
    assert judged.verdict is Verdict.FAIL


def test_half_in_small_losses_and_half_in_large_ones_is_no_pass() -> None:
    """Each limit holds alone: 0.011 of 0.02 capped, 0.125 % of 0.25 % above; the true mean is 0.02."""
    tokens = damaged(8000, 10, 8.0, everywhere=0.01)
    assert tokens.kl.mean() == pytest.approx(0.02, rel=0.01)
    assert kl_verdict(tokens, 0.02) is Verdict.INCONCLUSIVE
    assert kl_verdict(tokens, 0.02, above_cap_max=0.0025) is Verdict.PASS


def test_a_perplexity_whose_damage_is_rare_is_undecided() -> None:
    nats, tokens = np.full(200, 1250.0), np.full(200, 500)
    judged = judge_perplexity(nats, nats, tokens, [QualityBudget("increase_relative", 0.04)])
    assert judged.verdict is Verdict.INCONCLUSIVE
    # 610 documents of which none is damaged leave ln(1.04) / 8 open at 5 %; so many pass in 80 %
    assert 610 < (judged.n_needed or 0) < 1200
    line = format_message("int8", judged)
    assert "above the cap of 1: 0 % [0, 1.5], limit 0.49 %" in line
    assert "rows would decide" in line


def test_a_perplexity_shows_the_growth_without_the_cap() -> None:
    nats, tokens = np.full(100, 250.0), np.full(100, 100)
    worse = nats + np.where(np.arange(100) < 10, 500.0, 0.0)
    judged = judge_perplexity(nats, worse, tokens, [QualityBudget("increase_relative", 0.04)])
    # a tenth of the documents loses 5 nats a token, and counts for 1
    assert judged.drop_points == pytest.approx(100 * np.expm1(0.1))
    assert judged.value == pytest.approx(np.exp(2.5 + 0.5))
    [capped] = [budget.capped for budget in judged.budgets]
    assert capped is not None
    assert capped.uncapped == pytest.approx(np.expm1(0.5))
    assert capped.above_max == pytest.approx(log(1.04) / 8)
    assert judged.verdict is Verdict.FAIL


# --- metrics of rows


def scores(values: Floats) -> Outcomes:
    ids = np.arange(len(values)).astype(np.str_)
    return make_score_outcomes(ids, values, None, right=False)


WER = make_score_metric("wer", higher_is_better=False, zero_one=False, score_range=(0.0, np.inf), cap=1.0)


@pytest.mark.parametrize(
    ("n", "expected"), [(477, Verdict.INCONCLUSIVE), (478, Verdict.PASS)], ids=["too few", "enough"]
)
def test_an_equal_wer_passes_by_the_share_above_the_cap(n: int, expected: Verdict) -> None:
    """Budget 5 points: 0.05 / 8 of the rows may lose more than 1."""
    same = scores(np.full(n, 0.1))
    assert judge_quality(WER, same, same, [QualityBudget("drop_points", 5.0)]).verdict is expected


def test_answers_that_loop_count_for_the_cap() -> None:
    before = np.full(100, 0.1)
    after = np.where(np.arange(100) < 2, 5.1, before)
    judged = judge_quality(WER, scores(before), scores(after), [QualityBudget("drop_points", 5.0)])
    assert judged.drop_points == pytest.approx(2.0)
    [capped] = [budget.capped for budget in judged.budgets]
    assert capped is not None
    assert (capped.uncapped, capped.above) == (pytest.approx(10.0), pytest.approx(0.02))
    assert judged.value == pytest.approx(0.2)
    # the budget allows 5 points, and both of its conditions are open: no verdict by 100 rows
    assert judged.verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("kind", ["drop_points", "increase_relative", "ceiling"])
def test_every_kind_of_budget_looks_at_the_share_above(kind: str) -> None:
    limit = {"drop_points": 8.0, "increase_relative": 0.8, "ceiling": 0.2}[kind]
    same = scores(np.full(3000, 0.1))
    assert judge_quality(WER, same, same, [QualityBudget(kind, limit)]).verdict is Verdict.PASS
    loops = scores(np.where(np.arange(3000) < 150, 1.2, 0.1))
    judged = judge_quality(WER, same, loops, [QualityBudget(kind, limit)])
    assert judged.verdict is Verdict.FAIL
    [budget] = judged.budgets
    assert budget.capped is not None
    assert budget.capped.above == pytest.approx(0.05)


@pytest.mark.parametrize("over", ["rows", "builds"])
@pytest.mark.parametrize(
    ("low", "values", "floor", "expected"),
    [
        (-5.0, (2.5,) * 7 + (-5.0,) * 3, 0.5, Verdict.FAIL),  # 0.25, and 0.8 with -2 in place of -5
        (-5.0, (2.5,) * 7 + (-5.0,) * 3, 0.1, Verdict.PASS),
        (0.0, (10.0,) * 10, 5.0, Verdict.PASS),  # 2 with a cap of 2
        (0.0, (10.0,) * 3 + (0.0,) * 7, 5.0, Verdict.FAIL),
    ],
    ids=["low rows", "inside with low rows", "high rows", "low share of high rows"],
)
def test_a_floor_has_no_use_for_the_cap(
    over: Over, low: float, values: tuple[float, ...], floor: float, expected: Verdict
) -> None:
    metric = make_score_metric(
        "reward", higher_is_better=True, zero_one=False, score_range=(low, inf), cap=2.0
    )
    answers = scores(np.tile(np.array(values), 2000))
    budget = QualityBudget("floor", floor, cap=2.0, over=over)
    judged = judge_quality(metric, answers, answers, [budget], builds=[answers])
    assert judged.verdict is expected
    interval = judged.budgets[0].interval
    assert interval is not None
    assert interval[0] <= np.mean(values) <= interval[1]


def test_a_floor_may_state_another_cap_than_the_other_budgets() -> None:
    metric = make_score_metric(
        "reward", higher_is_better=True, zero_one=False, score_range=(0.0, inf), cap=2.0
    )
    answers = scores(np.full(2000, 1.0))
    budgets = QualityBudget("drop_points", 20.0, cap=5.0), QualityBudget("floor", 0.8, cap=8.0)
    judged = judge_quality(metric, answers, answers, budgets)
    assert [budget.verdict for budget in judged.budgets] == [Verdict.PASS, Verdict.PASS]


def test_a_score_of_unknown_range_fails_but_never_passes() -> None:
    grade = make_score_metric("grade", higher_is_better=True, zero_one=False, score_range=None)
    rng = np.random.default_rng(0)
    before = rng.integers(8, 11, 6000).astype(float)
    equal = judge_quality(grade, scores(before), scores(before), [QualityBudget("drop_points", 100.0)])
    assert (equal.verdict, equal.n_needed) == (Verdict.INCONCLUSIVE, None)
    assert format_message("t", equal).endswith(
        "INCONCLUSIVE, the range of grade is not known, so rare damage cannot be ruled out: declare it by "
        "--range grade=LOW:HIGH ([ranges] in a file)"
    )
    worse = judge_quality(grade, scores(before), scores(before - 2), [QualityBudget("drop_points", 100.0)])
    assert worse.verdict is Verdict.FAIL


def test_a_score_of_a_declared_range_passes_by_that_range() -> None:
    grade = make_score_metric("grade", higher_is_better=True, zero_one=False, score_range=(1.0, 10.0))
    same = scores(np.full(100, 9.0))
    # at worst 9 of 100 rows: the 95 % bound is 9 × (1 - 0.05^(1/100)) = 0.266
    assert judge_quality(grade, same, same, [QualityBudget("drop_points", 27.0)]).verdict is Verdict.PASS
    judged = judge_quality(grade, same, same, [QualityBudget("drop_points", 26.0)])
    assert judged.verdict is Verdict.INCONCLUSIVE


def own_metric(**options: object) -> Metric:
    def values(outcomes: Outcomes) -> Floats:
        return outcomes.column(SCORE)

    sums = mean_of(values)
    return Metric(
        name="cost",
        higher_is_better=False,
        value_range=(0.0, np.inf),
        needs=SCORE,
        statistic=statistic_of_sums(sums),
        row_sums=sums,
        **options,  # type: ignore[arg-type]
    )


def seen(teacher: Outcomes, variant: Outcomes) -> tuple[float, float]:
    return 0.0, float(max(teacher.column(SCORE).max(), variant.column(SCORE).max()))


def test_a_metric_of_ones_own_without_a_bound_needs_a_cap() -> None:
    metric = own_metric(row_mean=make_row_mean(lambda outcomes: outcomes.column(SCORE), seen))
    same = scores(np.full(4000, 2.0))
    judged = judge_quality(metric, same, same, [QualityBudget("increase_relative", 0.05)])
    assert judged.verdict is Verdict.INCONCLUSIVE
    assert "cost has no bound (its value_range is 0 to inf)" in format_message("t", judged)
    assert "add cap" in format_message("t", judged)
    capped = QualityBudget("increase_relative", 0.05, cap=1.0)
    assert judge_quality(metric, same, same, [capped]).verdict is Verdict.PASS


def test_a_row_outside_of_the_declared_range_is_named() -> None:
    grade = make_score_metric("grade", higher_is_better=True, zero_one=False, score_range=(1.0, 10.0))
    with pytest.raises(
        MeasureError, match="grade: row 1 of the variant has 11, outside of the range 1 to 10"
    ):
        judge_quality(grade, scores(np.array([9.0, 9.0])), scores(np.array([9.0, 11.0])), [])


def test_over_builds_one_damaged_build_is_seen() -> None:
    same = scores(np.full(3000, 0.1))
    loops = scores(np.where(np.arange(3000) < 150, 1.2, 0.1))
    budget = QualityBudget("drop_points", 8.0, over="builds")
    assert judge_quality(WER, same, same, [budget], builds=[same, same]).verdict is Verdict.PASS
    judged = judge_quality(WER, same, same, [budget], builds=[loops, same])
    [facts] = judged.budgets
    assert facts.capped is not None
    assert facts.capped.above == pytest.approx(0.05 / 3)
    assert judged.verdict is not Verdict.PASS


def test_a_large_gain_hides_no_spread_of_the_builds() -> None:
    """The row that got better by 600 counts for the cap in the values of builds, as it does in the mean."""
    builds = [scores(np.full(1000, 0.2 + loss)) for loss in (0.01, 0.04, 0.07)]
    budget = QualityBudget("drop_points", 6.0, over="builds", above_cap_max=0.02)
    p_values = []
    for first in (0.2, 600.0):
        teacher = scores(np.append(first, np.full(999, 0.2)))
        judged = judge_quality(WER, teacher, builds[0], [budget], builds=builds[1:])
        assert judged.verdict is Verdict.INCONCLUSIVE
        p_values.append(judged.budgets[0].p_value)
    assert p_values == pytest.approx([0.18, 0.18], abs=0.02)


# --- what a budget may say


@pytest.mark.parametrize(
    ("metric", "budget", "message"),
    [
        ("accuracy", QualityBudget("drop_points", 1.0, cap=0.5), "the value of a row is from 0 to 1"),
        (
            "mae",
            QualityBudget("drop_points", 50.0, cap=0.4),
            "cap is 0.4, but drop_points = 50 allows a mean loss of 0.5",
        ),
        (
            "mae",
            QualityBudget("ceiling", 1.0, cap=1.0, above_cap_max=0.4),
            "cap is 1, but ceiling = 1 allows a mean of 1. A row counts for at most the cap",
        ),
        ("mae", QualityBudget("drop_points", 1.0, above_cap_max=2.0), "expected a share between 0 and 1"),
        (
            "perplexity",
            QualityBudget("increase_relative", 0.5, cap=0.4, above_cap_max=0.01),
            "the budget would always hold",
        ),
        (
            "perplexity",
            QualityBudget("increase_relative", 0.03, cap=0.05),
            "cap of perplexity is 0.05, under 1: also give above_cap_max",
        ),
    ],
)
def test_a_cap_without_an_effect_is_refused(metric: str, budget: QualityBudget, message: str) -> None:
    from slimgate.judge.budget_kinds import check_budget

    with pytest.raises(SuiteError, match=message):
        check_budget(load_metric(metric), budget)


@pytest.mark.parametrize(
    ("ceiling", "problem"),
    [
        (
            QualityBudget("ceiling", 1.0, cap=5.0, above_cap_max=0.4),
            "cap = 0.5 and cap = 5, expected one cap",
        ),
        (QualityBudget("ceiling", 1.0, above_cap_max=0.4), "cap is 0.5, but ceiling = 1 allows a mean of 1"),
    ],
    ids=["two caps", "a cap of another budget"],
)
def test_the_cap_of_one_budget_must_suit_the_others(ceiling: QualityBudget, problem: str) -> None:
    """Patterns of names may give a metric budgets of two tables."""
    drop = QualityBudget("drop_points", 40.0, cap=0.5, above_cap_max=0.4)
    rows = scores(np.full(100, 0.2))
    with pytest.raises(SuiteError, match=problem):
        judge_quality(WER, rows, rows, [drop, ceiling])


def test_a_ceiling_above_its_cap_has_the_mean_up_to_8_caps() -> None:
    """Without above_cap_max: a capped mean of at most 0.9 alone would always hold."""
    budget = QualityBudget("ceiling", 1.0, cap=0.9)
    metric = make_score_metric("m", higher_is_better=False, zero_one=False, score_range=(0.0, inf), cap=0.9)
    for share, expected in ((0.001, Verdict.PASS), (0.3, Verdict.FAIL)):
        rows = scores(np.where(np.arange(2000) < 2000 * share, 8.0, 0.2))
        assert judge_quality(metric, rows, rows, [budget]).verdict is expected


def test_a_small_cap_would_make_the_worst_row_too_good() -> None:
    """8 caps of 0.1 are less than one loop: 60 rows without damage would pass 5 points."""
    same = scores(np.full(60, 0.1))
    budget = QualityBudget("drop_points", 5.0, cap=0.1)
    with pytest.raises(SuiteError, match=r"cap of wer is 0\.1, under 1: also give above_cap_max"):
        judge_quality(WER, same, same, [budget])
    stated = QualityBudget("drop_points", 5.0, cap=0.1, above_cap_max=0.06)
    assert judge_quality(WER, same, same, [stated]).verdict is Verdict.PASS


def test_tables_hold_caps() -> None:
    [budget] = QualityBudgetTable.model_validate(
        {"increase_relative": 0.1, "cap": 2.0, "above_cap_max": 0.05}
    ).make_budgets()
    assert (budget.cap, budget.above_cap_max) == (2.0, 0.05)
    table = KlBudgetTable.model_validate({"mean_max": 0.02, "p99_max": 0.5, "above_cap_max": 0.05})
    assert [(limit.kind, limit.above_cap_max) for limit in table.make_budgets()] == [
        ("mean_max", 0.05),
        ("p99_max", None),
    ]
    with pytest.raises(ValueError, match="above_cap_max needs mean_max"):
        KlBudgetTable.model_validate({"p99_max": 0.5, "above_cap_max": 0.05})
    with pytest.raises(ValueError, match="under 1 nat: also give above_cap_max"):
        KlBudgetTable.model_validate({"mean_max": 0.02, "cap": 0.4})
    with pytest.raises(ValueError, match="not above mean_max"):
        KlBudgetTable.model_validate({"mean_max": 0.5, "cap": 0.4})


# --- populations whose true mean, without a cap, is the budget


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "share", "nats", "everywhere"),
    [
        (160, 0.004, 5.0, 0.0),
        (800, 0.004, 5.0, 0.0),
        (1200, 0.0025, 8.0, 0.0),
        (3000, 0.02, 1.0, 0.0),
        (5000, 0.00125, 8.0, 0.01),
    ],
)
def test_rare_damage_at_the_budget_passes_in_at_most_6_percent(
    n: int, share: float, nats: float, everywhere: float
) -> None:
    rng, passed = np.random.default_rng(0), 0
    for _ in range(400):
        kl = everywhere + np.where(rng.random(n) < share, nats, 0.0)
        tokens = TokenKl(kl, np.ones(n, dtype=np.bool_), np.arange(n))
        passed += kl_verdict(tokens, share * nats + everywhere) is Verdict.PASS
    # 6 % and two standard errors of 400 runs
    assert passed / 400 <= 0.06 + 0.024

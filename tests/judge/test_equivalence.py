"""Budgets on both sides: two one-sided tests that the variant is neither worse nor better by the margin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from slimgate.errors import SuiteError
from slimgate.judge import QualityBudget, QualityJudgement, Verdict, check_budget, judge_quality
from slimgate.judge.budget_kinds import KINDS, list_point_limits, list_suited_kinds, measure_harm
from slimgate.judge.facts import make_quality_facts
from slimgate.judge.family import InterimAnalysis, withhold_family_fails, withhold_family_pass
from slimgate.judge.message import format_message
from slimgate.judge.metrics import load_metric
from slimgate.judge.paired import compute_tango_z
from slimgate.judge.power import CONVERTED, make_drop_outlook, make_plan
from slimgate.judge.rows_needed import count_planned_rows, find_two_sided_stretch
from slimgate.outcomes import ClassOutcomes
from slimgate.record.budgets import judge_under_limit, list_judged_budgets
from slimgate.record.run import VariantRecord

EQUIVALENT_POINTS = "equivalent_points"

METRIC_AND_KIND = [
    (metric, kind)
    for metric in ("accuracy", "f1_macro", "log_loss")
    for kind in list_suited_kinds(load_metric(metric))
]
Counted = Callable[..., tuple[ClassOutcomes, ClassOutcomes]]


def judged(
    pair: tuple[ClassOutcomes, ClassOutcomes],
    limit: float,
    metric: str = "accuracy",
    kind: str = EQUIVALENT_POINTS,
) -> QualityJudgement:
    budget = QualityBudget(kind, limit)  # type: ignore[arg-type]
    return judge_quality(load_metric(metric), *pair, [budget], resamples=500)


def test_a_gain_that_drop_points_passes_fails(counted: Counted) -> None:
    """60 rows lost and 240 won of 3,000: 6 points better."""
    pair = counted(3000, 60, 240)
    assert judged(pair, 1.0, kind="drop_points").verdict is Verdict.PASS
    assert judged(pair, 1.0).verdict is Verdict.FAIL
    assert judged(pair, 8.0).verdict is Verdict.PASS


@pytest.mark.parametrize(("lost", "won"), [(45, 45), (60, 45), (45, 60), (0, 0)])
def test_an_equal_model_passes_on_enough_rows(counted: Counted, lost: int, won: int) -> None:
    assert judged(counted(3000, lost, won), 2.0).verdict is Verdict.PASS


def test_too_few_rows_are_inconclusive_and_say_how_many_would_do(counted: Counted) -> None:
    """6 rows lost and 6 won of 400: both sides pass 80 % of the time on (1.645 + 1.282)² 0.03 / 0.01²."""
    judgement = judged(counted(400, 6, 6), 1.0)
    assert judgement.verdict is Verdict.INCONCLUSIVE
    assert judgement.n_needed == pytest.approx(8.564 * 0.03 / 0.0001, rel=0.1)
    line = format_message("int8", judgement)
    assert "drop 0.0 points [-1.6, 1.6], budget ±1.0 (n=400): INCONCLUSIVE, about 2," in line


@pytest.mark.parametrize("metric", ["accuracy", "f1_macro", "log_loss", "roc_auc"])
@pytest.mark.parametrize(("lost", "won"), [(60, 20), (25, 20), (20, 25), (20, 60)])
def test_both_sides_are_treated_alike(counted: Counted, metric: str, lost: int, won: int) -> None:
    """The same pair with both models exchanged has the same verdict and about the same p-values."""
    pair = counted(1000, lost, won, both_wrong=100)
    (forward,), (back,) = (judged(models, 2.0, metric).budgets for models in (pair, pair[::-1]))
    assert forward.verdict is back.verdict
    assert forward.p_value == pytest.approx(back.p_value, abs=0.02)
    assert forward.p_holds == pytest.approx(back.p_holds, abs=0.04)


def test_p_values_are_the_larger_and_twice_the_smaller(counted: Counted) -> None:
    """Tango's z of 45 rows lost and 30 won of 1,000 at 1 point and at -1 point."""
    (budget,) = judged(counted(1000, 45, 30), 1.0).budgets
    upper, lower = compute_tango_z(45, 30, 1000, 0.01), compute_tango_z(45, 30, 1000, -0.01)
    assert budget.p_value == pytest.approx(max(norm.cdf(upper), norm.sf(lower)))
    assert budget.p_holds == pytest.approx(min(1.0, 2 * min(norm.sf(upper), norm.cdf(lower))))


def test_fail_needs_the_doubled_p_value(counted: Counted) -> None:
    """A drop that is shown to be above 1 point at 5 % alone, and not at 2.5 %."""
    pair = counted(1000, 40, 16)
    one_sided, two_sided = judged(pair, 1.0, kind="drop_points"), judged(pair, 1.0)
    (of_drop,), (of_both,) = one_sided.budgets, two_sided.budgets
    assert of_drop.p_holds is not None
    assert 0.025 < of_drop.p_holds < 0.05
    assert of_drop.verdict is Verdict.FAIL
    assert of_both.p_holds == pytest.approx(2 * of_drop.p_holds)
    assert of_both.verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("metric", ["accuracy", "f1_macro", "log_loss", "roc_auc"])
def test_pass_is_the_90_percent_interval_and_fail_the_95(counted: Counted, metric: str) -> None:
    pair = counted(1000, 40, 16, both_wrong=100)
    first = judged(pair, 1.0, metric)
    (budget,) = first.budgets
    assert first.interval is not None
    assert budget.fail_interval is not None
    (low, high), (fail_low, fail_high) = first.interval, budget.fail_interval
    assert fail_low < low < high < fail_high
    assert judged(pair, 1.02 * high, metric).verdict is Verdict.PASS
    assert judged(pair, 0.98 * high, metric).verdict is Verdict.INCONCLUSIVE
    if fail_low > 0.05:
        assert judged(pair, 0.95 * fail_low, metric).verdict is Verdict.FAIL
        assert judged(pair, (fail_low + low) / 2, metric).verdict is Verdict.INCONCLUSIVE


def test_the_95_percent_interval_of_counts_is_tangos(counted: Counted) -> None:
    (budget,) = judged(counted(1000, 60, 24), 1.0).budgets
    assert budget.fail_interval is not None
    low, high = (end / 100 for end in budget.fail_interval)
    assert compute_tango_z(60, 24, 1000, low) == pytest.approx(1.96, abs=1e-3)
    assert compute_tango_z(60, 24, 1000, high) == pytest.approx(-1.96, abs=1e-3)


def test_every_kind_is_among_the_pairs_of_metric_and_kind() -> None:
    """Kinds on the length of answers have tests of their own, in test_answer_behaviour."""
    of_lengths = {"length_ratio_max", "length_ratio_min"}
    assert {kind for _, kind in METRIC_AND_KIND} == set(KINDS) - of_lengths


@pytest.mark.parametrize(("metric", "kind"), METRIC_AND_KIND)
@pytest.mark.parametrize(("lost", "won"), [(0, 0), (5, 40), (40, 5), (40, 16), (200, 20), (20, 200)])
def test_the_own_limit_makes_the_own_verdict(
    counted: Counted, metric: str, kind: str, lost: int, won: int
) -> None:
    """By the figures a limit just beside it makes the same verdict too, where the judge does so."""
    pair = counted(1000, lost, won, both_wrong=100)
    for limit in (0.02, 0.3, 0.85):
        scaled = 100 * limit if kind in ("drop_points", EQUIVALENT_POINTS) else limit
        judgement = judged(pair, scaled, metric, kind)
        facts = make_quality_facts(judgement, "line", measured="now")
        (budget,) = list_judged_budgets(VariantRecord(name="int8", parent="teacher", quality={metric: facts}))
        assert judge_under_limit(kind, scaled, budget) is judgement.verdict
        near = judged(pair, 1.001 * scaled, metric, kind).verdict
        if near is judgement.verdict:
            assert judge_under_limit(kind, 1.001 * scaled, budget) is near


def test_another_limit_is_read_off_both_intervals(counted: Counted) -> None:
    pair = counted(3000, 60, 240)
    judgement = judged(pair, 1.0)
    facts = make_quality_facts(judgement, "line", measured="now")
    (budget,) = list_judged_budgets(VariantRecord(name="int8", parent="teacher", quality={"accuracy": facts}))
    for limit in (0.5, 2.0, 4.8, 5.0, 6.0, 7.0, 7.1, 9.0):
        assert judge_under_limit(EQUIVALENT_POINTS, limit, budget) is judged(pair, limit).verdict, limit
    old = budget._replace(facts=replace(budget.facts, fail_interval=None))
    assert judge_under_limit(EQUIVALENT_POINTS, 2.0, old) is None
    assert judge_under_limit(EQUIVALENT_POINTS, 9.0, old) is Verdict.PASS


def test_a_family_corrects_pass_and_fail(counted: Counted) -> None:
    passed, failed = judged(counted(3000, 45, 45), 1.0), judged(counted(1000, 45, 18), 1.0)
    (budget,) = failed.budgets
    assert budget.p_holds is not None
    assert 0.025 < budget.p_holds < 0.05
    assert withhold_family_pass(passed, [0.06], 2).verdict is Verdict.INCONCLUSIVE
    assert [judgement.verdict for judgement in withhold_family_fails([failed])] == [Verdict.FAIL]
    # Holm: of two budgets the smaller p-value must be at most 2.5 %
    assert [judgement.verdict for judgement in withhold_family_fails([failed, passed])] == [
        Verdict.INCONCLUSIVE,
        Verdict.PASS,
    ]


def test_an_interim_analysis_takes_both_sides_at_its_level(counted: Counted) -> None:
    judgement = judged(counted(3000, 45, 45), 0.7)
    (budget,) = judgement.budgets
    assert judgement.verdict is Verdict.PASS
    assert budget.p_value is not None
    early = InterimAnalysis(1, 4, 3000, 12_000)
    assert early.compute_level() < budget.p_value
    assert withhold_family_fails([judgement], [early])[0].verdict is Verdict.INCONCLUSIVE
    assert withhold_family_fails([judgement], [InterimAnalysis(4, 4, 3000, 3000)])[0].verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("won", "verdict"), [([2, 4, 3], Verdict.PASS), ([90, 110, 100], Verdict.FAIL), ([10, 30, 20], None)]
)
def test_over_builds_a_gain_counts_too(counted: Counted, won: list[int], verdict: Verdict | None) -> None:
    """Of 1,000 rows; three builds of 1, 3 and 2 points are too few."""
    teacher = counted(1000, 0, max(won))[0]
    builds = [
        replace(teacher, predictions=np.where(np.arange(1000) < count, teacher.labels, teacher.predictions))
        for count in won
    ]
    budget = QualityBudget(EQUIVALENT_POINTS, 3.0, over="builds")
    (facts,) = judge_quality(
        load_metric("accuracy"), teacher, builds[0], [budget], builds=builds[1:], resamples=500
    ).budgets
    assert facts.builds == 3
    assert facts.value == pytest.approx(-100 * sum(won) / 3000)
    assert facts.verdict is (verdict or Verdict.INCONCLUSIVE)
    if verdict is None:
        assert facts.builds_needed is not None or facts.n_needed is not None


def test_over_builds_a_gain_needs_what_an_equal_drop_needs(counted: Counted) -> None:
    right, wrong = counted(1000, 30)  # `wrong` answers the first 30 rows wrong
    plans = []
    for teacher, other in ((right, wrong), (wrong, right)):
        builds = [
            replace(teacher, predictions=np.r_[other.predictions[:count], teacher.predictions[count:]])
            for count in (10, 30, 20)
        ]
        budget = QualityBudget(EQUIVALENT_POINTS, 3.0, over="builds")
        judgement = judge_quality(load_metric("accuracy"), teacher, builds[0], [budget], builds=builds[1:])
        (facts,) = judgement.budgets
        assert facts.verdict is Verdict.INCONCLUSIVE
        plans.append((facts.value, facts.n_needed, facts.builds_needed))
    (drop, *plan_of_drop), (gain, *plan_of_gain) = plans
    assert (drop, gain) == (pytest.approx(2.0), pytest.approx(-2.0))
    assert plan_of_drop == plan_of_gain
    assert None not in plan_of_drop


@pytest.mark.parametrize(
    ("drop", "expected"),
    [
        (0.0, (1.6449 + 1.2816) / 2.4865),  # both sides at 90 %
        (0.0099, 1.0),  # the far side always passes
        (0.02, (1.9600 + 0.8416) / 2.4865),
        (-0.02, (1.9600 + 0.8416) / 2.4865),
    ],
)
def test_the_stretch_of_both_sides_worked_by_hand(drop: float, expected: float) -> None:
    assert find_two_sided_stretch(drop, 0.01) == pytest.approx(expected, abs=1e-3)


def test_at_the_limit_no_number_of_rows_tells(counted: Counted) -> None:
    assert find_two_sided_stretch(-0.01, 0.01) is None
    judgement = judged(counted(1000, 20, 30), 1.0)
    assert (judgement.verdict, judgement.n_needed) == (Verdict.INCONCLUSIVE, None)
    assert format_message("int8", judgement).endswith(
        "the drop equals its budget: no number of rows would decide"
    )


@pytest.mark.parametrize(("lost", "won"), [(30, 30), (36, 30), (30, 36), (50, 30), (30, 50)])
def test_as_many_rows_as_needed_decide_in_four_of_five(counted: Counted, lost: int, won: int) -> None:
    judgement = judged(counted(1500, lost, won), 0.8)
    assert judgement.verdict is Verdict.INCONCLUSIVE
    assert judgement.n_needed is not None
    rng, n, runs = np.random.default_rng(3), judgement.n_needed, 1500
    counts = rng.multinomial(n, [lost / 1500, won / 1500, 1 - (lost + won) / 1500], size=runs)
    upper = np.array([compute_tango_z(b, c, n, 0.008) for b, c, _ in counts])
    lower = np.array([compute_tango_z(b, c, n, -0.008) for b, c, _ in counts])
    passes = (upper <= -1.6449) & (lower >= 1.6449)
    fails = np.maximum(upper, -lower) >= 1.96
    decided = passes if abs(lost - won) / 1500 < 0.008 else fails
    assert decided.mean() == pytest.approx(0.8, abs=0.05)


def test_planned_rows_pass_an_equal_model_in_four_of_five() -> None:
    """(1.6449 + 1.2816)² 0.05 / 0.01² + 3 / 0.05 = 4,342, where one side takes 3,132."""
    assert count_planned_rows(0.01, discordance=0.05, two_sided=True) == 4342
    planned = make_plan(4342, 0.05, 0.01, two_sided=True)
    assert planned.rows_needed == 4342
    assert planned.equal.passes == pytest.approx(0.8, abs=0.02)
    assert planned.at_budget is not None
    assert planned.at_budget.passes < 0.06
    assert planned.at_budget.fails < 0.06
    assert make_plan(4342, 0.05, 0.01).equal.passes > 0.87


def test_analyses_of_both_sides_keep_their_error_rates() -> None:
    planned = make_plan(4342, 0.05, 0.01, analyses=4, two_sided=True)
    assert planned.at_budget is not None
    assert planned.at_budget.passes < 0.06
    assert planned.equal.fails < 0.06
    assert planned.equal.rows < 4342


def test_the_outlook_of_both_sides_is_never_better() -> None:
    for rows, margin in ((1000, 0.02), (2000, 0.01), (400, 0.03)):
        one_sided, two_sided = (
            make_drop_outlook((1,) * rows, margin, CONVERTED, two_sided=two) for two in (False, True)
        )
        assert two_sided.at_many <= one_sided.at_many
        assert two_sided.at_few <= one_sided.at_few


def test_a_limit_that_always_holds_is_refused() -> None:
    with pytest.raises(
        SuiteError, match="equivalent_points is 100, and accuracy cannot change by more: the budget"
    ):
        check_budget(load_metric("accuracy"), QualityBudget(EQUIVALENT_POINTS, 100.0))
    for name in ("perplexity", "mae"):
        problem = f"equivalent_points does not suit {name}: it needs a metric in points that has a lowest"
        with pytest.raises(SuiteError, match=problem):
            check_budget(load_metric(name), QualityBudget(EQUIVALENT_POINTS, 1.0))


def test_results_are_ordered_by_the_size_of_a_limited_gain() -> None:
    drop, equivalent = QualityBudget("drop_points", 2.0), QualityBudget(EQUIVALENT_POINTS, 1.0)
    assert measure_harm(-6.0, [drop]) == -6.0
    assert measure_harm(-6.0, []) == -6.0
    assert measure_harm(-6.0, [drop, equivalent]) == 6.0
    assert list_point_limits([drop, equivalent, QualityBudget("floor", 0.5)]) == [2.0, 1.0, -1.0]


def test_a_gain_has_a_band_of_its_own(counted: Counted) -> None:
    assert judged(counted(3000, 60, 240), 1.0).band == "gain"
    assert judged(counted(3000, 45, 45), 1.0).band == "negligible"

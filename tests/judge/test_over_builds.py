"""Budgets over builds: a recipe's mean over builds and rows, by Banerjee's bound."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import hypot, sqrt

import numpy as np
import pytest
from scipy.stats import t

from slimgate.errors import SuiteError
from slimgate.judge import QualityBudget, Verdict, judge_quality
from slimgate.judge.contrast import make_drop_contrast
from slimgate.judge.message import format_message
from slimgate.judge.metrics import load_metric
from slimgate.judge.over_builds import combine_builds
from slimgate.judge.verdict import QualityJudgement
from slimgate.outcomes import ClassOutcomes, Floats, Outcomes
from slimgate.results.base import BudgetFacts
from tools.simulations.build_verdicts import Cell, simulate_cell
from tools.simulations.page import TARGET

Counted = Callable[..., tuple[ClassOutcomes, ClassOutcomes]]
ACCURACY, DROP = load_metric("accuracy"), make_drop_contrast(higher_is_better=True)


def builds_of(counted: Counted, n: int, lost: Sequence[int]) -> list[ClassOutcomes]:
    """The teacher, and builds that each lost so many of its first rows."""
    return [counted(n)[0], *(counted(n, b)[1] for b in lost)]


def judged(
    counted: Counted, n: int, lost: Sequence[int], *budgets: QualityBudget, metric: str = "accuracy"
) -> QualityJudgement:
    teacher, first, *rest = builds_of(counted, n, lost)
    return judge_quality(load_metric(metric), teacher, first, budgets, builds=rest, resamples=500)


def over(limit: float, kind: str = "drop_points") -> QualityBudget:
    return QualityBudget(kind, limit, over="builds")  # type: ignore[arg-type]


def test_the_bound_adds_up_rows_and_builds(counted: Counted) -> None:
    # drops of 1, 2 and 3 points: a standard deviation of 1 point, by t with two degrees of freedom
    teacher, *builds = builds_of(counted, 1000, [10, 20, 30])
    combined = combine_builds(ACCURACY, teacher, builds, seed=0, resamples=None)
    between = t.ppf(0.95, 2) * 0.01 / sqrt(3)
    (rows,) = (evidence.compute_interval(DROP) for evidence in combined.rows)
    assert combined.compute_value(DROP) == pytest.approx(0.02)
    assert combined.compute_interval(DROP)[1] == pytest.approx(0.02 + hypot(rows[1] - 0.02, between))
    assert combined.compute_interval(DROP)[0] == pytest.approx(0.02 - hypot(0.02 - rows[0], between))


def test_equal_builds_leave_the_rows_alone(counted: Counted) -> None:
    teacher, *builds = builds_of(counted, 1000, [10, 10])
    combined = combine_builds(ACCURACY, teacher, builds, seed=0, resamples=None)
    alone = combined.rows[0].compute_interval(DROP)
    assert combined.compute_interval(DROP) == pytest.approx(alone, abs=1e-9)


@pytest.mark.parametrize("metric", ["accuracy", "log_loss", "f1_macro", "roc_auc"])
def test_verdict_interval_and_p_value_agree(counted: Counted, metric: str) -> None:
    middle = judged(counted, 1000, [200, 210, 220], over(5.0), metric=metric).budgets[0]
    assert middle.value is not None
    assert middle.interval is not None
    for end, outside in ((0, Verdict.FAIL), (1, Verdict.PASS)):
        for step, verdict in ((-0.02, Verdict.INCONCLUSIVE), (0.02, outside)):
            limit = middle.interval[end] + (step if end else -step)
            (budget,) = judged(counted, 1000, [200, 210, 220], over(limit), metric=metric).budgets
            assert budget.verdict is verdict
            p_value = budget.p_value if end else budget.p_holds
            assert p_value is not None
            assert (p_value <= 0.05) == (verdict is not Verdict.INCONCLUSIVE)


def test_every_kind_of_limit_is_on_the_mean_of_the_builds(counted: Counted) -> None:
    budgets = [over(0.2, "drop_relative"), over(0.8, "floor"), QualityBudget("drop_points", 2.0)]
    relative, floor, first = judged(counted, 3000, [30, 90, 60], *budgets).budgets
    assert (relative.value, floor.value) == (pytest.approx(0.02), pytest.approx(0.98))
    assert (relative.verdict, relative.builds, floor.verdict) == (Verdict.PASS, 3, Verdict.PASS)
    # the budget over rows is about the first build, which lost one point
    assert (first.verdict, first.builds, first.value) == (Verdict.PASS, None, None)


def undecided(counted: Counted, n: int, lost: Sequence[int], limit: float) -> tuple[BudgetFacts, str]:
    judgement = judged(counted, n, lost, over(limit))
    (budget,) = judgement.budgets
    assert budget.verdict is Verdict.INCONCLUSIVE
    return budget, format_message("x", judgement).partition("INCONCLUSIVE, ")[2]


def test_builds_that_differ_ask_for_builds(counted: Counted) -> None:
    budget, reason = undecided(counted, 20_000, [0, 100, 200], 1.3)
    assert (budget.n_needed, budget.needs_both) == (None, False)
    assert budget.builds_needed is not None
    assert reason == f"{budget.builds_needed} builds in place of 3 would decide; more rows alone would not"


def test_few_rows_ask_for_rows(counted: Counted) -> None:
    budget, reason = undecided(counted, 100, [2, 2, 2], 3.0)
    assert budget.builds_needed is None
    assert budget.n_needed is not None
    assert budget.n_needed > 100
    assert reason.endswith("rows would decide; more builds alone would not")
    # so many rows of the same kind do tell
    copies = -(-budget.n_needed // 100)
    assert judged(counted, 100 * copies, [2 * copies] * 3, over(3.0)).verdict is Verdict.PASS


def test_where_neither_is_enough_both_are_asked_for(counted: Counted) -> None:
    budget, reason = undecided(counted, 300, [2, 6], 2.5)
    assert budget.needs_both
    assert reason.startswith(f"{budget.builds_needed} builds in place of 2 together with about ")


def test_a_drop_at_its_budget_asks_for_nothing(counted: Counted) -> None:
    budget, reason = undecided(counted, 1000, [10, 20, 30], 2.0)
    assert (budget.n_needed, budget.builds_needed) == (None, None)
    assert reason == "too close to its budget: no number of rows, nor 20 builds, would decide"


def test_each_undecided_budget_says_what_would_decide_it(counted: Counted) -> None:
    budgets = [QualityBudget("drop_points", 1.0), over(0.985, "floor"), over(0.2, "drop_relative")]
    judgement = judged(counted, 300, [2, 6], *budgets)
    first, floor, relative = judgement.budgets
    assert (first.verdict, floor.verdict) == (Verdict.INCONCLUSIVE, Verdict.INCONCLUSIVE)
    assert relative.verdict is Verdict.PASS
    reason = format_message("x", judgement).partition("INCONCLUSIVE, ")[2]
    of_first, _, of_floor = reason.partition("; floor 0.985 over 2 builds: ")
    assert of_first.startswith("budget 1: about ")
    assert of_first.endswith(" rows would decide")
    assert of_floor.endswith(" would decide")


def test_the_line_has_the_mean_of_the_builds_beside_the_first(counted: Counted) -> None:
    line = format_message("x", judged(counted, 3000, [30, 30, 30], over(2.0)))
    head = "x: accuracy 0.990 vs 1.000, drop 1.0 points [0.7, 1.4], budget 2.0"
    assert line == f"{head} over 3 builds: 1.0 [0.7, 1.4] (n=3000): PASS"


def test_the_growth_of_lengths_is_that_of_the_first_build() -> None:
    """The budget is on the mean ratio of the builds, whose interval is wider."""
    rng = np.random.default_rng(0)

    def make_answers(tokens: Floats) -> Outcomes:
        values = {"answer_tokens": tokens, "most_answer_tokens": np.full(400, 128.0)}
        return Outcomes(np.arange(400).astype(np.str_), values=values, given=("most_answer_tokens",))

    lengths = rng.integers(10, 30, 400).astype(float)
    teacher, first, second = (make_answers(lengths + rng.integers(0, more, 400)) for more in (1, 4, 9))
    judgements = [
        judge_quality(load_metric("answer_length"), teacher, first, [budget], builds=builds)
        for budget, builds in (
            (over(1.3, "length_ratio_max"), [second]),
            (QualityBudget("length_ratio_max", 1.3), []),
        )
    ]
    over_builds, alone = judgements
    assert over_builds.interval == pytest.approx(alone.interval)
    assert alone.budgets[0].interval == pytest.approx([1 + end / 100 for end in alone.interval or ()])
    low, high = over_builds.budgets[0].interval or (1.0, 1.0)
    assert low < (alone.budgets[0].interval or (0.0, 0.0))[0]
    assert high > (alone.budgets[0].interval or (9.0, 9.0))[1]


def test_a_variant_of_one_build_is_judged_over_the_rows(counted: Counted) -> None:
    judgement, plain = (
        judged(counted, 3000, [30], budget) for budget in (over(2.0), QualityBudget("drop_points", 2.0))
    )
    assert judgement.budgets[0] == replace(plain.budgets[0], builds=1)
    assert "budget 2.0 (all builds are equal) (n=3000): PASS" in format_message("x", judgement)
    # where the caller knows of no other build, nothing is said of them
    unknown = judge_quality(ACCURACY, *counted(3000, 30), [over(2.0)])
    assert unknown.budgets == plain.budgets


@pytest.mark.parametrize("metric", ["perplexity", "pearson"])
def test_metrics_that_are_not_judged_over_builds_refuse_it(counted: Counted, metric: str) -> None:
    kind = "increase_relative" if metric == "perplexity" else "drop_points"
    with pytest.raises(SuiteError, match=f'over = "builds" is not supported for {metric}; leave it out'):
        judged(counted, 100, [1], over(0.1, kind), metric=metric)


@pytest.mark.parametrize(
    "cell",
    [
        Cell(2, 1.0, 0.0, 1_000, 2.0),
        Cell(3, 0.3, 0.8, 1_000, 2.0),
        Cell(3, 0.6, 0.8, 3_000, 1.0),
        Cell(5, 0.0, 0.0, 3_000, 1.0),
    ],
    ids=lambda cell: cell.label,
)
def test_recipes_at_budget_seldom_pass_equal_ones_seldom_fail(cell: Cell) -> None:
    rates = simulate_cell(cell, seed=0, runs=400, number=9)
    noise = 2 * np.sqrt(TARGET * (1 - TARGET) / 400)
    assert rates.at_budget <= TARGET + noise
    assert rates.equal_fails <= TARGET + noise


def test_one_lucky_build_passes_far_more_often_than_the_recipe() -> None:
    rates = simulate_cell(Cell(5, 1.0, 0.8, 3_000, 1.0), seed=0, runs=400, number=9)
    assert rates.first_at_budget > 0.15
    assert rates.at_budget <= 0.075

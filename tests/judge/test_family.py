"""Many variants at once: the bound of the chosen one, and Holm's correction over the budgets of all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from slimgate.judge.budget_kinds import QualityBudget
from slimgate.judge.family import (
    InterimAnalysis,
    compute_family_bound,
    withhold_family_fails,
    withhold_family_pass,
)
from slimgate.judge.message import format_message
from slimgate.judge.metrics import load_metric
from slimgate.judge.paired import compute_tango_z
from slimgate.judge.perplexity import judge_perplexity
from slimgate.judge.quality import judge_quality
from slimgate.judge.verdict import QualityJudgement
from slimgate.outcomes import ClassOutcomes
from slimgate.results.base import Verdict

Counted = Callable[..., tuple[ClassOutcomes, ClassOutcomes]]


def judge_drop(counted: Counted, metric: str = "accuracy", limit: float = 2.0) -> QualityJudgement:
    """60 rows lost and 50 won of 4,000."""
    budgets = [QualityBudget("drop_points", limit)]
    return judge_quality(load_metric(metric), *counted(4000, 60, 50), budgets, resamples=2000)


def test_the_bound_of_one_is_that_of_its_interval(counted: Counted) -> None:
    judgement = judge_drop(counted)
    assert judgement.interval is not None
    assert compute_family_bound(judgement, 1) == judgement.interval[1]


@pytest.mark.parametrize("count", [2, 5, 20, 500])
def test_the_bound_among_several_is_tangos_at_a_shared_level(counted: Counted, count: int) -> None:
    bound = compute_family_bound(judge_drop(counted), count)
    assert bound is not None
    assert compute_tango_z(60, 50, 4000, bound / 100) == pytest.approx(-norm.isf(0.05 / count), abs=1e-3)


def test_the_bound_among_many_may_be_far_from_the_interval(counted: Counted) -> None:
    """2 of 30 rows lost: at 0.05 / 500 the bound is above 30 points."""
    judgement = judge_quality(
        load_metric("accuracy"), *counted(30, 2, 0), [QualityBudget("drop_points", 2.0)]
    )
    bound = compute_family_bound(judgement, 500)
    assert bound is not None
    assert judgement.p_at_least is not None
    assert judgement.p_at_least(bound) == pytest.approx(0.05 / 500, rel=1e-3)
    assert bound > 30


def test_every_kind_of_evidence_has_a_bound_that_grows(counted: Counted) -> None:
    nats = np.random.default_rng(0).gamma(2.0, 10.0, 200)
    perplexity = judge_perplexity(nats, nats * 1.01, np.full(200, 20), [])
    for judgement in (judge_drop(counted, "f1_macro"), judge_drop(counted, "log_loss"), perplexity):
        bounds = [compute_family_bound(judgement, count) for count in (1, 3, 20)]
        assert None not in bounds
        assert bounds == sorted(bounds, key=float)  # type: ignore[arg-type]
        assert len(set(bounds)) == 3


def test_a_metric_without_an_interval_has_no_bound(counted: Counted) -> None:
    assert compute_family_bound(judge_quality(load_metric("ece"), *counted(4000, 60, 50), []), 3) is None


def test_a_budget_has_the_p_value_that_decides_it(counted: Counted) -> None:
    for limit in (0.3, 0.6, 0.8, 2.0):
        (budget,) = judge_drop(counted, limit=limit).budgets
        assert budget.p_value is not None
        assert (budget.verdict is Verdict.PASS) == (budget.p_value <= 0.05)


def test_a_budget_that_holds_only_alone_is_undecided_in_a_family(counted: Counted) -> None:
    judgement = judge_drop(counted)
    assert judgement.verdict is Verdict.PASS
    assert withhold_family_pass(judgement, [0.05], 12) is judgement
    corrected = withhold_family_pass(judgement, [0.06], 12)
    assert corrected.verdict is Verdict.INCONCLUSIVE
    reason = "would PASS alone, but not as one of 12 budgets of all variants (Holm's correction)"
    assert format_message("int8", corrected).endswith(f": INCONCLUSIVE, {reason}")


def test_a_budget_that_fails_alone_fails_in_its_family(counted: Counted) -> None:
    judgement = judge_quality(
        load_metric("accuracy"), *counted(4000, 400, 50), [QualityBudget("drop_points", 2.0)]
    )
    assert withhold_family_pass(judgement, [1.0], 12).verdict is Verdict.FAIL


@pytest.mark.parametrize(
    ("p_values", "fails"),
    [
        ((0.05,), (True,)),
        ((0.0501,), (False,)),
        # 0.025 is at 0.05 / 2, so 0.05 is compared with 0.05 / 1
        ((0.05, 0.025), (True, True)),
        ((0.05, 0.0251), (False, False)),
        ((0.03, 0.016, 0.04), (False, True, False)),
    ],
)
def test_budgets_of_one_model_fail_by_holm(
    counted: Counted, p_values: tuple[float, ...], fails: tuple[bool, ...]
) -> None:
    judged = judge_drop(counted)
    failed = [
        replace(judged, budgets=(replace(judged.budgets[0], verdict=Verdict.FAIL, p_holds=p),))
        for p in p_values
    ]
    verdicts = [judgement.verdict for judgement in withhold_family_fails(failed)]
    assert verdicts == [Verdict.FAIL if fail else Verdict.INCONCLUSIVE for fail in fails]


@pytest.mark.parametrize(
    ("factor", "verdict"), [(1.0, Verdict.PASS), (1.01, Verdict.INCONCLUSIVE)], ids=["at it", "above it"]
)
def test_a_p_value_at_the_level_of_its_analysis_passes(
    counted: Counted, factor: float, verdict: Verdict
) -> None:
    judged, analysis = judge_drop(counted), InterimAnalysis(1, 2, 2000, 4000)
    budget = replace(judged.budgets[0], p_value=factor * analysis.compute_level())
    [decided] = withhold_family_fails([replace(judged, budgets=(budget,))], [analysis])
    assert budget.verdict is Verdict.PASS
    assert decided.verdict is verdict

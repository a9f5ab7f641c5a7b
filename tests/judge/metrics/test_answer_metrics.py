"""Metrics of written answers: 0 or 1 by Tango, shares by Gaffke's bound, and which way is better."""

from __future__ import annotations

import numpy as np
import pytest

from slimgate.judge.budget_kinds import QualityBudget
from slimgate.judge.metrics import compute_value, load_metric
from slimgate.judge.metrics.answers import FAULTS
from slimgate.judge.quality import judge_quality
from slimgate.outcomes import Outcomes
from slimgate.results.base import Verdict

IDS = np.asarray([str(row) for row in range(400)])
BUDGET = [QualityBudget("drop_points", 5.0)]


def outcomes_of(name: str, values: np.ndarray, groups: np.ndarray | None = None) -> Outcomes:
    return Outcomes(IDS, values={name: values.astype(np.float64)}, groups=groups)


def test_binary_scores_take_tango_and_shares_gaffkes_bound() -> None:
    full, half = np.ones(400), np.where(np.arange(400) < 100, 0.5, 1.0)
    metric = load_metric("exact_match")
    zero_one = judge_quality(
        metric, outcomes_of("exact_match", full), outcomes_of("exact_match", full), BUDGET
    )
    shares = judge_quality(metric, outcomes_of("exact_match", full), outcomes_of("exact_match", half), BUDGET)
    assert zero_one.method == "Tango"
    assert shares.method == "Gaffke's bound"
    assert shares.drop_points == pytest.approx(12.5)
    assert (zero_one.verdict, shares.verdict) == (Verdict.PASS, Verdict.FAIL)


def test_repeats_of_a_prompt_are_no_more_rows() -> None:
    """The mean of four draws is judged as four rows of one group are, and not as four rows."""
    draws = np.random.default_rng(0).random((100, 4)) < 0.9
    lost = draws & (np.arange(100) >= 8)[:, None]
    name, metric = "exact_match", load_metric("exact_match")
    ids = np.asarray([str(row) for row in range(100)])
    means = [Outcomes(ids, values={name: scores.mean(axis=1)}) for scores in (draws, lost)]
    by_row = [
        Outcomes(IDS, values={name: scores.ravel().astype(np.float64)}, groups=np.repeat(np.arange(100), 4))
        for scores in (draws, lost)
    ]
    mean, grouped = (judge_quality(metric, *pair, BUDGET) for pair in (means, by_row))
    assert mean.drop_points == pytest.approx(grouped.drop_points)
    assert mean.interval == pytest.approx(grouped.interval, abs=1e-6)


@pytest.mark.parametrize("name", FAULTS)
def test_more_faults_are_worse(name: str) -> None:
    none, faults = np.zeros(400), (np.arange(400) < 60).astype(np.float64)
    metric = load_metric(name)
    assert compute_value(metric, outcomes_of(name, faults)) == pytest.approx(0.15)
    judged = judge_quality(metric, outcomes_of(name, none), outcomes_of(name, faults), BUDGET)
    assert (judged.verdict, judged.drop_points) == (Verdict.FAIL, pytest.approx(15))
    better = judge_quality(metric, outcomes_of(name, faults), outcomes_of(name, none), BUDGET)
    assert better.verdict is Verdict.PASS


def test_comparisons_with_the_teacher_are_no_changes() -> None:
    teacher = outcomes_of("same_answers", np.zeros(400))
    assert not teacher.changed_rows(outcomes_of("same_answers", np.ones(400))).any()


def drafted(tokens: np.ndarray, passes: np.ndarray) -> Outcomes:
    longest = np.full(len(tokens), 64.0)
    values = {"verified_tokens": tokens, "verification_passes": passes, "most_answer_tokens": longest}
    return Outcomes(
        IDS[: len(tokens)], values={name: column.astype(float) for name, column in values.items()}
    )


def test_acceptance_length_is_tokens_for_each_pass() -> None:
    metric = load_metric("acceptance_length")
    outcomes = drafted(np.array([9, 3, 0]), np.array([3, 3, 0]))  # an answer of one token has no such pass
    assert compute_value(metric, outcomes) == 2.0
    assert compute_value(metric, outcomes.take(np.array([2]))) == 1.0
    assert compute_value(metric, outcomes_of("answer_tokens", np.full(400, 7))) == 1.0, "without a draft"


@pytest.mark.parametrize(("floor", "verdict"), [(2.0, "PASS"), (2.4, "INCONCLUSIVE"), (2.9, "FAIL")])
def test_acceptance_length_has_a_floor(floor: float, verdict: str) -> None:
    rng = np.random.default_rng(0)
    passes = rng.integers(4, 12, 400)
    tokens = passes + rng.binomial(4 * passes, 0.35)
    teacher = outcomes_of("answer_tokens", np.full(400, 7))
    judged = judge_quality(
        load_metric("acceptance_length"),
        teacher,
        drafted(tokens, passes),
        [QualityBudget("floor", floor)],
    )
    assert (judged.teacher, judged.verdict) == (1.0, Verdict(verdict))
    assert judged.value == pytest.approx(tokens.sum() / passes.sum())


def test_how_a_draft_helped_is_no_change() -> None:
    first, other = (drafted(np.full(400, 9), np.full(400, passes)) for passes in (3, 4))
    assert not first.changed_rows(other).any()

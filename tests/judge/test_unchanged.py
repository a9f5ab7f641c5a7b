"""A model beside itself has lost nothing, however few rows there are."""

from __future__ import annotations

import numpy as np
import pytest

from slimgate.judge import QualityBudget, Verdict
from slimgate.judge.metrics import load_metric
from slimgate.judge.perplexity import judge_perplexity
from slimgate.judge.quality import UNCHANGED, judge_quality, judge_unchanged
from slimgate.outcomes import Outcomes


def test_budgets_hold_with_rows_that_alone_would_show_nothing() -> None:
    nats, tokens = np.full(20, 300.0), np.full(20, 100)
    judged = judge_perplexity(nats, nats, tokens, [QualityBudget("increase_relative", 0.01)])
    assert judged.verdict is Verdict.INCONCLUSIVE
    unchanged = judge_unchanged(judged)
    assert (unchanged.verdict, unchanged.interval, unchanged.n_needed) == (Verdict.PASS, (0.0, 0.0), None)
    [budget] = unchanged.budgets
    assert (budget.verdict, budget.interval, budget.p_value) == (Verdict.PASS, (0.0, 0.0), 0.0)
    assert unchanged.warnings == (*judged.warnings, UNCHANGED)


def test_without_a_budget_there_is_no_verdict() -> None:
    nats, tokens = np.full(20, 300.0), np.full(20, 100)
    assert judge_unchanged(judge_perplexity(nats, nats, tokens, [])).verdict is None


@pytest.mark.parametrize(
    ("kind", "limit", "expected"),
    [
        ("length_ratio_max", 1.2, Verdict.PASS),
        ("length_ratio_max", 0.8, Verdict.FAIL),
        ("length_ratio_min", 0.8, Verdict.PASS),
        ("length_ratio_min", 1.2, Verdict.FAIL),
    ],
    ids=["at most longer", "must be shorter", "at most shorter", "must be longer"],
)
def test_answers_of_equal_length_have_the_ratio_1(kind: str, limit: float, expected: Verdict) -> None:
    tokens = np.arange(5.0, 105.0)
    values = {"answer_tokens": tokens, "most_answer_tokens": np.full(100, 128.0)}
    answers = Outcomes(np.arange(100).astype(str), values=values, given=("most_answer_tokens",))
    judged = judge_quality(load_metric("answer_length"), answers, answers, [QualityBudget(kind, limit)])
    unchanged = judge_unchanged(judged)
    assert unchanged.verdict is expected
    assert unchanged.budgets[0].interval == (1.0, 1.0)

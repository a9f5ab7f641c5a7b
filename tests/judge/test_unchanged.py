"""A model beside itself has lost nothing, however few rows there are."""

from __future__ import annotations

import numpy as np

from slimgate.judge import QualityBudget, Verdict
from slimgate.judge.perplexity import judge_perplexity
from slimgate.judge.quality import UNCHANGED, judge_unchanged


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

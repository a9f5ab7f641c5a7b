"""slimgate.judge.size: how many times smaller a variant is, against its budget."""

from __future__ import annotations

import pytest

from slimgate.judge.size import judge_compression
from slimgate.results.base import BudgetFacts, Verdict


@pytest.mark.parametrize(("size", "verdict"), [(399, Verdict.FAIL), (400, Verdict.PASS), (401, Verdict.PASS)])
def test_a_size_is_exact_so_its_budget_is_always_decided(size: int, verdict: Verdict) -> None:
    assert judge_compression(size, 100, 4.0, "phones") == BudgetFacts(
        kind="compression_min", limit=4.0, verdict=verdict, reason="phones", n_needed=None
    )

"""slimgate.judge.kl_log: the chunks of one article are alike, so they count as fewer."""

from __future__ import annotations

import numpy as np
import pytest

from slimgate.judge.budget_tables import LimitBudget
from slimgate.judge.call_times import count_independent_rounds
from slimgate.judge.kl_log import ChunkMeans, compute_figures, judge_chunks
from slimgate.outcomes import Floats
from slimgate.results.base import Verdict

MEAN, AGREEMENT = 0.1, 0.9
BUDGETS = (LimitBudget("mean_max", MEAN, above_cap_max=0.05), LimitBudget("floor", AGREEMENT))


def draw_chunks(rng: np.random.Generator, *, shared: float, count: int = 580) -> ChunkMeans:
    """Articles of ten chunks, log-normal with a mean of 0.1. shared: their share of the variance of logs."""
    articles = rng.standard_normal(count // 10).repeat(10)
    z = np.sqrt(shared) * articles + np.sqrt(1 - shared) * rng.standard_normal(count)
    kl: Floats = MEAN * np.exp(0.7 * z - 0.7**2 / 2)
    return ChunkMeans(kl, kl / 2, 1 - kl)


def test_chunks_that_are_independent_all_count() -> None:
    chunks = draw_chunks(np.random.default_rng(0), shared=0.0)
    low, high = compute_figures(chunks)["mean_max"].interval
    assert count_independent_rounds(chunks.kl, 1.0) == 580
    # 1.645 standard errors down; the made-up chunk has a KL of the cap, 1
    assert chunks.kl.mean() - low == pytest.approx(1.645 * chunks.kl.std() / 580**0.5, rel=0.1)
    assert high - chunks.kl.mean() < 0.012


def test_the_interval_is_wider_if_neighbours_are_alike() -> None:
    chunks = draw_chunks(np.random.default_rng(1), shared=0.5)
    low, high = compute_figures(chunks)["mean_max"].interval
    mixed = ChunkMeans(*(np.random.default_rng(2).permutation(column) for column in chunks[:3]))
    narrow_low, narrow_high = compute_figures(mixed)["mean_max"].interval
    counted = count_independent_rounds(chunks.kl, 1.0)
    assert counted < 200
    # a little less than the root, because the made-up chunk is the same
    times = (chunks.kl.mean() - low) / (chunks.kl.mean() - narrow_low)
    assert 0.85 * (580 / counted) ** 0.5 < times < (580 / counted) ** 0.5
    assert high > narrow_high + 0.003


@pytest.mark.slow
@pytest.mark.parametrize("shared", [0.0, 0.3, 0.6])
def test_articles_at_the_limit_seldom_pass_or_fail(shared: float) -> None:
    """If each chunk counted, a fifth of them would pass and a fourth would fail."""
    rng, runs = np.random.default_rng(3), 150
    wrong = {Verdict.PASS: 0, Verdict.FAIL: 0, Verdict.INCONCLUSIVE: 0}
    for _ in range(runs):
        chunks = draw_chunks(rng, shared=shared)
        verdicts = [judge_chunks(chunks, budget, compute_figures(chunks)).verdict for budget in BUDGETS]
        for verdict in set(verdicts):
            wrong[verdict] += 1
    # 7 % and two standard errors of 150 runs; autocorrelations are only estimates
    assert wrong[Verdict.PASS] / runs <= 0.07 + 0.042
    assert wrong[Verdict.FAIL] / runs <= 0.07 + 0.042

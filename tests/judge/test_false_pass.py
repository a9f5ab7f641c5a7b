"""The bootstrap by simulation: a variant whose true drop is the margin seldom passes."""

from __future__ import annotations

import numpy as np
import pytest

from slimgate.judge.bootstrap import paired_resamples
from slimgate.metrics import load_metric
from slimgate.outcomes import ClassOutcomes, Floats

K = 3


def population(prior: list[float], psi: float, drop: float) -> Floats:
    """(label, teacher, variant) chances: teacher right 90 %, psi of the rows change, `drop` net."""
    chance = np.zeros((K, K, K))
    lost, won = (psi + drop) / 2, (psi - drop) / 2
    for label, share in enumerate(prior):
        chance[label, label, label] = share * (0.9 - lost)
        for wrong in {0, 1, 2} - {label}:
            chance[label, label, wrong] = share * lost / 2
            chance[label, wrong, label] = share * won / 2
            chance[label, wrong, wrong] = share * (0.1 - won) / 2
    return chance


def drop(before: Floats, after: Floats) -> Floats:
    return before - after


@pytest.mark.parametrize(
    ("n", "psi", "points"),
    [
        pytest.param(310, 0.02, 0.02, id="nothing is won back"),
        pytest.param(500, 0.05, 0.02, id="some is won back"),
    ],
)
@pytest.mark.parametrize("name", ["f1_macro", "mcc"])
def test_a_drop_at_the_margin_passes_in_at_most_6_percent(
    name: str, n: int, psi: float, points: float
) -> None:
    metric = load_metric(name)
    assert metric.from_confusion is not None
    chance = population([0.4, 0.35, 0.25], psi, points)
    true = float(metric.from_confusion(chance.sum(axis=2)) - metric.from_confusion(chance.sum(axis=1)))
    labels, teacher, variant = np.indices((K, K, K)).reshape(3, -1)
    rng, passed, runs = np.random.default_rng(0), 0, 400
    for seed in range(runs):
        cell = np.repeat(np.arange(K**3), rng.multinomial(n, chance.ravel()))
        ids = np.arange(n).astype(np.str_)
        before = ClassOutcomes(ids, labels[cell], teacher[cell], ("a", "b", "c"))
        after = ClassOutcomes(ids, labels[cell], variant[cell], ("a", "b", "c"))
        high = paired_resamples(metric, before, after, seed=seed, resamples=1000).interval(drop)[1]
        passed += high < true
    # 6 % and two standard errors of 400 runs
    assert passed / runs <= 0.06 + 0.024


@pytest.mark.parametrize(("n", "turned"), [(200, 0.02), (500, 0.01)])
def test_few_rows_that_turn_round_do_not_pass_unseen(n: int, turned: float) -> None:
    """Log loss where that share of the rows has its log-odds reversed, most of them to the worse."""
    metric = load_metric("log_loss")

    def pair(rng: np.random.Generator, rows: int) -> tuple[ClassOutcomes, ClassOutcomes]:
        labels = np.arange(rows) % 2
        margin = rng.normal(1.8, 1.3, rows)
        after = np.where(rng.random(rows) < turned, -margin, margin)
        both = [1 / (1 + np.exp(np.where(labels == 1, -m, m))) for m in (margin, after)]
        ids = np.zeros(rows, dtype=np.str_)
        before, variant = (
            ClassOutcomes(ids, labels, (p > 0.5).astype(np.int64), ("a", "b"), np.stack([1 - p, p], axis=1))
            for p in both
        )
        return before, variant

    def value(outcomes: ClassOutcomes) -> float:
        return float(metric.statistic(outcomes, np.ones(len(outcomes))))

    before, variant = pair(np.random.default_rng(1), 1_000_000)
    true, passed, runs = value(variant) - value(before), 0, 300
    rng = np.random.default_rng(2)
    for seed in range(runs):
        drawn = paired_resamples(metric, *pair(rng, n), seed=seed, resamples=500)
        passed += drawn.interval(lambda teacher, after: after - teacher)[1] < true
    assert passed / runs <= 0.06 + 0.027

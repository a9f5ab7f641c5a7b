from __future__ import annotations

import numpy as np
import pytest

from slimgate.judge.metrics import load_metric
from tools.simulations.judging import judge_often
from tools.simulations.populations import Population, Predictions, Scores

POPULATIONS: list[Population] = [
    Predictions((0.70, 0.25, 0.05), 0.05, 0.02),
    Predictions((0.1,) * 10, 0.10, 0.0),
    Scores(0.5, psi=0.05),
    Scores(0.1, psi=0.2, moved=0.3, fresh=True),
    Scores(0.3, jitter=0.5),
]


@pytest.mark.parametrize("population", POPULATIONS, ids=str)
def test_the_computed_drop_is_that_of_very_many_rows(population: Population) -> None:
    metric, rows = load_metric(population.metric), 400_000
    before, after = population.draw(np.random.default_rng(0), rows)
    weights = np.ones(rows)
    drop = float(metric.statistic(before, weights) - metric.statistic(after, weights))
    # standard errors of a drop of this many rows are under 0.0008
    assert drop == pytest.approx(population.drop, abs=0.0024)


@pytest.mark.parametrize(
    ("population", "n"),
    [
        pytest.param(
            Predictions((0.70, 0.25, 0.05), 0.02, 0.02), 200, id="macro F1, few rows, all change lost"
        ),
        pytest.param(Predictions((1 / 3,) * 3, 0.05, 0.01), 1000, id="macro F1"),
        pytest.param(Scores(0.5, psi=0.02), 500, id="ROC-AUC, few turned round"),
        pytest.param(Scores(0.5, jitter=0.3), 500, id="ROC-AUC, noise"),
    ],
)
def test_a_drop_of_the_margin_seldom_passes_and_is_covered(population: Population, n: int) -> None:
    shares = judge_often(population, n, reps=200, seed=1, resamples=300)
    assert shares.refused == 0
    # 6 % and 87 %, and two standard errors of 200 runs
    assert shares.passed <= 0.06 + 0.034
    assert shares.covered >= 0.87 - 0.048

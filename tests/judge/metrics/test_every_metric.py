"""What holds for every metric of the folder, also for the ones that are added later."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from support.class_metrics import CLASS_METRICS

from slimgate.errors import MeasureError
from slimgate.judge.metrics import Metric, load_metric
from slimgate.outcomes import ClassOutcomes

MakeOutcomes = Callable[..., ClassOutcomes]


@pytest.fixture(params=CLASS_METRICS)
def metric(request: pytest.FixtureRequest) -> Metric:
    return load_metric(request.param)


@pytest.fixture
def outcomes(metric: Metric, random_outcomes: MakeOutcomes) -> ClassOutcomes:
    return random_outcomes(2 if metric.binary_only else 4)


def test_the_name_is_the_one_it_is_found_by(metric: Metric) -> None:
    assert load_metric(metric.name) is metric


def test_permuting_the_rows_changes_nothing(metric: Metric, outcomes: ClassOutcomes) -> None:
    weights = np.ones(len(outcomes))
    shuffled = outcomes.take(np.random.default_rng(1).permutation(len(outcomes)))
    assert metric.statistic(shuffled, weights) == pytest.approx(
        metric.statistic(outcomes, weights), abs=1e-12
    )


def test_whole_weights_are_rows_repeated(metric: Metric, outcomes: ClassOutcomes) -> None:
    weights = np.random.default_rng(2).integers(0, 4, len(outcomes))
    repeated = outcomes.take(np.repeat(np.arange(len(outcomes)), weights))
    expected = metric.statistic(repeated, np.ones(len(repeated)))
    assert metric.statistic(outcomes, weights.astype(np.float64)) == pytest.approx(expected, abs=1e-12)


def test_many_lines_of_weights_give_what_each_gives_alone(metric: Metric, outcomes: ClassOutcomes) -> None:
    lines = np.random.default_rng(3).integers(0, 3, (5, len(outcomes))).astype(np.float64)
    values = metric.statistic(outcomes, lines)
    assert values.shape == (5,)
    assert values == pytest.approx([float(metric.statistic(outcomes, line)) for line in lines], abs=1e-12)


def test_scaling_all_weights_changes_nothing(metric: Metric, outcomes: ClassOutcomes) -> None:
    weights = np.random.default_rng(4).random(len(outcomes))
    assert metric.statistic(outcomes, 7 * weights) == pytest.approx(
        metric.statistic(outcomes, weights), abs=1e-12
    )


def test_the_value_is_a_number_inside_the_range(metric: Metric, outcomes: ClassOutcomes) -> None:
    value = metric.statistic(outcomes, np.ones(len(outcomes)))
    assert value.shape == ()
    assert metric.value_range[0] <= value <= metric.value_range[1]


def test_a_perfect_model_has_the_best_value(metric: Metric, outcomes: ClassOutcomes) -> None:
    k = len(outcomes.classes)
    perfect = ClassOutcomes(
        outcomes.ids, outcomes.labels, outcomes.labels, outcomes.classes, np.eye(k)[outcomes.labels]
    )
    best = metric.value_range[1] if metric.higher_is_better else metric.value_range[0]
    assert metric.statistic(perfect, np.ones(len(perfect))) == pytest.approx(best, abs=1e-12)


def test_no_rows_are_an_error(metric: Metric, outcomes: ClassOutcomes) -> None:
    with pytest.raises(MeasureError, match="no rows"):
        metric.statistic(outcomes.take(np.array([], dtype=np.int64)), np.ones(0))


@pytest.mark.parametrize("name", [name for name in CLASS_METRICS if load_metric(name).per_row])
def test_per_row_has_the_metric_as_its_mean(random_outcomes: MakeOutcomes, name: str) -> None:
    metric, outcomes = load_metric(name), random_outcomes(4)
    assert metric.per_row is not None
    rows = metric.per_row(outcomes)
    assert set(rows.tolist()) <= {0.0, 1.0}
    assert rows.mean() == pytest.approx(metric.statistic(outcomes, np.ones(len(outcomes))), abs=1e-12)


@pytest.mark.parametrize("name", [name for name in CLASS_METRICS if load_metric(name).influence])
@pytest.mark.parametrize("classes", [2, 4])
def test_influence_is_how_the_value_moves_with_a_rows_weight(
    random_outcomes: MakeOutcomes, name: str, classes: int
) -> None:
    metric, outcomes = load_metric(name), random_outcomes(classes, rows=400)
    assert metric.influence is not None
    step, weights = 1e-5, np.ones(400)
    values = metric.statistic(outcomes, np.concatenate([[weights], weights + step * np.eye(400)]))
    derivative = 400 * (values[1:] - values[0]) / step
    influence = metric.influence(outcomes)
    assert influence.sum() == pytest.approx(0, abs=1e-9)
    # DeLong divides by the positives less one: one half of a percent and less of 100 and more
    assert influence == pytest.approx(derivative, rel=0.006, abs=1e-3)

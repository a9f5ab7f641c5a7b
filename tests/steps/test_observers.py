"""Ranges from histograms, by hand and against a search that quantizes the values themselves."""

from __future__ import annotations

import numpy as np
import pytest

from slimgate.steps.observers import BINS, Histogram, Observer, observe


def histogram(values: np.ndarray) -> Histogram:
    counts, _ = np.histogram(values, BINS, (values.min(), values.max()))
    return Histogram(counts.astype(np.float64), float(values.min()), float(values.max()))


def normal_with_outliers(share: float) -> np.ndarray:
    random = np.random.default_rng(0)
    values = random.normal(size=200_000)
    values[: int(share * len(values))] *= 10
    return values


def quantized_error(values: np.ndarray, low: float, high: float) -> float:
    step = (high - low) / 255
    return float(np.mean((np.round((values.clip(low, high) - low) / step) * step + low - values) ** 2))


def test_minmax_is_the_whole_range() -> None:
    assert observe("minmax", Histogram(np.ones(4), -1.0, 3.0)) == (-1.0, 3.0)


def test_percentiles_of_a_uniform_histogram_lie_where_expected() -> None:
    low, high = observe("percentile", Histogram(np.ones(100), 0.0, 10.0), percentile=90)
    assert (low, high) == pytest.approx((1.0, 9.0))


def test_the_percentile_of_values_is_numpys() -> None:
    values = normal_with_outliers(0.01)
    low, high = observe("percentile", histogram(values), percentile=99.9)
    assert (low, high) == pytest.approx(tuple(np.percentile(values, [0.1, 99.9])), abs=0.05)


def test_the_100th_percentile_is_the_whole_range() -> None:
    values = normal_with_outliers(0.01)
    assert observe("percentile", histogram(values), percentile=100) == (values.min(), values.max())


@pytest.mark.parametrize("share", [0.0, 1e-4, 1e-2])
def test_the_least_squares_range_is_near_the_best_of_a_search(share: float) -> None:
    values = normal_with_outliers(share)
    end = np.abs(values).max()
    best = min(quantized_error(values, -cut, cut) for cut in np.linspace(0.02, 1, 60) * end)
    assert quantized_error(values, *observe("mse", histogram(values))) <= 1.03 * best


def test_the_least_squares_range_of_positive_values_begins_at_0() -> None:
    low, high = observe("mse", histogram(np.abs(normal_with_outliers(1e-4))))
    assert low == pytest.approx(0, abs=1e-3)
    assert 3 < high < 30


def test_entropy_cuts_a_long_tail_and_keeps_a_uniform_range() -> None:
    heavy = histogram(normal_with_outliers(1e-4))
    low, high = observe("entropy", heavy)
    assert heavy.low < low < -2.5
    assert 2.5 < high < heavy.high
    assert observe("entropy", Histogram(np.ones(BINS), -1.0, 1.0)) == (-1.0, 1.0)


@pytest.mark.parametrize("observer", ["minmax", "percentile", "mse", "entropy"])
def test_values_that_are_all_zero_have_a_range_of_nothing(observer: Observer) -> None:
    assert observe(observer, Histogram(np.zeros(BINS), 0.0, 0.0)) == (0.0, 0.0)


@pytest.mark.parametrize("observer", ["percentile", "mse", "entropy"])
def test_no_range_is_wider_than_what_was_seen(observer: Observer) -> None:
    seen = histogram(normal_with_outliers(1e-2) + 0.5)
    low, high = observe(observer, seen)
    assert seen.low <= low < high <= seen.high

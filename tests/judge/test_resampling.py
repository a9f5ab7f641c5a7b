from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from slimgate.judge import resampling as module
from slimgate.judge.resampling import POISSON_FROM, _kinds, multiplicities


def test_few_units_are_drawn_as_many_times_as_there_are() -> None:
    rng = np.random.default_rng(0)
    assert (multiplicities(rng, np.ones(50, dtype=np.int64), 30).sum(axis=1) == 50).all()
    assert (multiplicities(rng, np.array([40, 1, 9]), 30).sum(axis=1) == 50).all()


def test_many_units_come_a_poisson_number_of_times_each() -> None:
    drawn = multiplicities(np.random.default_rng(0), np.ones(POISSON_FROM, dtype=np.int64), 200)
    seen = np.bincount(drawn.ravel().astype(np.int64), minlength=9)[:9]
    # to 16 bits: 1 in 65,536 of 2 million is 30
    assert seen == pytest.approx(drawn.size * stats.poisson.pmf(np.arange(9), 1), rel=0.02, abs=90)
    assert drawn.mean() == pytest.approx(1, abs=0.003)
    assert drawn.var() == pytest.approx(1, abs=0.005)


def test_the_mean_of_the_tabled_numbers_is_exactly_one() -> None:
    assert sum(module._THRESHOLDS) == 2**16
    expected = 2**16 * stats.poisson.sf(np.arange(len(module._THRESHOLDS)), 1)
    assert module._thresholds() == module._THRESHOLDS == pytest.approx(expected, abs=1.0)


def test_equal_units_come_as_often_as_all_of_them_together() -> None:
    units = np.array([1, 3, 16, 17, 20_000])
    drawn = multiplicities(np.random.default_rng(0), units, 6000)
    assert drawn.mean(axis=0) == pytest.approx(units, rel=0.05)
    assert drawn.var(axis=0) == pytest.approx(units, rel=0.08)
    assert np.corrcoef(drawn.T) == pytest.approx(np.eye(5), abs=0.05)


@pytest.mark.parametrize(
    "units",
    [np.ones(POISSON_FROM + 3, dtype=np.int64), np.array([1, 2, 20_000, 5]), np.array([9, 1, 2])],
    ids=["rows", "cells", "few"],
)
def test_draws_do_not_depend_on_how_many_are_asked_for_at_a_time(units: np.ndarray) -> None:
    whole = multiplicities(np.random.default_rng(1), units, 6)
    rng = np.random.default_rng(1)
    assert (np.concatenate([multiplicities(rng, units, k) for k in (1, 2, 3)]) == whole).all()


def test_a_mean_has_the_same_standard_error_either_way(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.random.default_rng(2).exponential(size=2000)
    errors = []
    for switch in (10_000, 0):
        monkeypatch.setattr(module, "POISSON_FROM", switch)
        weights = multiplicities(np.random.default_rng(3), np.ones(2000, dtype=np.int64), 6000)
        errors.append((weights @ rows / weights.sum(axis=1)).std())
    assert errors == pytest.approx([rows.std() / np.sqrt(2000)] * 2, rel=0.03)


def test_kinds_that_are_counted_are_those_that_are_sorted() -> None:
    values = np.random.default_rng(0).integers(0, 40, 1000)
    counted, sorted_ = _kinds(values, 50), _kinds(values, 5000)
    for one, other in zip(counted, sorted_, strict=True):
        assert np.array_equal(one, other)

"""The exact interval of a share: scipy's, never wrong more often than it says, wider for grouped rows."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from slimgate.judge.proportion import exact_interval, share_rows


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (1, 10), (7, 400), (200, 400), (400, 400)])
def test_it_is_that_of_scipy(hits: int, n: int) -> None:
    theirs = binomtest(hits, n).proportion_ci(confidence_level=0.9, method="exact")
    assert exact_interval(hits / n, n) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


@pytest.mark.parametrize("limit", [0.0005, 0.005, 0.02, 0.5, 0.98])
@pytest.mark.parametrize("n", [50, 600, 3000])
def test_a_share_at_its_limit_is_called_below_or_above_at_most_5_percent_of_the_time(
    n: int, limit: float
) -> None:
    """Exact, over every count that can be seen."""
    hits = np.arange(n + 1)
    chance = binom.pmf(hits, n, limit)
    likely = hits[chance > 1e-15]
    bounds = np.array([exact_interval(k / n, n) for k in likely])
    assert chance[likely][bounds[:, 1] < limit].sum() <= 0.05 + 1e-9
    assert chance[likely][bounds[:, 0] > limit].sum() <= 0.05 + 1e-9


def test_a_design_effect_divides_the_rows_and_students_t_takes_more() -> None:
    assert exact_interval(0.1, 1000, design_effect=4.0) == pytest.approx(exact_interval(0.1, 250))
    low, high = exact_interval(0.1, 1000, quantile=1.833)
    assert low < exact_interval(0.1, 1000)[0]
    assert high > exact_interval(0.1, 1000)[1]


@pytest.mark.parametrize(("share", "limit"), [(0.01, 0.02), (0.85, 0.8), (0.03, 0.02)])
def test_the_rows_that_would_tell_do_so_four_times_of_five(share: float, limit: float) -> None:
    rows = share_rows(share, limit)
    assert rows is not None
    hits = np.arange(rows + 1)
    chance = binom.pmf(hits, rows, share)
    likely = hits[chance > 1e-12]
    bounds = np.array([exact_interval(k / rows, rows) for k in likely])
    told = bounds[:, 1] < limit if share < limit else bounds[:, 0] > limit
    assert chance[likely][told].sum() == pytest.approx(0.8, abs=0.05)


def test_where_nothing_or_all_was_hit_the_bound_itself_counts_the_rows() -> None:
    rows = share_rows(1.0, 0.99)
    assert rows is not None
    assert exact_interval(1.0, rows)[0] >= 0.99 > exact_interval(1.0, rows - 1)[0]
    assert share_rows(0.8, 0.8) is None

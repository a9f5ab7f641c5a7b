from __future__ import annotations

import pytest

from slimgate.judge.rows_needed import needed_rows, planned_rows
from slimgate.judge.tango import tango_interval


@pytest.mark.parametrize(
    ("margin", "psi", "rows"),
    [
        (0.01, 0.02, 1237),
        (0.01, 0.05, 3092),
        (0.01, 0.10, 6183),
        (0.02, 0.02, 310),
        (0.02, 0.05, 773),
        (0.02, 0.10, 1546),
    ],
)
def test_planned_rows_are_those_of_statistics_md(margin: float, psi: float, rows: int) -> None:
    assert planned_rows(margin, discordance=psi) == rows


def test_a_plan_assumes_a_discordance_of_5_percent() -> None:
    assert planned_rows(0.02) == 773


def test_a_true_drop_of_half_the_margin_needs_four_times_as_many() -> None:
    assert needed_rows(0.01, 0.005, variance=0.05) == pytest.approx(4 * planned_rows(0.01), abs=4)


def test_the_design_effect_multiplies_the_rows() -> None:
    assert planned_rows(0.01, design_effect=2.0) == pytest.approx(2 * planned_rows(0.01), abs=1)


def test_rows_that_would_show_a_fail_are_given_for_a_drop_above_the_margin() -> None:
    assert needed_rows(0.01, 0.03, variance=0.04) == 619  # 6.1826 * 0.04 / 0.0004 = 618.3


def test_no_number_of_rows_decides_a_drop_equal_to_the_margin() -> None:
    assert needed_rows(0.02, 0.02, variance=0.05) is None


def test_without_any_change_the_rows_are_those_where_tangos_bound_comes_under() -> None:
    rows = needed_rows(0.01, 0.0, variance=0.0)
    assert rows is not None
    assert tango_interval(0, 0, rows)[1] <= 0.01 < tango_interval(0, 0, rows - 1)[1]

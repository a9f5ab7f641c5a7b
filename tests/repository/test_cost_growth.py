"""The tool that measures how costs grow runs at small sizes, and its fit and tables are right."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.report_sections import split_row

from slimgate.results.checks import CheckKey
from slimgate.run.gate_results import list_expected_checks
from slimgate.suite.suite import Suite
from tools.measuring.cost_growth import (
    judge_all,
    make_suite,
    measure_rows,
    measure_slices,
    measure_variants,
    write_stored_outcomes,
)
from tools.measuring.growth_report import fit_slope, format_table
from tools.measuring.log_growth import measure_lm_eval_logs, measure_prediction_files
from tools.measuring.page_cost import main as measure_page_cost


@pytest.mark.parametrize("power", [1, 2, 3])
def test_the_slope_is_the_power_of_the_cost(power: int) -> None:
    sizes = [10, 100, 1000]
    assert fit_slope(sizes, [3.0 * size**power for size in sizes]) == pytest.approx(power)


def test_the_slope_is_that_of_the_largest_sizes() -> None:
    """The start of a process takes as long for 1 row as for 1,000."""
    assert fit_slope([1, 10, 100, 1000], [9.0, 1.0, 10.0, 100.0]) == pytest.approx(1)


def test_a_cost_that_is_too_small_has_no_slope() -> None:
    assert fit_slope([10, 100, 1000], [0.4, 4.0, 40.0], 0.5) is None
    assert fit_slope([100, 1000], [4.0, 40.0]) is None


def test_a_table_ends_with_the_slopes() -> None:
    costs = [{"judge": float(size), "peak MB": 100.0} for size in (10, 100, 1000)]
    *_, last = format_table("rows", [10, 100, 1000], costs).splitlines()
    assert split_row(last) == ["**slope**", "**1.00**", "**0.00**"]


@pytest.mark.parametrize(
    ("measure", "size", "stage"),
    [
        (lambda size: measure_variants(size, 200), 3, "record"),
        (measure_rows, 300, "accuracy"),
        (lambda size: measure_slices(size, 300), 3, "judge"),
    ],
    ids=["variants", "rows", "slices"],
)
def test_a_size_has_the_cost_of_each_stage(
    measure: Callable[[int], dict[str, float]], size: int, stage: str
) -> None:
    cost = measure(size)
    assert cost[stage] > 0
    assert cost["peak MB"] > 10


@pytest.mark.slow
@pytest.mark.parametrize("measure", [measure_lm_eval_logs, measure_prediction_files])
def test_logs_are_written_and_judged(measure: Callable[[int], dict[str, float]]) -> None:
    assert measure(200)["judge"] > 0


def test_the_checks_of_a_suite_cost_the_same_for_each_variant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Listing them asked each variant about all others, twice: a record of 1,000 variants took 70 seconds."""
    calls, is_timed = [0], Suite.is_timed

    def count(suite: Suite, name: str) -> bool:
        calls[0] += 1
        return is_timed(suite, name)

    suites = [make_suite(tmp_path, variants) for variants in (10, 40)]
    monkeypatch.setattr(Suite, "is_timed", count)
    counts = []
    for suite in suites:
        calls[0] = 0
        assert len(list_expected_checks(suite)) > 5 * len(suite.variants)
        counts.append(calls[0])
    assert counts[1] <= 4 * counts[0]


def test_each_variant_is_judged(tmp_path: Path) -> None:
    suite = make_suite(tmp_path, 2)
    results = judge_all(suite, write_stored_outcomes(tmp_path, 200), {})
    assert all(results.has(CheckKey("quality", name, "accuracy")) for name in suite.variants)


def test_only_the_pages_of_one_number_of_variants_are_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        measure_page_cost(["--variants", "1", "2", "--keep", str(tmp_path / "pages")])
    assert "--variants [1, 2] was given, pass one number" in capsys.readouterr().err

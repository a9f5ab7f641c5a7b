"""The report's section on builds by seed."""

from __future__ import annotations

import pytest
from support.report_sections import split_row
from support.sample_record import PASS, make_quality, make_record_of, make_variant

from slimgate.report import format_suite_report
from slimgate.report.builds import list_unlucky_builds
from slimgate.results.base import BudgetFacts
from slimgate.results.quality import BuildsFacts

BUILDS = BuildsFacts(
    seeds=[3, 1, 2], drops_points=[0.4, 2.6, -0.3], mean_points=0.9, sd_points=1.513, sampling_se_points=0.365
)


def report_with(builds: BuildsFacts | None) -> str:
    facts = {"accuracy": make_quality("x", "accuracy", 0.4, (-0.2, 1.0), PASS, builds=builds)}
    return format_suite_report(make_record_of(make_variant("x", quality=facts)))


def test_builds_are_listed_by_seed_with_both_spreads() -> None:
    report = report_with(BUILDS)
    [line] = [line for line in report.splitlines() if "3: 0.4, 1: 2.6, 2: -0.3" in line]
    assert split_row(line) == [
        "x",
        "accuracy",
        "3: 0.4, 1: 2.6, 2: -0.3",
        "0.90",
        "1.51",
        "0.36",
    ]


def test_a_build_beyond_the_budget_is_reported_at_the_top() -> None:
    message = "- x, accuracy: builds by other seeds drop by more than the budget of 2 points (seed 1 by 2.6)."
    assert message in report_with(BUILDS)
    inside = BUILDS.model_copy(update={"drops_points": [0.4, 1.6, -0.3]})
    assert "builds by other seeds" not in report_with(inside)


@pytest.mark.parametrize(
    ("drop", "words"),
    [
        pytest.param(-2.0, None, id="a gain inside both"),
        pytest.param(1.5, "drop by more than the budget of 1 point (seed 1 by 1.5)", id="a loss"),
        pytest.param(-6.0, "differ by more than the budget of 5 points (seed 1 by -6.0)", id="a large gain"),
    ],
)
def test_each_budget_limits_the_builds_in_its_own_direction(drop: float, words: str | None) -> None:
    """The variant may lose a point, and may differ by five."""
    budgets = [
        BudgetFacts(kind=kind, limit=limit, verdict=PASS)
        for kind, limit in (("drop_points", 1.0), ("equivalent_points", 5.0))
    ]
    builds = BUILDS.model_copy(update={"drops_points": [0.4, drop, 0.1]})
    facts = make_quality("x", "accuracy", 0.4, (-0.2, 1.0), PASS, builds=builds)
    model = make_variant("x", quality={"accuracy": facts.model_copy(update={"budgets": budgets})})
    lines = list(list_unlucky_builds(make_record_of(model)))
    assert lines == ([] if words is None else [f"x, accuracy: builds by other seeds {words}."])


def test_a_floor_over_builds_is_about_all_of_them() -> None:
    floor = BudgetFacts(kind="floor", limit=0.8, verdict=PASS, value=0.82, interval=(0.811, 0.829), builds=3)
    facts = make_quality("x", "accuracy", 0.4, (-0.2, 1.0), PASS, builds=BUILDS)
    models = [make_variant("x", quality={"accuracy": facts.model_copy(update={"budgets": [floor]})})]
    text = format_suite_report(make_record_of(*models))
    assert 'Budgets "over builds" are about\nthe mean of all builds' in text
    assert "The verdicts are about the build of the first seed" not in text
    assert "mean of 3 builds 0.820 [0.811, 0.829]" in text


def test_one_seed_has_no_section() -> None:
    assert "Builds by seed" not in report_with(None)

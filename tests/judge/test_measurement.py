"""Verdicts on figures of measurements: by intervals, and by the limit for what is counted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from slimgate.judge.budget_tables import LimitBudget
from slimgate.judge.figures import MeasuredFigures, format_figures_message, judge_figures

RATIO, VALUE = "value_ratio_max", "value_max"


def figures_of(teacher: Sequence[float], variant: Sequence[float]) -> MeasuredFigures:
    return MeasuredFigures(np.array(teacher, float), np.array(variant, float))


def verdict(figures: MeasuredFigures, kind: str, limit: float) -> str:
    return judge_figures(figures, LimitBudget(kind, limit)).verdict


@pytest.mark.parametrize(("limit", "expected"), [(0.9, "PASS"), (0.82, "INCONCLUSIVE"), (0.7, "FAIL")])
def test_the_whole_interval_decides(limit: float, expected: str) -> None:
    teacher = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    figures = figures_of(teacher, [0.8 * value for value in teacher[:-1]] + [0.84 * teacher[-1]])
    assert figures.ratio.value == pytest.approx(0.8)
    assert figures.ratio.interval == pytest.approx((0.8, 0.84))  # of 6 rounds, the smallest and the largest
    assert verdict(figures, RATIO, limit) == expected


def test_turns_cancel_what_slows_both() -> None:
    slower = np.linspace(1, 5, 10)
    figures = MeasuredFigures(slower, 0.8 * slower)
    assert verdict(figures, RATIO, 0.81) == "PASS"
    assert verdict(figures, VALUE, 3) == "INCONCLUSIVE"
    assert verdict(figures, VALUE, 4.1) == "PASS"


@pytest.mark.parametrize("count", [3, 7, 2])
def test_a_counted_figure_may_equal_its_limit(count: int) -> None:
    figures = figures_of([12], [count])
    assert figures.value.value == count
    assert verdict(figures, VALUE, count) == verdict(figures, RATIO, count / 12) == "PASS"
    assert verdict(figures, VALUE, count - 0.01) == "FAIL"


def test_the_line_has_the_values_and_every_verdict() -> None:
    figures = figures_of([2.0] * 6, [1.0, 1.0, 1.0, 1.0, 1.0, 1.2])
    judged = [judge_figures(figures, LimitBudget(RATIO, 0.55)), judge_figures(figures, LimitBudget(VALUE, 9))]
    assert format_figures_message("int8", "load time", "s", figures, judged) == (
        "int8: load time 1 [1, 1.2] vs 2 s, 0.5 [0.5, 0.6] of the teacher's (6 rounds), "
        "budget value_ratio_max 0.55: INCONCLUSIVE, budget value_max 9: PASS, "
        "an interval lies on both sides of its limit"
    )


@pytest.mark.parametrize("rounds", [6, 10, 20])
def test_a_variant_at_its_limit_seldom_passes(rounds: int) -> None:
    generator = np.random.default_rng(20261205 + rounds)
    passed = 0
    for _ in range(2_000):
        machine = np.exp(generator.normal(0, 0.3, rounds))  # what both share in a round
        noise = np.exp(generator.standard_t(2, (2, rounds)) * 0.05)
        figures = MeasuredFigures(machine * noise[0], 0.8 * machine * noise[1])
        passed += verdict(figures, RATIO, 0.8) == "PASS"
    assert passed / 2_000 < 0.035  # 2.5 % and its noise

"""Judges budgets on figures that measurements give, such as energy or load time.

The teacher and the variant are measured in turns. The ratio is the median of variant / teacher over the
rounds, with the exact 95 % interval that duels have too (`judge.speed`), so a machine that gets slower
during the run changes both. A budget holds if the whole interval is within the limit. A figure that is
counted has one reading and no interval: it is compared with the limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp

import numpy as np

from slimgate.judge.budget_tables import VALUE_RATIO, LimitBudget
from slimgate.judge.decision import choose_verdict, make_budget_facts
from slimgate.judge.speed import compute_log_ratio_interval
from slimgate.outcomes import Floats
from slimgate.results.base import BudgetFacts, Verdict


@dataclass(frozen=True)
class Figure:
    """A positive figure with its exact 95 % interval; None if the figure is counted."""

    value: float
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class MeasuredFigures:
    """The readings of a variant and of the teacher by round: (rounds,) values above 0, else MeasureError."""

    teacher: Floats
    variant: Floats

    @property
    def ratio(self) -> Figure:
        """variant / teacher: the median over rounds; below 1 the variant takes less."""
        return _find_median(self.variant, self.teacher)

    @property
    def value(self) -> Figure:
        """The median of the variant's readings."""
        return _find_median(self.variant, np.ones_like(self.variant))

    @property
    def teacher_value(self) -> Figure:
        """The median of the teacher's readings."""
        return _find_median(self.teacher, np.ones_like(self.teacher))


def _find_median(values: Floats, divisors: Floats) -> Figure:
    if len(values) == 1:  # counted: not by logarithms, because 3 would become 3.0000000000000004
        return Figure(float(values[0] / divisors[0]), None)
    middle, low, high = compute_log_ratio_interval(values, divisors)
    return Figure(exp(middle), (exp(low), exp(high)))


def judge_figures(figures: MeasuredFigures, budget: LimitBudget) -> BudgetFacts:
    """PASS if the whole interval is within the limit, FAIL if none of it is, else INCONCLUSIVE."""
    figure = figures.ratio if budget.kind == VALUE_RATIO else figures.value
    low, high = figure.interval or (figure.value, figure.value)
    verdict = choose_verdict(inside=high <= budget.limit, outside=low > budget.limit)
    return make_budget_facts(budget, verdict, value=figure.value, interval=figure.interval)


def format_figures_message(
    name: str, title: str, unit: str, figures: MeasuredFigures, budgets: Sequence[BudgetFacts]
) -> str:
    """The line of the gate.

    Example: `int8: load time 2.91 [2.84, 3.02] vs 3.6 s, 0.808 [0.79, 0.83] of the teacher's (10 rounds)`.
    """
    values = f"{_format(figures.value)} vs {figures.teacher_value.value:.4g}{unit and f' {unit}'}"
    line = f"{name}: {title} {values}, {_format(figures.ratio)} of the teacher's"
    if len(figures.variant) > 1:
        line += f" ({len(figures.variant)} rounds)"
    for budget in budgets:
        line += f", budget {budget.kind} {budget.limit:g}: {budget.verdict}"
    if any(budget.verdict is Verdict.INCONCLUSIVE for budget in budgets):
        line += ", an interval lies on both sides of its limit"
    return line


def _format(figure: Figure) -> str:
    if figure.interval is None:
        return f"{figure.value:.4g}"
    return f"{figure.value:.4g} [{figure.interval[0]:.4g}, {figure.interval[1]:.4g}]"

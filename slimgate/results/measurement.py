"""A figure that a measurement of a suite gave."""

from __future__ import annotations

from slimgate.results.base import BudgetFacts, Verdict
from slimgate.results.facts import Facts


class MeasurementFacts(Facts):
    """One figure of a variant and of the teacher, measured in turns. A smaller value is better.

    title, unit: as the measurement states them. teacher, value: medians of the readings, (rounds,) values of
    each. ratio: the median of variant / teacher by round. interval: the exact 95 % interval of the ratio;
    None if there are too few rounds for one, or if the figure is counted.
    """

    title: str
    unit: str = ""
    teacher: float
    value: float
    teacher_readings: list[float]
    readings: list[float]
    ratio: float
    interval: tuple[float, float] | None = None
    budgets: list[BudgetFacts] = []
    verdict: Verdict | None = None
    message: str | None = None
    measured: str

"""A kind of budget as one object: its key, its words, and which way its limit points.

A file of this package holds one as `kind`. What decides a budget is statistics, and is in judge/; a kind of
budget on a metric says by `question` which of the judge's tests that is.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from typing import Literal, Protocol

from slimgate.plugins.workloads import TimedPart

# The table of a metric, such as `accuracy = { drop_points = 2.0 }`.
METRIC = "metric"
Unit = Literal["points", "percent"]
# Which test decides a budget on a metric: of the drop, of drop and gain, of the drop as a share of the
# teacher's value or error rate, of variant / teacher, or of the variant's own value.
Question = Literal["drop", "change", "share of value", "share of errors", "ratio", "own value"]
# The mean length of written answers; in logs with its task before it, and its slice behind it.
ANSWER_LENGTH = "answer_length"
_LENGTH_NAME = re.compile(rf"(?:.*/)?{ANSWER_LENGTH}(?:\[[^=]+=.*\])?", re.DOTALL)


class Measured(Protocol):
    """What a budget is checked against: a Metric, or a score of another kind of task."""

    @property
    def name(self) -> str:
        """As a suite calls it."""

    @property
    def higher_is_better(self) -> bool:
        """False for losses."""

    @property
    def value_range(self) -> tuple[float, float]:
        """Its lowest and its highest possible value."""

    @property
    def resampled(self) -> bool:
        """Whether it has an interval."""

    @property
    def no_budget(self) -> str:
        """Why it takes none, if it has no interval."""

    @property
    def unit(self) -> Unit:
        """Of its drop."""

    @property
    def over_builds(self) -> bool:
        """Whether it can be judged over several builds."""


@dataclass(frozen=True, kw_only=True)
class BudgetKind:
    """A kind of budget.

    name: its key in the table, and its kind in a record. table: the table of [budgets] that has the key, or
    METRIC. limit: the limit in words, with {:g} for its number; percent: the number is shown as a percentage.
    title: what a report calls it beside other budgets of its table. line: what the line of a gate calls its
    value, and unit: the value's unit. least: the limit is the least that is allowed, else the most. part: the
    part of a call whose time it limits, None for a whole call.
    """

    name: str
    table: str
    limit: str
    percent: bool = False
    title: str | None = None
    line: str | None = None
    unit: str = ""
    least: bool = False
    part: TimedPart | None = None

    def format_limit(self, limit: float) -> str:
        """`drop at most 2 points`."""
        return self.limit.format(100 * limit if self.percent else limit)


@dataclass(frozen=True, kw_only=True)
class MetricBudgetKind(BudgetKind):
    """A kind of budget on a metric.

    key: what the key means, for the schema and the docs; key_of_teacher: the same of a budget on the teacher
    itself, None where the teacher cannot have it. above, below, at_most: bounds of the limit.
    order: its place where kinds are listed. suits: whether a metric can have it; why_not: the reason where it
    cannot. allowed_drop(limit, teacher): the largest drop that it allows beside a teacher of this value, in
    the metric's unit.
    """

    table: str = METRIC
    order: int
    question: Question
    key: str
    key_of_teacher: str | None = None
    above: float | None = 0.0
    below: float | None = None
    at_most: float | None = None
    suits: Callable[[Measured], bool]
    why_not: str
    allowed_drop: Callable[[float, float], float]

    @property
    def in_points(self) -> bool:
        """Whether its limit is percentage points of the drop."""
        return self.question in ("drop", "change")

    @property
    def two_sided(self) -> bool:
        """Whether it limits a gain as it limits a drop."""
        return self.question == "change"

    @property
    def sign(self) -> str:
        """What a limit begins with."""
        return "±" if self.two_sided else ""


def is_in_points(metric: Measured) -> bool:
    """Whether the drop of a metric has points; a perplexity grows by a factor."""
    return metric.unit == "points"


def is_in_bounded_points(metric: Measured) -> bool:
    """Without a lowest and a highest value no sample shows how much better a few rows can make the mean."""
    return is_in_points(metric) and all(isfinite(end) for end in metric.value_range)


def is_better_higher(metric: Measured) -> bool:
    """Whether more of a metric is better."""
    return metric.higher_is_better


def is_better_lower(metric: Measured) -> bool:
    """Whether less of a metric is better."""
    return not metric.higher_is_better


def has_error_rate(metric: Measured) -> bool:
    """Whether 1 - value is an error rate."""
    return metric.higher_is_better and metric.value_range == (0.0, 1.0)


def is_length_name(name: str) -> bool:
    """Whether a metric of this name, or a comparison of logs, is the length of answers."""
    return _LENGTH_NAME.fullmatch(name) is not None


def is_answer_length(metric: Measured) -> bool:
    """Whether a metric is the length of answers, of which neither more nor less is better."""
    return is_length_name(metric.name)

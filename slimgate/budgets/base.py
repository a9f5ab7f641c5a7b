"""The classes of budget kinds. A kind is an object with its key in the suite, its texts and its direction.

The other files of this package list kinds in `KINDS`. The statistics that decide a budget are in judge/. The
`question` of a budget on a metric selects one of the tests in judge/.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from slimgate.plugins.workloads import TimedPart

# The `table` of budget kinds on metrics, as in `accuracy = { drop_points = 2.0 }`.
METRIC = "metric"
Unit = Literal["points", "percent"]
# What a test decides about:
#   drop             the drop, in percentage points
#   change           the drop and the gain, in percentage points
#   share of value   the drop as a share of the teacher's value
#   share of errors  the drop as a share of the teacher's error rate
#   ratio            variant / teacher
#   own value        the variant's own value
Question = Literal["drop", "change", "share of value", "share of errors", "ratio", "own value"]
# The name of the mean length of written answers. In logs it may be TASK/answer_length[FIELD=VALUE].
ANSWER_LENGTH = "answer_length"
_LENGTH_NAME = re.compile(rf"(?:.*/)?{ANSWER_LENGTH}(?:\[[^=]+=.*\])?", re.DOTALL)


class MetricProperties(Protocol):
    """The properties of a `Metric` (judge/metrics/base.py) that budgets depend on."""

    @property
    def name(self) -> str:
        """Its name in a suite."""

    @property
    def higher_is_better(self) -> bool:
        """False for losses."""

    @property
    def value_range(self) -> tuple[float, float]:
        """Its lowest and highest possible value."""

    @property
    def resampled(self) -> bool:
        """Whether it has an interval."""

    @property
    def no_budget(self) -> str:
        """Why it cannot have a budget, if it has no interval."""

    @property
    def unit(self) -> Unit:
        """The unit of its drop."""

    @property
    def over_builds(self) -> bool:
        """Whether it can be judged over several builds."""


@dataclass(frozen=True, kw_only=True)
class BudgetKind:
    """A kind of budget.

    name: its key in the table, and its kind in a record.
    table: the table of [budgets] with the key, or METRIC.
    limit_text: the limit in words, with {:g} for its number, and {points} for "point" or "points". percent:
    whether the number is shown as a percentage.
    title: its name in reports, if its table has several budgets.
    value_name: the name of the limited value in the message of a gate. unit: the unit of this value.
    is_minimum: whether the limit is the smallest allowed value. Otherwise it is the largest.
    part: the part of a call whose time it limits; None: the whole call.
    """

    name: str
    table: str
    limit_text: str
    percent: bool = False
    title: str | None = None
    value_name: str | None = None
    unit: str = ""
    is_minimum: bool = False
    part: TimedPart | None = None

    def format_limit(self, limit: float) -> str:
        """The limit in words, such as `drop at most 2 points`."""
        number = 100 * limit if self.percent else limit
        return self.limit_text.format(number, points="point" if number == 1 else "points")


@dataclass(frozen=True, kw_only=True)
class MetricBudgetKind(BudgetKind):
    """A kind of budget on a metric.

    question: what is tested. "change" limits both sides: the drop and the gain. The limit of "drop" and
        "change" is in percentage points.
    description: what the key means, for the schema and the docs. teacher_description: the same for a budget
        on the teacher itself; None: the teacher cannot have this budget.
    above, below: the limit must be larger than `above` and smaller than `below`. at_most: the largest limit.
    suits(metric): whether a metric can have a budget of this kind. why_not: the reason if it cannot.
    allowed_drop(limit, teacher): the largest drop that the limit allows, in the unit of the metric. teacher:
        the teacher's value.
    """

    table: str = METRIC
    question: Question
    description: str
    teacher_description: str | None = None
    above: float | None = 0.0
    below: float | None = None
    at_most: float | None = None
    suits: Callable[[MetricProperties], bool]
    why_not: str
    allowed_drop: Callable[[float, float], float]

    def __post_init__(self) -> None:
        # The test of these questions divides the limit by 100, whatever `allowed_drop` computes.
        if self.in_points and (self.percent or self.allowed_drop(1.0, 0.5) != 0.01):
            raise ValueError(
                f'kind of budget {self.name}: question="{self.question}" tests a limit in percentage points, '
                "expected allowed_drop=lambda limit, _teacher: limit / 100, without percent"
            )

    @property
    def in_points(self) -> bool:
        """Whether its limit is a number of percentage points."""
        return self.question in ("drop", "change")

    @property
    def two_sided(self) -> bool:
        """Whether it limits the gain in the same way as the drop."""
        return self.question == "change"

    @property
    def sign(self) -> str:
        """The sign in front of the limit in texts."""
        return "±" if self.two_sided else ""


def has_drop_in_points(metric: MetricProperties) -> bool:
    """Whether the drop of a metric is in points, not in percent of the teacher's value."""
    return metric.unit == "points"


def is_better_higher(metric: MetricProperties) -> bool:
    """Whether higher values of a metric are better."""
    return metric.higher_is_better


def is_better_lower(metric: MetricProperties) -> bool:
    """Whether lower values of a metric are better."""
    return not metric.higher_is_better


def has_error_rate(metric: MetricProperties) -> bool:
    """Whether 1 - value is an error rate."""
    return metric.higher_is_better and metric.value_range == (0.0, 1.0)


def is_length_name(name: str) -> bool:
    """Whether a metric or a comparison of logs with this name is the length of answers."""
    return _LENGTH_NAME.fullmatch(name) is not None


def is_answer_length(metric: MetricProperties) -> bool:
    """Whether a metric is the length of answers. Neither longer nor shorter is better."""
    return is_length_name(metric.name)

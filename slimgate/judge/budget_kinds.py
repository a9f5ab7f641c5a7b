"""A budget on a metric: its kind (slimgate/budgets/), its limit, and whether a metric can have it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from math import isfinite, log1p
from numbers import Real
from typing import Literal, Protocol

from slimgate.budgets.base import MetricProperties
from slimgate.budgets.registry import is_in_points, is_two_sided_kind, list_metric_kinds
from slimgate.errors import SuiteError
from slimgate.judge.capped import check_derived_share
from slimgate.results.base import BudgetFacts, OnInconclusive

# What a verdict is about: the first build on rows like these, or the recipe over its builds and the rows.
Over = Literal["rows", "builds"]

# The names of the kinds of budgets on a metric.
KINDS: tuple[str, ...] = tuple(list_metric_kinds())


@dataclass(frozen=True)
class QualityBudget:
    """How much worse a variant may be.

    limit: above 0; percentage points of the metric for the kinds in points, a fraction (0.02 is 2 %) for the
    relative kinds, the metric's own unit for floor and ceiling. over: what the mean is over.
    cap, above_cap_max: for a metric without a bound, the most that a row counts for in the mean, in the
    metric's own unit, and the largest share of rows that may lose more; None: the defaults (see `capped`).
    """

    kind: str
    limit: float
    reason: str | None = None
    on_inconclusive: OnInconclusive | None = None
    over: Over = "rows"
    cap: float | None = None
    above_cap_max: float | None = None


def check_budget(metric: MetricProperties, budget: QualityBudget) -> None:
    """Raises SuiteError if the metric cannot have this kind of budget, or this limit. Needs no rows."""
    if not metric.resampled:
        raise SuiteError(f"{metric.name} {metric.no_budget}")
    if budget.kind not in KINDS:
        raise SuiteError(f'"{budget.kind}" is not a kind of budget, expected one of {", ".join(KINDS)}')
    if budget.over == "builds" and not metric.over_builds:
        raise SuiteError(f'over = "builds" is not supported for {metric.name}; leave it out')
    kind, suited = list_metric_kinds()[budget.kind], list_suited_kinds(metric)
    if not kind.suits(metric):
        raise SuiteError(
            f"{budget.kind} does not suit {metric.name}: {kind.why_not}; "
            f"{metric.name} takes {', '.join(suited)}"
        )
    is_number = isinstance(budget.limit, Real) and not isinstance(budget.limit, bool)
    if not (is_number and isfinite(budget.limit) and budget.limit > 0):
        raise SuiteError(f"budget {budget.kind} is {budget.limit!r}, expected a finite number above 0")
    if budget.kind == "drop_relative" and budget.limit >= 1:
        raise SuiteError(
            f"budget drop_relative is {budget.limit:g}, expected under 1: 0.02 allows a loss of 2 %"
        )
    _check_cap(metric, budget)
    low, high = metric.value_range
    if kind.in_points and budget.limit >= 100 * (high - low):
        verb = "change" if kind.two_sided else "drop"
        raise SuiteError(
            f"budget {budget.kind} is {budget.limit:g}, and {metric.name} cannot {verb} by more: the "
            "budget would always hold; expected a smaller limit"
        )
    if kind.question == "own value" and not low < budget.limit < high:
        raise SuiteError(
            f"budget {budget.kind} is {budget.limit:g}, expected a value of {metric.name}, "
            f"between {low:g} and {high:g}"
        )


def _check_cap(metric: MetricProperties, budget: QualityBudget) -> None:
    """Raises SuiteError if a cap, or a limit of the rows above it, has no meaning or no effect."""
    stated = [name for name in ("cap", "above_cap_max") if getattr(budget, name) is not None]
    if not stated:
        return
    low, high = metric.value_range
    if isfinite(low) and isfinite(high):
        raise SuiteError(
            f"budget {stated[0]} does not suit {metric.name}: the value of a row is from {low:g} to "
            f"{high:g}, and {stated[0]} is for values without an end on one side; leave it out"
        )
    if budget.cap is not None and not (isfinite(budget.cap) and budget.cap > 0):
        raise SuiteError(f"budget cap is {budget.cap:g}, expected a finite number above 0")
    if budget.above_cap_max is not None and not 0 < budget.above_cap_max < 1:
        raise SuiteError(
            f"budget above_cap_max is {budget.above_cap_max:g}, expected a share between 0 and 1: 0.01 is 1 %"
        )
    if budget.cap is not None and budget.above_cap_max is None and metric.unit == "percent":
        check_derived_share(metric.name, budget.cap, 1.0)  # nats a token
    # by kind, the mean that the budget allows, if it is known without rows
    allowed_means = {"drop_points": budget.limit / 100, "increase_relative": log1p(budget.limit)}
    if budget.cap is not None and metric.unit == "points":
        allowed_means["increase_relative"] = 0.0  # the teacher's value, which it multiplies, is not known yet
        if budget.above_cap_max is not None:  # else the mean up to 8 caps is judged too
            allowed_means["ceiling"] = budget.limit
    allowed = allowed_means.get(budget.kind, 0.0)
    if budget.cap is not None and budget.cap <= allowed:
        noun = "a mean" if budget.kind == "ceiling" else "a mean loss"
        raise SuiteError(
            f"budget cap is {budget.cap:g}, but {budget.kind} = {budget.limit:g} allows {noun} of "
            f"{allowed:g}. A row counts for at most the cap, so the budget would always hold; expected a cap "
            f"above {allowed:g}"
        )


class Undecided(Protocol):
    """A budget that may be undecided, and what that does."""

    @property
    def on_inconclusive(self) -> OnInconclusive | None: ...


def list_actions(budgets: Sequence[Undecided], default: OnInconclusive) -> list[OnInconclusive]:
    """The on_inconclusive of each budget. default: for a budget without it."""
    return [budget.on_inconclusive or default for budget in budgets]


def compute_allowed_drop(budget: QualityBudget, teacher: float) -> float:
    """The largest drop that a budget allows for a teacher of this value, in the metric's own unit.

    A two-sided budget allows as large a gain.
    0 or less if the teacher itself is on the wrong side of a floor or a ceiling.
    """
    return list_metric_kinds()[budget.kind].allowed_drop(budget.limit, teacher)


class Limited(Protocol):
    """A budget: its kind and its limit."""

    @property
    def kind(self) -> str: ...
    @property
    def limit(self) -> float: ...


def find_builds_budget(budgets: Iterable[BudgetFacts]) -> BudgetFacts | None:
    """The judged budget on the mean drop of several builds; None if there is none."""
    return next(
        (budget for budget in budgets if is_in_points(budget.kind) and (budget.builds or 1) > 1), None
    )


def format_kind(kind: str) -> str:
    """The text before a limit: nothing or ± for a limit in points, else the name of the kind."""
    known = list_metric_kinds().get(kind)
    return known.sign if known is not None and known.in_points else f"{kind} "


def list_point_limits(budgets: Iterable[Limited]) -> list[float]:
    """The limits of the budgets in points; both ends of a budget that limits a gain too."""
    return [
        sign * budget.limit
        for budget in budgets
        if is_in_points(budget.kind)
        for sign in ((1, -1) if is_two_sided_kind(budget.kind) else (1,))
    ]


def is_two_sided(budgets: Iterable[Limited]) -> bool:
    """Whether one of the budgets limits a gain as it limits a drop."""
    return any(is_two_sided_kind(budget.kind) for budget in budgets)


def measure_harm(drop_points: float, budgets: Collection[Limited]) -> float:
    """The value that orders results, largest first: the drop, or its size if a budget limits a gain too."""
    return abs(drop_points) if is_two_sided(budgets) else drop_points


def list_suited_kinds(metric: MetricProperties) -> tuple[str, ...]:
    """The kinds of budget that a metric can have."""
    return tuple(name for name, kind in list_metric_kinds().items() if kind.suits(metric))

"""The kinds of quality budget, the metrics that each suits, and the limits that it takes.

| kind                    | holds where                               | for metrics                 |
|-------------------------|-------------------------------------------|-----------------------------|
| drop_points             | the drop is under limit / 100             | all but perplexity          |
| equivalent_points       | drop and gain are under limit / 100       | those with bounded values   |
| drop_relative           | teacher - variant < limit × teacher       | more is better              |
| error_increase_relative | teacher - variant < limit × (1 - teacher) | more is better, from 0 to 1 |
| increase_relative       | variant - teacher < limit × teacher       | less is better              |
| floor                   | variant >= limit                          | more is better              |
| ceiling                 | variant <= limit                          | less is better              |

equivalent_points looks at both sides: two one-sided tests at 5 % each must show that the variant is neither
worse nor better by the limit or more (TOST). Source: Schuirmann 1987, J. Pharmacokinet. Biopharm. 15:657-680.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from math import isfinite, log1p
from typing import Literal, Protocol, get_args

from slimgate.errors import SuiteError
from slimgate.judge.capped import check_derived_share
from slimgate.judge.decision import BudgetVerdict, Verdict
from slimgate.judge.metrics.base import Unit

OnInconclusive = Literal["fail", "warn"]

# What a verdict is about: the first build, on rows like these; or the recipe, over its builds and the rows.
Over = Literal["rows", "builds"]

BudgetKind = Literal[
    "drop_points",
    "equivalent_points",
    "drop_relative",
    "error_increase_relative",
    "increase_relative",
    "floor",
    "ceiling",
]
KINDS: tuple[BudgetKind, ...] = get_args(BudgetKind)
# The kind that limits a gain too.
EQUIVALENT: BudgetKind = "equivalent_points"
# The kinds that limit the drop in points.
POINT_KINDS: tuple[BudgetKind, ...] = ("drop_points", EQUIVALENT)


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


@dataclass(frozen=True)
class QualityBudget:
    """How much worse a variant may be.

    limit: for the kinds in points percentage points of the metric; for the relative kinds a fraction (0.02 is
    2 %); for floor and ceiling the metric's own unit. Above 0. over: of what the mean is judged.
    cap, above_cap_max: of metrics without a bound, the most that a row counts for in the mean, in the
    metric's own unit, and the largest share of rows that may lose more; None: the defaults (see `capped`).
    """

    kind: BudgetKind
    limit: float
    reason: str | None = None
    on_inconclusive: OnInconclusive | None = None
    over: Over = "rows"
    cap: float | None = None
    above_cap_max: float | None = None


def check_budget(metric: Measured, budget: QualityBudget) -> None:
    """Raises SuiteError where the metric cannot have this kind of budget, or this limit. Needs no rows."""
    if not metric.resampled:
        raise SuiteError(f"{metric.name} {metric.no_budget}")
    if budget.kind not in KINDS:
        raise SuiteError(f'"{budget.kind}" is no kind of budget, expected one of {", ".join(KINDS)}')
    if budget.over == "builds" and not metric.over_builds:
        raise SuiteError(f'over = "builds" is not supported for {metric.name}; leave it out')
    suited = suited_kinds(metric)
    if budget.kind not in suited:
        raise SuiteError(
            f"{budget.kind} does not suit {metric.name}: {_why_not(budget.kind)}; "
            f"{metric.name} takes {', '.join(suited)}"
        )
    if not (isfinite(budget.limit) and budget.limit > 0):
        raise SuiteError(f"budget {budget.kind} is {budget.limit}, expected a finite number above 0")
    if budget.kind == "drop_relative" and budget.limit >= 1:
        raise SuiteError(
            f"budget drop_relative is {budget.limit:g}, expected under 1: 0.02 allows a loss of 2 %"
        )
    _check_cap(metric, budget)
    low, high = metric.value_range
    if budget.kind in POINT_KINDS and budget.limit >= 100 * (high - low):
        verb = "change" if budget.kind == EQUIVALENT else "drop"
        raise SuiteError(
            f"budget {budget.kind} is {budget.limit:g}, and {metric.name} cannot {verb} by more: it would "
            "always hold; expected less"
        )
    if budget.kind in ("floor", "ceiling") and not low < budget.limit < high:
        raise SuiteError(
            f"budget {budget.kind} is {budget.limit:g}, expected a value of {metric.name}, "
            f"between {low:g} and {high:g}"
        )


def _check_cap(metric: Measured, budget: QualityBudget) -> None:
    """Raises SuiteError where a cap, or a limit of the rows above it, has no meaning or no effect."""
    stated = [name for name in ("cap", "above_cap_max") if getattr(budget, name) is not None]
    if not stated:
        return
    low, high = metric.value_range
    if isfinite(low) and isfinite(high):
        raise SuiteError(
            f"budget {stated[0]} does not suit {metric.name}, whose rows are from {low:g} to {high:g}; "
            "it is for metrics without a bound: leave it out"
        )
    if budget.cap is not None and not (isfinite(budget.cap) and budget.cap > 0):
        raise SuiteError(f"budget cap is {budget.cap:g}, expected a finite number above 0")
    if budget.above_cap_max is not None and not 0 < budget.above_cap_max < 1:
        raise SuiteError(
            f"budget above_cap_max is {budget.above_cap_max:g}, expected a share between 0 and 1: 0.01 is 1 %"
        )
    if budget.cap is not None and budget.above_cap_max is None and metric.unit == "percent":
        check_derived_share(metric.name, budget.cap, 1.0)  # nats a token
    smallest = {"drop_points": budget.limit / 100, "increase_relative": log1p(budget.limit)}
    if budget.cap is not None and metric.unit == "points":
        smallest["increase_relative"] = 0.0  # of the teacher's value, which is not known yet
    if budget.cap is not None and budget.cap <= smallest.get(budget.kind, 0.0):
        raise SuiteError(
            f"budget cap is {budget.cap:g}, not above what {budget.kind} = {budget.limit:g} allows of the "
            "mean: it would always hold; expected more"
        )


class Undecided(Protocol):
    """A budget that may be undecided, and what that does."""

    @property
    def on_inconclusive(self) -> OnInconclusive | None: ...


def on_inconclusive_of(
    budgets: Sequence[Undecided], judged: Sequence[BudgetVerdict], default: OnInconclusive
) -> OnInconclusive:
    """What INCONCLUSIVE shall do: "fail" unless every undecided budget says "warn".

    judged: the verdict on each of the budgets; otherwise: the wish of a budget that has none of its own.
    """
    undecided = [
        action
        for action, verdict in zip(list_actions(budgets, default), judged, strict=True)
        if verdict.verdict is Verdict.INCONCLUSIVE
    ]
    return "fail" if "fail" in undecided else "warn"


def list_actions(budgets: Sequence[Undecided], default: OnInconclusive) -> list[OnInconclusive]:
    """What INCONCLUSIVE shall do of each budget; otherwise: as above."""
    return [budget.on_inconclusive or default for budget in budgets]


def allowed_drop(budget: QualityBudget, teacher: float) -> float:
    """The largest drop that a budget allows beside a teacher of this value, in the metric's own unit.

    A two-sided budget allows as large a gain.
    0 or less where the teacher itself is on the wrong side of a floor or a ceiling.
    """
    return {
        "drop_points": budget.limit / 100,
        "equivalent_points": budget.limit / 100,
        "drop_relative": budget.limit * teacher,
        "error_increase_relative": budget.limit * (1 - teacher),
        "increase_relative": budget.limit * teacher,
        "floor": teacher - budget.limit,
        "ceiling": budget.limit - teacher,
    }[budget.kind]


class Limited(Protocol):
    """A budget: its kind and its limit."""

    @property
    def kind(self) -> str: ...
    @property
    def limit(self) -> float: ...


def list_point_limits(budgets: Iterable[Limited]) -> list[float]:
    """Where the budgets limit a drop in points, both ends of those that limit a gain too."""
    return [
        sign * budget.limit
        for budget in budgets
        if budget.kind in POINT_KINDS
        for sign in ((1, -1) if budget.kind == EQUIVALENT else (1,))
    ]


def is_two_sided(budgets: Iterable[Limited]) -> bool:
    """Whether one of the budgets limits a gain as it limits a drop."""
    return any(budget.kind == EQUIVALENT for budget in budgets)


def measure_harm(drop_points: float, budgets: Collection[Limited]) -> float:
    """By what results are ordered, the largest first: the drop, or its size where a gain is limited too."""
    return abs(drop_points) if is_two_sided(budgets) else drop_points


def suited_kinds(metric: Measured) -> tuple[BudgetKind, ...]:
    """The kinds of budget that a metric can have."""
    return tuple(kind for kind in KINDS if _SUITS[kind](metric))


def _why_not(kind: BudgetKind) -> str:
    if kind == EQUIVALENT:
        return "it needs a metric in points that has a lowest and a highest value"
    if kind == "drop_points":
        return "it grows by a factor and has no points"
    return _only_for(kind)


def _only_for(kind: BudgetKind) -> str:
    if kind == "error_increase_relative":
        return "it needs a metric of which more is better, from 0 to 1, so that 1 - value is an error rate"
    better = "less" if kind in ("increase_relative", "ceiling") else "more"
    return f"it is for metrics of which {better} is better"


def _in_points(metric: Measured) -> bool:
    return metric.unit == "points"


def _in_bounded_points(metric: Measured) -> bool:
    """Without a lowest and a highest value no sample shows how much better a few rows can make the mean."""
    return _in_points(metric) and all(isfinite(end) for end in metric.value_range)


def _more_is_better(metric: Measured) -> bool:
    return metric.higher_is_better


def _less_is_better(metric: Measured) -> bool:
    return not metric.higher_is_better


def _has_error_rate(metric: Measured) -> bool:
    return metric.higher_is_better and metric.value_range == (0.0, 1.0)


_SUITS: dict[BudgetKind, Callable[[Measured], bool]] = {
    "drop_points": _in_points,
    "equivalent_points": _in_bounded_points,
    "drop_relative": _more_is_better,
    "error_increase_relative": _has_error_rate,
    "increase_relative": _less_is_better,
    "floor": _more_is_better,
    "ceiling": _less_is_better,
}

"""The bases of all that a record holds, and of the results that budgets limit."""

from __future__ import annotations

from typing import ClassVar, NamedTuple, Self

from pydantic import BaseModel, ConfigDict

from slimgate.results.base import BudgetFacts, Verdict

Interval = tuple[float, float]


class Facts(BaseModel):
    """The base of all that a record holds: frozen, with None for what was not measured.

    A figure that is not finite is written as a text, "Infinity" or "NaN", and read as a number again. JSON
    has no such number, and null would mean that it was not measured, or would take the place of a required
    number.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        populate_by_name=True,
        ser_json_inf_nan="strings",
        defer_build=True,  # most commands use few of the classes
    )

    def replace(self, **changes: object) -> Self:
        """Makes a copy in which some fields have other values.

        Args:
            changes: by the names of the fields.

        Raises:
            pydantic.ValidationError: for a name that is no field, and a value of another type.
        """
        return type(self)(**{**dict(self), **changes})


class MainFigure(NamedTuple):
    """The main figure of a result. name: as in the JUnit properties, such as `drop_points`."""

    name: str
    value: float | None
    interval: Interval | None = None


class JudgedFacts(Facts):
    """A result that budgets may limit.

    verdict: the worst of its budgets; None without a budget. message: the line of the gate; None if nothing
    was compared.
    named_by: the noun for the name of the result; None if a model has only one result of the class.
    has_figure_per_budget: whether each budget limits another figure, so that each has its own value.
    """

    named_by: ClassVar[str | None] = None
    has_figure_per_budget: ClassVar[bool] = False
    budgets: list[BudgetFacts] = []
    verdict: Verdict | None = None
    message: str | None = None

    @property
    def figure(self) -> MainFigure | None:
        """The main figure with its interval; None if no single figure describes the result."""
        return None

    def find_limited_value(self, budget: BudgetFacts) -> tuple[float | None, Interval | None]:
        """The value that one of its budgets limits, and its interval, in the unit of the limit.

        The value is None if no single figure decides, as for slices. The interval is None if the value is
        exact.
        """
        return budget.value, budget.interval

"""The table [tune] of a suite file, as written in TOML. tune_reading.py reads its step lists."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from slimgate.plugins.params import VARIANT_NAME, Table

SPACE_NAME = Annotated[str, StringConstraints(pattern=VARIANT_NAME)]


def _refuse_gate(value: object) -> Any:
    if value == "gate":
        raise PydanticCustomError(
            "gate", "the gate's rows are for verdicts only; a search chooses on selection"
        )
    return value


class ChoiceTable(Table):
    """`{ choices = [0.25, 0.5] }` in place of an option, of a step's whole options, or of a step."""

    choices: tuple[Any, ...] = Field(min_length=1)
    """Values to try."""


class RangeTable(Table):
    """`{ low = 1e-4, high = 5e-4, log = true }` in place of a number; if low and high are whole numbers, only
    whole numbers are tried."""

    low: int | float
    """Lowest value."""
    high: int | float
    """Highest value."""
    log: bool = False
    """Draw values on a logarithmic scale."""
    step: int | float | None = Field(default=None, gt=0)
    """Distance between the values to try; default: any value from low to high."""

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.low >= self.high:
            raise ValueError(
                f"low = {self.low:g} and high = {self.high:g} were given, expected low under high"
            )
        if self.log and self.low <= 0:
            raise ValueError(f"low = {self.low:g} was given, expected more than 0 if log = true")
        if self.log and self.step is not None:
            raise ValueError("log and step were given, expected one of them")
        if self.is_whole and isinstance(self.step, float):
            raise ValueError(
                f"step = {self.step:g} was given, expected a whole number, because low "
                "and high are whole numbers"
            )
        return self

    @property
    def is_whole(self) -> bool:
        """Whether its values are whole numbers."""
        return isinstance(self.low, int) and isinstance(self.high, int)


class SpaceTable(Table):
    """[[tune.space]]: a step list in which steps may be optional, and options may be choices."""

    name: SPACE_NAME | None = None
    """Name of the space in the report; default: space-1, space-2, …"""
    parent: str | None = Field(default=None, alias="from")
    """The variant that the steps start from; default: the teacher."""
    steps: tuple[dict[str, Any], ...] = Field(min_length=1)
    """Steps whose options may be choices or ranges; a step may be optional."""
    runtime: dict[str, Any] | None = None
    """The runtime that executes the models, as in a variant."""


class TuneTable(Table):
    """[tune]: what `slimgate tune` searches, and for how long."""

    budget: dict[str, Any] | tuple[dict[str, Any], ...] | None = None
    """Budgets on metrics and size, or a list of several such tables; default: the suite's [budgets]."""
    max_minutes: float = Field(default=30.0, gt=0)
    """Minutes after which no new trial begins."""
    max_trials: int = Field(default=40, ge=1)
    """Largest number of trials; each trial builds one list of steps."""
    keep: int = Field(default=3, ge=1)
    """Number of variants that are written for each budget."""
    split: Annotated[Literal["selection"], BeforeValidator(_refuse_gate)] = "selection"
    """Split on whose rows the search chooses variants. The gate rows are used for verdicts only."""
    space: tuple[SpaceTable, ...] = Field(min_length=1)
    """Spaces to search: lists of steps whose options may be choices or ranges."""

"""A space of step lists: a template that contains choices, and the step lists drawn from it.

    { prune_ffn = { pruning_ratio = { choices = [0.25, 0.5] } }, optional = true }

`draw_steps(space, pick)` walks the template and calls `pick` at each choice. It never calls it for choices
inside a step that is left out. A pick is the position of an option, counted from 0, or a range's value.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from slimgate.judge.budget_kinds import QualityBudget
from slimgate.judge.budget_tables import SizeBudget
from slimgate.plugins.base import Json
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


@dataclass(frozen=True)
class Choice:
    """A choice among options, which may contain further choices. name: its place in the space."""

    name: str
    options: tuple[Any, ...]

    @property
    def is_ordered(self) -> bool:
        """Whether the options are sorted numbers, so that neighbouring options are similar."""
        numbers = [
            option
            for option in self.options
            if isinstance(option, int | float) and not isinstance(option, bool)
        ]
        return len(numbers) == len(self.options) and numbers in (sorted(numbers), sorted(numbers)[::-1])


@dataclass(frozen=True)
class Range:
    """A number between low and high, both included."""

    name: str
    low: float
    high: float
    log: bool
    step: float | None
    is_whole: bool

    @property
    def values(self) -> Sequence[float] | None:
        """All of its numbers; None if they cannot be listed."""
        if self.is_whole and not self.log:
            return range(int(self.low), int(self.high) + 1, int(self.step or 1))
        return None


Dimension = Choice | Range
Pick = Callable[[Dimension], Any]
Picks = Mapping[str, Any]


@dataclass(frozen=True)
class StepTemplate:
    """One step: a choice, or a table { step = options } that contains choices. left_out: picked first."""

    content: Any
    left_out: Choice | None


@dataclass(frozen=True)
class Space:
    """One [[tune.space]]. parent: the model that its steps start from; runtime: as written in the suite."""

    number: int
    name: str
    parent: str
    steps: tuple[StepTemplate, ...]
    runtime: Json | None


@dataclass(frozen=True)
class Drawn:
    """A step list drawn from a space: each step with its place in the template, and the picks."""

    space: Space
    steps: tuple[tuple[int, Json], ...]
    picks: Picks

    @property
    def key(self) -> str:
        """A key that is equal for equal step lists, even if the picks differ."""
        return json.dumps([self.space.name, [step for _, step in self.steps]])


@dataclass(frozen=True)
class Tier:
    """What a variant that the search proposes may lose.

    stated: the table as written; None: the suite's own [budgets].
    """

    quality: Mapping[str, tuple[QualityBudget, ...]]
    size: SizeBudget | None
    stated: Json | None


@dataclass(frozen=True)
class Tuning:
    """[tune], with every name resolved."""

    tiers: tuple[Tier, ...]
    max_minutes: float
    max_trials: int
    keep: int
    spaces: tuple[Space, ...]


def draw_steps(space: Space, pick: Pick) -> Drawn:
    """The step list that these picks give."""
    picks: Json = {}

    def note_pick(dimension: Dimension) -> Any:
        picks[dimension.name] = pick(dimension)
        return picks[dimension.name]

    steps = [(i, step) for i, template in enumerate(space.steps) for step in _draw_step(template, note_pick)]
    return Drawn(space, tuple(steps), picks)


def _draw_step(template: StepTemplate, pick: Pick) -> list[Json]:
    if template.left_out is not None and pick(template.left_out):
        return []
    return [_fill_value(template.content, pick)]


def _fill_value(value: object, pick: Pick) -> Any:
    if isinstance(value, Choice):
        return _fill_value(value.options[pick(value)], pick)
    if isinstance(value, Range):
        return pick(value)
    if isinstance(value, Mapping):
        return {key: _fill_value(item, pick) for key, item in value.items()}
    return tuple(_fill_value(item, pick) for item in value) if isinstance(value, tuple) else value


def iterate_step_lists(space: Space) -> Iterator[Drawn]:
    """All step lists, one after another. A range without a list of values counts with its two ends only."""
    positions: list[int] = []
    while True:
        option_counts: list[int] = []
        yield draw_steps(space, _Odometer(positions, option_counts))
        # The last choice that has further options takes its next option; the choices after it start again.
        while option_counts and positions[len(option_counts) - 1] + 1 >= option_counts[-1]:
            option_counts.pop()
        if not option_counts:
            return
        del positions[len(option_counts) :]
        positions[-1] += 1


@dataclass
class _Odometer:
    """Picks options by position, to enumerate them all.

    positions: of the option to pick at each choice; a further choice gets its first option.
    option_counts: the number of options of each choice so far.
    """

    positions: list[int]
    option_counts: list[int]

    def __call__(self, dimension: Dimension) -> Any:
        options = list_ends(dimension)
        choice = len(self.option_counts)
        self.option_counts.append(len(options))
        if choice == len(self.positions):
            self.positions.append(0)
        return options[self.positions[choice]]


def list_ends(dimension: Dimension) -> Sequence[Any]:
    """The possible picks of a dimension; for a range without a list of values, its two ends."""
    if isinstance(dimension, Choice):
        return range(len(dimension.options))
    return dimension.values or (dimension.low, dimension.high)

"""A space of step lists: a template with choices in it, and the step lists that it gives.

    { prune_ffn = { pruning_ratio = { choices = [0.25, 0.5] } }, optional = true }

`draw_steps(space, pick)` walks the template and asks `pick` at every choice that it meets. So the choices
inside a step that was left out are never asked. A pick is a choice's number from 0, or a range's value.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from slimgate.judge.budget_kinds import QualityBudget
from slimgate.judge.budget_tables import SizeBudget

Json = dict[str, Any]


@dataclass(frozen=True)
class Choice:
    """One of some options, each of which may hold further choices. name: where it stands in its space."""

    name: str
    options: tuple[Any, ...]

    @property
    def is_ordered(self) -> bool:
        """Whether the options are numbers in order, so that neighbours are alike."""
        numbers = [one for one in self.options if isinstance(one, int | float) and not isinstance(one, bool)]
        return len(numbers) == len(self.options) and numbers in (sorted(numbers), sorted(numbers)[::-1])


@dataclass(frozen=True)
class Range:
    """A number between two, both of which may be drawn."""

    name: str
    low: float
    high: float
    log: bool
    step: float | None
    whole: bool

    @property
    def values(self) -> Sequence[float] | None:
        """All of its numbers; None where they are too many to list."""
        if self.whole and not self.log:
            return range(int(self.low), int(self.high) + 1, int(self.step or 1))
        return None


Dimension = Choice | Range
Pick = Callable[[Dimension], Any]
Picks = Mapping[str, Any]


@dataclass(frozen=True)
class StepTemplate:
    """One step: a choice, or a table { method = options } with choices in it. left_out: asked first."""

    content: Any
    left_out: Choice | None


@dataclass(frozen=True)
class Space:
    """One [[tune.space]]. parent: the model that its steps start from; runtime: as the suite states it."""

    number: int
    name: str
    parent: str
    steps: tuple[StepTemplate, ...]
    runtime: Json | None


@dataclass(frozen=True)
class Drawn:
    """A step list of a space: each step with its place in the template, and the picks that gave it."""

    space: Space
    steps: tuple[tuple[int, Json], ...]
    picks: Picks

    @property
    def key(self) -> str:
        """Equal for equal step lists, whatever was picked."""
        return json.dumps([self.space.name, [step for _, step in self.steps]])


@dataclass(frozen=True)
class Tier:
    """What a wanted variant may lose. stated: the table as it is written; None: the suite's own [budgets]."""

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
    """The step list that the picks make."""
    picks: Json = {}

    def note_pick(dimension: Dimension) -> Any:
        picks[dimension.name] = pick(dimension)
        return picks[dimension.name]

    steps = [(i, step) for i, template in enumerate(space.steps) for step in _step(template, note_pick)]
    return Drawn(space, tuple(steps), picks)


def _step(template: StepTemplate, pick: Pick) -> list[Json]:
    if template.left_out is not None and pick(template.left_out):
        return []
    return [_fill_value(template.content, pick)]


def _fill_value(value: Any, pick: Pick) -> Any:
    if isinstance(value, Choice):
        return _fill_value(value.options[pick(value)], pick)
    if isinstance(value, Range):
        return pick(value)
    if isinstance(value, Mapping):
        return {key: _fill_value(item, pick) for key, item in value.items()}
    return tuple(_fill_value(item, pick) for item in value) if isinstance(value, tuple) else value


def every(space: Space) -> Iterator[Drawn]:
    """Every step list, one after the other; of a range without steps only its two ends."""
    ahead: list[int] = []
    while True:
        met: list[int] = []
        found = draw_steps(space, _Odometer(ahead, met))
        yield found
        while met and ahead[len(met) - 1] + 1 >= met[-1]:
            met.pop()
        if not met:
            return
        del ahead[len(met) :]
        ahead[-1] += 1


@dataclass
class _Odometer:
    """Picks by position: `ahead` says which option each choice takes, `met` how many it has."""

    ahead: list[int]
    met: list[int]

    def __call__(self, dimension: Dimension) -> Any:
        options = ends(dimension)
        place = len(self.met)
        self.met.append(len(options))
        if place == len(self.ahead):
            self.ahead.append(0)
        return options[self.ahead[place]]


def ends(dimension: Dimension) -> Sequence[Any]:
    """The picks of a dimension; of a range that has no list of values its two ends."""
    if isinstance(dimension, Choice):
        return range(len(dimension.options))
    return dimension.values or (dimension.low, dimension.high)

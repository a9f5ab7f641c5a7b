"""The models of a suite as tasks: a model's own steps by one seed, and its answers.

A task comes after the models that its own is built from: the one it starts from, and those it learns from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from slimgate.run.past_times import recipes
from slimgate.suite.suite import TEACHER, Suite, Variant


class TaskId(NamedTuple):
    """A model of a suite, built by a seed."""

    suite: Path
    name: str
    seed: int


@dataclass(frozen=True)
class Wish:
    """What a run wants of a model beside its artifact. rebuilds: those of the suite's further seeds, too."""

    answers: bool = False
    rebuilds: bool = False

    def __or__(self, other: Wish) -> Wish:
        return Wish(self.answers or other.answers, self.rebuilds or other.rebuilds)


@dataclass(frozen=True)
class Task:
    """What one worker does. answers: on the gate rows; stages: on `selection`, after each own step."""

    id: TaskId
    after: tuple[TaskId, ...] = ()
    answers: bool = False
    stages: bool = False

    @property
    def name(self) -> str:
        return self.id.name


def tasks_of(suite: Suite, wishes: Mapping[str, Wish], *, shared: bool = True) -> dict[TaskId, Task]:
    """The tasks for the wanted models and all that these come from, each after those that it needs.

    shared: all machines see one store, whose locks see to it that steps which variants have in common are
    built once; where they do not, a variant also waits for the one that builds these.
    """
    wanted = dict(_wanted_tasks(suite, wishes))
    found: dict[TaskId, Task] = {}
    owners: dict[tuple[str, int], TaskId] = {}
    staged = _models_with_stages(suite, wishes)

    def visit(task: TaskId) -> None:
        if task in found:
            return
        variant = suite.model(task.name)
        after = [_id(suite, name, task.seed) for name in comes_from(variant)]
        for other in after:
            visit(other)
        for recipe in recipes(suite, variant):
            owner = owners.setdefault((recipe, task.seed), task)
            if not shared and owner != task:
                after.append(owner)
        stages = task.name in staged and task.seed == suite.seed
        found[task] = Task(task, tuple(dict.fromkeys(after)), wanted.get(task, False), stages)

    for task in wanted:
        visit(task)
    return found


def comes_from(variant: Variant) -> tuple[str, ...]:
    """The models that must be there before a variant can be built."""
    start = () if variant.ref is not None else (variant.parent or TEACHER,)
    named = [
        *(step.teachers for step in variant.steps),
        *((variant.cascade.models,) if variant.cascade else ()),
    ]
    learns = [TEACHER] if any(TEACHER in names for names in named) else []
    return tuple(dict.fromkeys((*start, *learns, *variant.assistants)))


def _wanted_tasks(suite: Suite, wishes: Mapping[str, Wish]) -> Iterator[tuple[TaskId, bool]]:
    for name, wish in wishes.items():
        yield _id(suite, name, suite.seed), wish.answers
        if wish.rebuilds and suite.is_stochastic(name):
            yield from ((_id(suite, name, seed), wish.answers) for seed in suite.seeds[1:])


def _id(suite: Suite, name: str, seed: int) -> TaskId:
    """What another seed would build alike is of the first one."""
    return TaskId(suite.path, name, seed if suite.is_stochastic(name) else suite.seed)


def _models_with_stages(suite: Suite, wishes: Mapping[str, Wish]) -> set[str]:
    """The models whose stages answer on `selection`: of variants with more than one step on their way."""
    ways = [_way(suite, name) for name, wish in wishes.items() if wish.answers and name != TEACHER]
    return {owner for way in ways if len(way) > 2 for owner in way}


def _way(suite: Suite, name: str) -> list[str]:
    """Whose stages lead to a variant: the model it starts from, then an owner a step."""
    variant = suite.model(name)
    if variant.ref is not None:
        before = [name]
    elif variant.parent in (None, TEACHER):
        before = [TEACHER]
    else:
        before = _way(suite, str(variant.parent))
    return [*before, *[name] * len(variant.steps)]

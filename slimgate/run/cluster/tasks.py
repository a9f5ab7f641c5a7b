"""Lists the models of a suite as tasks: a model's own steps with one seed, and its answers.

A task comes after the models that its model is built from: the one it starts from, and those it learns from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from slimgate.results.checks import TEACHER
from slimgate.run.past_times import digest_steps
from slimgate.suite.suite import Suite, Variant


class TaskId(NamedTuple):
    """A model of a suite, built with a seed."""

    suite: Path
    name: str
    seed: int


@dataclass(frozen=True)
class Goal:
    """What a run needs from a model in addition to its artifact. rebuilds: also with further seeds."""

    answers: bool = False
    rebuilds: bool = False

    def __or__(self, other: Goal) -> Goal:
        return Goal(self.answers or other.answers, self.rebuilds or other.rebuilds)


@dataclass(frozen=True)
class ModelTask:
    """The work of one worker: building a model. answers: also predict the gate rows.

    stages: also predict `selection` after each of the model's own steps.
    """

    id: TaskId
    after: tuple[TaskId, ...] = ()
    answers: bool = False
    stages: bool = False

    @property
    def name(self) -> str:
        return self.id.name


def list_tasks(suite: Suite, goals: Mapping[str, Goal], *, shared: bool = True) -> dict[TaskId, ModelTask]:
    """The tasks for the models in `goals` and all models that they are built from, in dependency order.

    shared: all machines see one store. Its locks ensure that common steps of variants are built once. If not
    shared, a variant also waits for the variant that builds the common steps.
    """
    answers_by_task: dict[TaskId, bool] = {}
    for name, goal in goals.items():
        seeds = suite.seeds if goal.rebuilds and suite.is_stochastic(name) else suite.seeds[:1]
        answers_by_task |= {_make_id(suite, name, seed): goal.answers for seed in seeds}
    tasks: dict[TaskId, ModelTask] = {}
    owners: dict[tuple[str, int], TaskId] = {}
    # Only variants with several steps show stages; the first stage is no step.
    answered = [name for name, goal in goals.items() if goal.answers and name != TEACHER]
    owners_by_variant = [_list_owners(suite, name) for name in answered]
    staged = {owner for stage_owners in owners_by_variant if len(stage_owners) > 2 for owner in stage_owners}

    def visit(task: TaskId) -> None:
        if task in tasks:
            return
        variant = suite.model(task.name)
        after = [_make_id(suite, name, task.seed) for name in list_origins(variant)]
        for other in after:
            visit(other)
        for recipe in digest_steps(suite, variant):
            owner = owners.setdefault((recipe, task.seed), task)
            if not shared and owner != task:
                after.append(owner)
        stages = task.name in staged and task.seed == suite.seed
        tasks[task] = ModelTask(task, tuple(dict.fromkeys(after)), answers_by_task.get(task, False), stages)

    for task in answers_by_task:
        visit(task)
    return tasks


def list_origins(variant: Variant) -> tuple[str, ...]:
    """The models that must be built before a variant."""
    start = () if variant.ref is not None else (variant.parent or TEACHER,)
    named = [
        *(step.teachers for step in variant.steps),
        *((variant.cascade.models,) if variant.cascade else ()),
    ]
    learns = [TEACHER] if any(TEACHER in names for names in named) else []
    return tuple(dict.fromkeys((*start, *learns, *variant.assistants)))


def _make_id(suite: Suite, name: str, seed: int) -> TaskId:
    """The id of a task; a model that does not depend on the seed has the first seed."""
    return TaskId(suite.path, name, seed if suite.is_stochastic(name) else suite.seed)


def _list_owners(suite: Suite, name: str) -> list[str]:
    """The owners of the stages of a variant: the model it starts from, then one owner for each step."""
    variant = suite.model(name)
    if variant.ref is not None:
        before = [name]
    elif variant.parent in (None, TEACHER):
        before = [TEACHER]
    else:
        before = _list_owners(suite, str(variant.parent))
    return [*before, *[name] * len(variant.steps)]

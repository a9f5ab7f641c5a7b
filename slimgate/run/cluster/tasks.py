"""Lists the models of a suite as tasks: a model's own steps with one seed, and its answers.

A task comes after the models that its model is built from: the one it starts from, and those it learns from.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from slimgate.errors import SuiteError, format_suggestion
from slimgate.results.checks import TEACHER
from slimgate.run.past_times import digest_steps
from slimgate.suite.suite import Suite, Variant

OPTION = "--slimgate-ray-needs"
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_MEMORY = re.compile(r"(\d+(?:\.\d+)?)([KMGT]?)")


@dataclass(frozen=True)
class Needs:
    """The resources of a task. cpus, gpus: as in Ray, whole or below 1; memory: bytes, 0 if not stated."""

    cpus: float
    gpus: float = 0.0
    memory: int = 0

    @property
    def resources(self) -> dict[str, float]:
        """The amounts by Ray's names, without amounts of 0."""
        named = {"CPU": self.cpus, "GPU": self.gpus, "memory": float(self.memory)}
        return {name: amount for name, amount in named.items() if amount}

    def __str__(self) -> str:
        amounts = {"cpus": self.cpus, "gpus": self.gpus, "memory": self.memory}
        return ",".join(f"{name}={amount:.15g}" for name, amount in amounts.items() if amount) or "nothing"


@dataclass(frozen=True)
class RequestedNeeds:
    """The resources on the command line: by a model's name, or None for all, the stated amounts."""

    by_model: tuple[tuple[str | None, dict[str, float]], ...] = ()

    def find_needs(self, name: str, *, threads: int, device: str) -> Needs:
        """The needs of one model; by default one CPU for each thread, and a GPU if the run uses one."""
        amounts: dict[str, float] = {"cpus": threads, "gpus": 0 if device == "cpu" else 1}
        for whose in (None, name):
            for model, model_amounts in self.by_model:
                amounts |= model_amounts if model == whose else {}
        return Needs(amounts["cpus"], amounts["gpus"], int(amounts.get("memory", 0)))


def parse_needs(texts: Iterable[str], models: Collection[str]) -> RequestedNeeds:
    """Parses the option's values. models: all valid names. Raises SuiteError."""
    return RequestedNeeds(tuple(_parse_entry(text, models) for text in texts))


def _parse_entry(text: str, models: Collection[str]) -> tuple[str | None, dict[str, float]]:
    model, colon, amounts = text.rpartition(":")
    if colon and model not in models:
        raise SuiteError(f'{OPTION} "{text}": no model is named {model}{format_suggestion(model, models)}')
    return model if colon else None, dict(_parse_amount(text, part) for part in amounts.split(","))


def _parse_amount(text: str, part: str) -> tuple[str, float]:
    name, _, amount = (word.strip() for word in part.partition("="))
    if name not in ("cpus", "gpus", "memory"):
        near = format_suggestion(name, ("cpus", "gpus", "memory"))
        raise SuiteError(f'{OPTION} "{text}": "{name}" is not a resource{near}')
    number = _parse_bytes(amount) if name == "memory" else _parse_count(amount)
    if number is None:
        expected = "bytes such as 8G or 500M" if name == "memory" else "a whole number, or one below 1"
        raise SuiteError(f'{OPTION} "{text}": {name} is "{amount}", expected {expected}')
    return name, number


def _parse_bytes(amount: str) -> float | None:
    match = _MEMORY.fullmatch(amount.upper())
    return float(int(float(match[1]) * _UNITS[match[2]])) if match else None


def _parse_count(amount: str) -> float | None:
    """Parses a whole number, or one below 1, as Ray accepts them."""
    try:
        number = float(amount)
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 and (number < 1 or number.is_integer()) else None


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

"""Finds the tasks of a run that the store has no results of, and estimates their times."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import mean

from slimgate.errors import SlimgateError
from slimgate.plugins.rows import GATE
from slimgate.run.cluster.tasks import Task, TaskId
from slimgate.run.measure.quality import has_answers
from slimgate.run.past_times import Estimate
from slimgate.run.plan import Lookup, NotStored, PlannedModel, plan_models
from slimgate.run.run import SuiteRun

# The estimate for a step if no step has a known time.
UNKNOWN_SECONDS = 1.0


class StoreLookup:
    """Looks up one run's tasks in the store; builds nothing."""

    def __init__(self, run: SuiteRun) -> None:
        self._run = run
        self._first = Lookup(run)
        self._lookups = {run.suite.seed: self._first}

    def has(self, task: Task) -> bool:
        """Whether nothing is left to do. That includes a model that cannot be built: the run reports why."""
        try:
            artifact = self._lookup(task.id.seed).build(task.name).artifact
        except NotStored:
            return False
        except SlimgateError:
            return True
        run, runtime = self._run, self._run.suite.model(task.name).runtime
        return not task.answers or has_answers(
            run.suite, run.rows, artifact, runtime, GATE, run.store, device=run.device
        )

    def artifacts(self, task: Task) -> list[str]:
        """The keys of a model's own steps, if the store has them."""
        try:
            return [step.entry.folder.name for step in self._lookup(task.id.seed).build(task.name).steps]
        except (NotStored, SlimgateError):
            return []

    def _lookup(self, seed: int) -> Lookup:
        if seed not in self._lookups:
            self._lookups[seed] = Lookup(self._run, seed, self._first)
        return self._lookups[seed]


def find_missing_tasks(run: SuiteRun, tasks: Mapping[TaskId, Task]) -> dict[TaskId, Task]:
    """The tasks that still have something to do, in order."""
    looking = StoreLookup(run)
    return {key: task for key, task in tasks.items() if not looking.has(task)}


def estimate_seconds(run: SuiteRun, tasks: Iterable[TaskId]) -> dict[TaskId, float]:
    """Estimates times by earlier runs; a step without a known time takes the mean of the known ones."""
    planned = {model.name: model for model in plan_models(run)}
    known = [
        part.seconds for model in planned.values() for part in _list_estimates(model) if part is not None
    ]
    default_seconds = mean(known) if known else UNKNOWN_SECONDS
    return {
        task: sum(
            default_seconds if part is None else part.seconds for part in _list_estimates(planned[task.name])
        )
        for task in tasks
    }


def _list_estimates(model: PlannedModel) -> list[Estimate | None]:
    """The estimates of a model's remaining work; one unknown if only another seed has work left."""
    steps = [step.seconds for step in model.missing]
    return [*steps, *([] if model.answered else [model.predicting])] or [None]

"""Which tasks of a run the store has not answered yet, and what they are expected to take."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import mean

from slimgate.errors import SlimgateError
from slimgate.protocols import GATE
from slimgate.run.cluster.tasks import Task, TaskId
from slimgate.run.measure.quality import has_answers
from slimgate.run.past_times import Estimate
from slimgate.run.plan import Lookup, NotStored, PlannedModel, planned_models
from slimgate.run.run import SuiteRun

# A step of which nothing is known, where nothing is known of any.
UNKNOWN_SECONDS = 1.0


class Looking:
    """What the store has of one run's tasks; it builds nothing."""

    def __init__(self, run: SuiteRun) -> None:
        self._run = run
        self._first = Lookup(run)
        self._lookups = {run.suite.seed: self._first}

    def has(self, task: Task) -> bool:
        """Whether nothing is left to do. A model that cannot be built at all counts: who asks is told why."""
        try:
            found = self._lookup(task.id.seed).build(task.name).artifact
        except NotStored:
            return False
        except SlimgateError:
            return True
        run, runtime = self._run, self._run.suite.model(task.name).runtime
        return not task.answers or has_answers(
            run.suite, run.rows, found, runtime, GATE, run.store, device=run.device
        )

    def artifacts(self, task: Task) -> list[str]:
        """The keys of a model's own steps, where it is there."""
        try:
            return [step.entry.folder.name for step in self._lookup(task.id.seed).build(task.name).steps]
        except (NotStored, SlimgateError):
            return []

    def _lookup(self, seed: int) -> Lookup:
        if seed not in self._lookups:
            self._lookups[seed] = Lookup(self._run, seed, self._first)
        return self._lookups[seed]


def missing_tasks(run: SuiteRun, tasks: Mapping[TaskId, Task]) -> dict[TaskId, Task]:
    """The tasks for which something is to be done, in their order."""
    looking = Looking(run)
    return {key: task for key, task in tasks.items() if not looking.has(task)}


def expected_seconds(run: SuiteRun, tasks: Iterable[TaskId]) -> dict[TaskId, float]:
    """By earlier runs; a step of which none is known takes what the known ones take on average."""
    planned = {model.name: model for model in planned_models(run)}
    known = [part.seconds for model in planned.values() for part in _parts(model) if part is not None]
    otherwise = mean(known) if known else UNKNOWN_SECONDS
    return {
        task: sum(otherwise if part is None else part.seconds for part in _parts(planned[task.name]))
        for task in tasks
    }


def _parts(model: PlannedModel) -> list[Estimate | None]:
    """What is left to do of a model; where that is nothing, another seed has it to do still."""
    steps = [step.seconds for step in model.missing]
    return [*steps, *([] if model.answered else [model.predicting])] or [None]

"""Lists the tasks that a run still has to do, estimates their times, and chooses which to start next.

The task with the longest chain behind it starts first. Tasks that the store has results of are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from statistics import mean

from slimgate.errors import SlimgateError
from slimgate.plugins.rows import GATE
from slimgate.run.answering_model import AnsweringModel
from slimgate.run.cluster.tasks import ModelTask, Needs, TaskId
from slimgate.run.measure.quality import has_answers
from slimgate.run.past_times import Estimate
from slimgate.run.plan import Lookup, NotStored, PlannedModel, plan_models
from slimgate.run.run import SuiteRun

# Tasks that are sent though there is no room for them: a free worker can start at once, and a cluster that
# scales automatically sees that more machines are needed.
AHEAD = 1
# The estimate for a step if no step has a known time.
UNKNOWN_SECONDS = 1.0


class Schedule:
    """Tasks that wait, are running, or are over. It knows no machine and no clock.

    failed: not built; unanswered: not built, or built without answers.
    """

    def __init__(self, tasks: Mapping[TaskId, ModelTask], seconds: Mapping[TaskId, float]) -> None:
        """tasks: each after those that it waits for; tasks that are not listed are done already.

        seconds: the expected time of each.
        """
        self._waiting = dict(tasks)
        self._running: dict[TaskId, ModelTask] = {}
        self._chain_seconds = compute_chain_seconds(tasks, seconds)
        self.failed: set[TaskId] = set()
        self.unanswered: set[TaskId] = set()

    @property
    def over(self) -> bool:
        return not self._waiting and not self._running

    @property
    def count_left(self) -> int:
        """The number of tasks that wait or are running."""
        return len(self._waiting) + len(self._running)

    @property
    def running(self) -> Collection[TaskId]:
        return self._running.keys()

    def list_ready_tasks(self) -> list[ModelTask]:
        """The tasks that wait for no other, the longest chain first; equal ones in the suite's order."""
        open_ones = self._waiting.keys() | self._running.keys()
        free = [task for task in self._waiting.values() if open_ones.isdisjoint(task.after)]
        return sorted(free, key=lambda task: -self._chain_seconds[task.id])

    def start(self, task: ModelTask) -> None:
        """Notes that the task is running."""
        self._running[task.id] = self._waiting.pop(task.id)

    def finish(self, task: TaskId) -> None:
        """Notes that the task is done; tasks that waited for it may start."""
        del self._running[task]

    def fail(self, task: TaskId, *, built: bool = False) -> None:
        """Notes that the task failed; unless it was built, tasks that depend on it never start."""
        del self._running[task]
        self.unanswered.add(task)
        if built:
            return
        self.failed.add(task)
        for waiting in list(self._waiting.values()):  # each after the tasks that it depends on
            if not self.failed.isdisjoint(waiting.after):
                self.failed.add(waiting.id)
                self.unanswered.add(waiting.id)
                del self._waiting[waiting.id]


def compute_chain_seconds(
    tasks: Mapping[TaskId, ModelTask], seconds: Mapping[TaskId, float]
) -> dict[TaskId, float]:
    """The seconds from the start of each task to the end of the longest chain that begins with it."""
    chain_seconds = dict.fromkeys(tasks, 0.0)
    for task in reversed(list(tasks.values())):
        chain_seconds[task.id] += seconds[task.id]
        for before in task.after:
            if before in chain_seconds:
                chain_seconds[before] = max(chain_seconds[before], chain_seconds[task.id])
    return chain_seconds


def choose_startable(
    ready: Iterable[ModelTask],
    running: Iterable[Needs],
    total: Mapping[str, float],
    needs_of: Callable[[ModelTask], Needs],
) -> Iterator[ModelTask]:
    """The ready tasks that fit into the cluster together with the running ones, and AHEAD more.

    A task that does not fit does not block smaller ones.
    """
    placed: list[Needs] = []
    ahead = 0
    for running_needs in running:
        if _has_room(total, placed, running_needs):
            placed.append(running_needs)
        else:
            ahead += 1
    for task in ready:
        needs = needs_of(task)
        if _has_room(total, placed, needs):
            placed.append(needs)
        elif ahead < AHEAD:
            ahead += 1
        else:
            continue
        yield task


def _has_room(total: Mapping[str, float], placed: Collection[Needs], more: Needs) -> bool:
    return all(
        sum(other.resources.get(name, 0.0) for other in placed) + amount <= total.get(name, 0.0)
        for name, amount in more.resources.items()
    )


class StoreLookup:
    """Looks up one run's tasks in the store; builds nothing."""

    def __init__(self, run: SuiteRun) -> None:
        self._run = run
        self._first = Lookup(run)
        self._lookups = {run.suite.seed: self._first}

    def has(self, task: ModelTask) -> bool:
        """Whether nothing is left to do. That includes a model that cannot be built: the run reports why."""
        try:
            artifact = self._make_lookup(task.id.seed).build(task.name).artifact
        except NotStored:
            return False
        except SlimgateError:
            return True
        run, runtime = self._run, self._run.suite.model(task.name).runtime
        model = AnsweringModel(run.suite, run.rows, artifact, runtime, run.device)
        return not task.answers or has_answers(model, GATE, run.store)

    def list_artifacts(self, task: ModelTask) -> list[str]:
        """The keys of a model's own steps, if the store has them."""
        try:
            return [step.entry.folder.name for step in self._make_lookup(task.id.seed).build(task.name).steps]
        except (NotStored, SlimgateError):
            return []

    def _make_lookup(self, seed: int) -> Lookup:
        if seed not in self._lookups:
            self._lookups[seed] = Lookup(self._run, seed, self._first)
        return self._lookups[seed]


def find_missing_tasks(run: SuiteRun, tasks: Mapping[TaskId, ModelTask]) -> dict[TaskId, ModelTask]:
    """The tasks that still have something to do, in order."""
    looking = StoreLookup(run)
    return {key: task for key, task in tasks.items() if not looking.has(task)}


def estimate_seconds(run: SuiteRun, tasks: Iterable[TaskId]) -> dict[TaskId, float]:
    """Estimates times by earlier runs; a step without a known time takes the mean of the known ones."""
    estimates = {model.name: _list_estimates(model) for model in plan_models(run)}
    known = [estimate.seconds for parts in estimates.values() for estimate in parts if estimate is not None]
    default = Estimate(mean(known) if known else UNKNOWN_SECONDS)
    return {task: sum((part or default).seconds for part in estimates[task.name]) for task in tasks}


def _list_estimates(model: PlannedModel) -> list[Estimate | None]:
    """The estimates of a model's remaining work; one unknown if only another seed has work left."""
    estimates = [step.seconds for step in model.missing]
    if not model.answered:
        estimates.append(model.predicting)
    return estimates or [None]

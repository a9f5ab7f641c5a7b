"""Sends the tasks of a run to Ray and stores the results: entries of the store, or errors."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from slimgate.errors import BuildError, SlimgateError
from slimgate.plugins.base import Progress
from slimgate.run.cluster.cluster import check_fits, connect, list_machines
from slimgate.run.cluster.schedule import (
    Schedule,
    StoreLookup,
    choose_startable,
    estimate_seconds,
    find_missing_tasks,
)
from slimgate.run.cluster.tasks import OPTION, Goal, ModelTask, Needs, RequestedNeeds, TaskId, list_tasks
from slimgate.run.cluster.worker import (
    EntryKey,
    Packed,
    Report,
    RunSpec,
    check_machine,
    do_task,
    pack_entry,
    publish_entry,
    remove_own_store,
)
from slimgate.run.contents import describe_software
from slimgate.run.keys import make_splits_key
from slimgate.run.progress import UNWATCHED, Watch
from slimgate.run.run import SuiteRun

if TYPE_CHECKING:
    import ray
    from ray import ObjectRef

R = TypeVar("R")
# How often a task goes to another worker if one is lost; the task's own errors are not retried.
RETRIES = 3
POLL_SECONDS = 1.0
ARTIFACTS = "artifacts"
# Kinds of entries for which slimgate knows which tasks need them. Results that steps share have other kinds.
PLANNED_KINDS = (ARTIFACTS, "splits", "outcomes", "shapes")


@dataclass(frozen=True)
class RayRequest:
    """The work for Ray: the runs by their suites' paths, with the goals for each model."""

    runs: Mapping[Path, SuiteRun]
    goals: Mapping[Path, Mapping[str, Goal]]
    needs: RequestedNeeds
    root: Path
    address: str | None = None
    rebuild_mark: str | None = None
    watch: Watch = UNWATCHED


@dataclass(frozen=True)
class RayResult:
    """The work done on Ray: total seconds, seconds of each task, the number of tasks of each machine.

    again: the models that have to be built here again.
    """

    seconds: float
    tasks: Mapping[TaskId, float]
    hosts: Mapping[str, int]
    again: Sequence[str] = ()

    @property
    def lines(self) -> Iterator[str]:
        """Lines for the head of a run's output."""
        hosts = ", ".join(f"{host} {count}" for host, count in sorted(self.hosts.items()))
        yield f"Ray: {sum(self.hosts.values())} models in {self.seconds:.1f} s ({hosts or 'on no machine'})"
        for name in self.again:
            yield (
                f"Ray: {name} is built again here, because the store has no result of a worker under the key "
                "of this machine (does the worker have other data, or does a network share show new files "
                "late?)"
            )


def build_on_ray(request: RayRequest) -> RayResult | None:
    """Builds on Ray what is missing in the store; None if nothing is missing.

    Models that failed there fail in the run when they are needed. Raises BuildError if the cluster cannot be
    used.
    """
    if not any(
        find_missing_tasks(run, list_tasks(run.suite, request.goals[path]))
        for path, run in request.runs.items()
    ):
        return None
    with connect(request.address) as ray, _touch_mark(request) as mark:
        return _Driver(request, ray, mark).spread()


@contextmanager
def _touch_mark(request: RayRequest) -> Iterator[str]:
    """Writes a file into the store. A machine that sees this file shares the store."""
    mark = f"ray-{uuid4().hex}"
    run = next(iter(request.runs.values()))
    file = run.store.root / "locks" / mark
    file.touch()
    try:
        yield mark
    finally:
        file.unlink(missing_ok=True)


class _Driver:
    """Runs the tasks of one connection."""

    def __init__(self, request: RayRequest, ray: ModuleType, mark: str) -> None:
        self._request, self._ray = request, ray
        self._specs = {path: _make_spec(request, run, mark) for path, run in request.runs.items()}
        self._work = ray.remote(num_returns=2, max_retries=RETRIES, retry_exceptions=False)(_work_remotely)
        self._graph: dict[TaskId, ModelTask] = {}
        self._sent: dict[EntryKey, Any] = {}
        self._shared_keys: dict[Path, set[EntryKey]] = {path: set() for path in request.runs}
        self._hosts: Counter[str] = Counter()
        self._seconds: dict[TaskId, float] = {}

    def spread(self) -> RayResult:
        """Sends all tasks and waits for them."""
        began = time.perf_counter()
        shared = self._check_machines()
        self._specs = {path: replace(spec, shared=shared) for path, spec in self._specs.items()}
        tasks, seconds = self._plan_tasks(shared=shared)
        for task in tasks.values():
            check_fits(self._ray, task.name, self._find_needs(task))
        schedule = Schedule(tasks, seconds)
        with self._request.watch.stage(f"{len(tasks)} models on Ray") as progress:
            self._run_tasks(schedule, tasks, progress)
        if not shared:
            self._run_everywhere(remove_own_store)
        lookups = {path: StoreLookup(run) for path, run in self._request.runs.items()}
        again = [
            task.name
            for key, task in tasks.items()
            if key not in schedule.unanswered and not lookups[key.suite].has(task)
        ]
        return RayResult(time.perf_counter() - began, self._seconds, self._hosts, again)

    def _check_machines(self) -> bool:
        """Whether all machines see the store. Raises BuildError if one would build something else."""
        checks = self._run_everywhere(check_machine)
        for check in checks:
            if check.problem is not None:
                raise BuildError(check.problem)
        return all(check.sees_store for check in checks)

    def _run_everywhere(self, function: Callable[[RunSpec], R]) -> list[R]:
        """The results of a function for each spec on each machine."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        remote = self._ray.remote(num_cpus=0)(function)
        strategies = [NodeAffinitySchedulingStrategy(node, soft=True) for node in list_machines(self._ray)]
        refs = [
            remote.options(scheduling_strategy=strategy).remote(spec)
            for strategy in strategies
            for spec in self._specs.values()
        ]
        try:
            results: list[Any] = self._ray.get(refs)
        except self._ray.exceptions.RayError as error:
            reason = str(error).strip().splitlines()[-1]
            raise BuildError(f"a machine of the Ray cluster cannot be used: {reason}") from error
        return results

    def _plan_tasks(self, *, shared: bool) -> tuple[dict[TaskId, ModelTask], dict[TaskId, float]]:
        """The missing tasks, and the seconds that each is expected to take."""
        tasks: dict[TaskId, ModelTask] = {}
        seconds: dict[TaskId, float] = {}
        for path, run in self._request.runs.items():
            graph = list_tasks(run.suite, self._request.goals[path], shared=shared)
            missing = find_missing_tasks(run, graph)
            self._graph |= graph
            tasks |= missing
            seconds |= estimate_seconds(run, missing)
        return tasks, seconds

    def _find_needs(self, task: ModelTask) -> Needs:
        run = self._request.runs[task.id.suite]
        return self._request.needs.find_needs(task.name, threads=run.suite.threads, device=run.device)

    def _run_tasks(self, schedule: Schedule, tasks: Mapping[TaskId, ModelTask], progress: Progress) -> None:
        refs: dict[Any, tuple[ModelTask, Any]] = {}
        try:
            while not schedule.over:
                running = [self._find_needs(tasks[task_id]) for task_id in schedule.running]
                total = self._ray.cluster_resources()
                for task in list(
                    choose_startable(schedule.list_ready_tasks(), running, total, self._find_needs)
                ):
                    schedule.start(task)
                    report, packed = self._start_task(task)
                    refs[report] = task, packed
                names = ", ".join(task_id.name for task_id in schedule.running)
                progress(f"Ray · {names}", len(tasks) - schedule.count_left, len(tasks))
                done, _ = self._ray.wait(list(refs), num_returns=1, timeout=POLL_SECONDS)
                for report in done:
                    self._take_result(schedule, report, *refs.pop(report))
        finally:  # after Ctrl-C: cancel running tasks
            for report in refs:
                self._ray.cancel(report, force=True)

    def _start_task(self, task: ModelTask) -> tuple[Any, Any]:
        """Sends a task; returns Ray's references to its report and to its packed entries."""
        needs, spec = self._find_needs(task), self._specs[task.id.suite]
        needed = (
            [] if spec.shared else [(key, self._put_entry(task, key)) for key in self._list_entries(task)]
        )
        remote_work = self._work.options(
            name=task.name, num_cpus=needs.cpus, num_gpus=needs.gpus, memory=needs.memory or None
        )
        report, packed = remote_work.remote(spec, task, needed)
        return report, packed

    def _list_entries(self, task: ModelTask) -> list[EntryKey]:
        """The entries that a task starts from: the rows, and the artifacts of all models it is built from."""
        run = self._request.runs[task.id.suite]
        lookup = StoreLookup(run)
        earlier, todo = dict.fromkeys(task.after), list(task.after)
        while todo:
            new = [task_id for task_id in self._graph[todo.pop()].after if task_id not in earlier]
            earlier |= dict.fromkeys(new)
            todo += new
        keys = [
            (ARTIFACTS, key) for task_id in earlier for key in lookup.list_artifacts(self._graph[task_id])
        ]
        splits = ("splits", make_splits_key(run.suite))
        return [splits, *dict.fromkeys(keys), *self._shared_keys[task.id.suite]]

    def _put_entry(self, task: ModelTask, key: EntryKey) -> Any:
        """The entry's bytes in Ray's object store, which every task can read."""
        if key not in self._sent:
            entry = self._request.runs[task.id.suite].store.find(*key)
            assert entry is not None, key
            self._sent[key] = self._ray.put(pack_entry(entry))
        return self._sent[key]

    def _take_result(self, schedule: Schedule, ref: ObjectRef, task: ModelTask, packed: ObjectRef) -> None:
        """Stores the result of a task."""
        run = self._request.runs[task.id.suite]
        try:
            report: Report = self._ray.get(ref)
            if not report.shared:
                for entry in self._ray.get(packed):
                    publish_entry(entry, run.store)
        except (self._ray.exceptions.RayError, SlimgateError) as error:
            self._note_failure(schedule, task, _make_task_error(task, error, self._ray), built=False)
            return
        self._hosts[report.host] += 1
        self._seconds[task.id] = report.seconds
        run.note_built_elsewhere(
            key for (kind, key), is_new in report.used.items() if is_new and kind == ARTIFACTS
        )
        if report.error is not None:
            report.error.log = f"on {report.host}:\n{report.log}"
            self._note_failure(schedule, task, report.error, built=report.built)
            return
        self._shared_keys[task.id.suite] |= {key for key in report.used if key[0] not in PLANNED_KINDS}
        schedule.finish(task.id)

    def _note_failure(
        self, schedule: Schedule, task: ModelTask, error: SlimgateError, *, built: bool
    ) -> None:
        self._request.runs[task.id.suite].note_failed_elsewhere(task.name, task.id.seed, error, built=built)
        schedule.fail(task.id, built=built)


def _work_remotely(
    spec: RunSpec, task: ModelTask, needed: Sequence[tuple[EntryKey, ray.ObjectRef]]
) -> tuple[Report, list[Packed]]:
    """Runs a task in a Ray worker."""
    import ray

    return do_task(spec, task, needed, ray.get)


def _make_spec(request: RayRequest, run: SuiteRun, mark: str) -> RunSpec:
    return RunSpec(
        suite=run.suite.path,
        shown=run.suite.shown.partition(" (extends ")[0],
        digest=run.suite.digest,
        root=request.root,
        store=run.store.root,
        mark=mark,
        rebuild_mark=request.rebuild_mark,
        device=run.device.split(":")[0],  # a worker sees only its own GPUs
        threads=run.suite.threads,
        software=describe_software(),
        time_limit=run.time_limit,
    )


def _make_task_error(task: ModelTask, error: Exception, ray: ModuleType) -> SlimgateError:
    """The error for a task without a report, in one line."""
    if isinstance(error, SlimgateError):
        return type(error)(f"{task.name}: {error}")
    reason = " ".join(str(error).strip().splitlines()[-1:])
    if isinstance(error, ray.exceptions.RayTaskError):
        return BuildError(f"{task.name}: its Ray task failed: {reason}")
    if isinstance(error, ray.exceptions.OutOfMemoryError):
        return BuildError(f"{task.name}: out of memory on a Ray worker; ask for more by {OPTION} memory=…")
    kind = type(error).__name__
    return BuildError(f"{task.name}: its Ray worker was lost in {RETRIES + 1} tries ({kind}: {reason})")

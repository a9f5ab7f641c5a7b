"""Gives the tasks of a run to Ray and takes in what comes back: entries of the store, or errors."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from slimgate.errors import BuildError, SlimgateError
from slimgate.protocols import Progress
from slimgate.run.cluster.cluster import check_fits, connect, machines
from slimgate.run.cluster.missing import Looking, expected_seconds, missing_tasks
from slimgate.run.cluster.needs import OPTION, AskedNeeds, Needs
from slimgate.run.cluster.packed import Packed, pack, publish
from slimgate.run.cluster.schedule import Schedule, startable
from slimgate.run.cluster.tasks import Task, TaskId, Wish, tasks_of
from slimgate.run.cluster.worker import Job, Key, Report, check_machine, clear, work
from slimgate.run.keys import software, splits_key
from slimgate.run.progress import UNWATCHED, Watch
from slimgate.run.run import SuiteRun

# How often a task is given to another worker where one is lost; an error of the task's own is told at once.
RETRIES = 3
EVERY_SECONDS = 1.0
ARTIFACTS = "artifacts"
# The kinds of entries of which is known who needs them; what steps share with each other is none of them.
PLANNED_KINDS = (ARTIFACTS, "splits", "outcomes", "shapes")


@dataclass(frozen=True)
class Asked:
    """What is to be done: the runs by their suites' paths, with what each wants of its models."""

    runs: Mapping[Path, SuiteRun]
    wishes: Mapping[Path, Mapping[str, Wish]]
    needs: AskedNeeds
    root: Path
    address: str | None = None
    rebuild_mark: str | None = None
    watch: Watch = UNWATCHED


@dataclass(frozen=True)
class Spread:
    """What was done elsewhere: seconds in all, seconds of each task, how many tasks each machine did.

    again: the models that are to be made here all the same.
    """

    seconds: float
    tasks: Mapping[TaskId, float]
    hosts: Mapping[str, int]
    again: Sequence[str] = ()

    @property
    def lines(self) -> Iterator[str]:
        """For the head of a run."""
        hosts = ", ".join(f"{host} {count}" for host, count in sorted(self.hosts.items()))
        yield f"Ray: {sum(self.hosts.values())} models in {self.seconds:.1f} s ({hosts or 'on no machine'})"
        for name in self.again:
            yield (
                f"Ray: {name} is made again here: what a worker made is not in the store by its key "
                "here (other data there, or a share that shows new files late?)"
            )


def spread(asked: Asked) -> Spread | None:
    """Does on Ray what is missing in the store; None where that is nothing.

    Models that failed there fail in the run when they are asked for. Raises BuildError where the cluster
    cannot be used.
    """
    if not any(
        missing_tasks(run, tasks_of(run.suite, asked.wishes[path])) for path, run in asked.runs.items()
    ):
        return None
    with connect(asked.address) as ray, _mark(asked) as mark:
        return _Driver(asked, ray, mark).spread()


@contextmanager
def _mark(asked: Asked) -> Iterator[str]:
    """A file in the store by which other machines tell that they see it."""
    mark = f"ray-{uuid4().hex}"
    run = next(iter(asked.runs.values()))
    file = run.store.root / "locks" / mark
    file.touch()
    try:
        yield mark
    finally:
        file.unlink(missing_ok=True)


class _Driver:
    """One connection's work."""

    def __init__(self, asked: Asked, ray: Any, mark: str) -> None:
        self._asked, self._ray = asked, ray
        self._jobs = {path: _job(asked, run, mark) for path, run in asked.runs.items()}
        self._work = ray.remote(num_returns=2, max_retries=RETRIES, retry_exceptions=False)(_work)
        self._graph: dict[TaskId, Task] = {}
        self._sent: dict[Key, Any] = {}
        self._beside: dict[Path, set[Key]] = {path: set() for path in asked.runs}
        self._hosts: Counter[str] = Counter()
        self._took: dict[TaskId, float] = {}

    def spread(self) -> Spread:
        """Gives all tasks away and waits for them."""
        began = time.perf_counter()
        shared = self._look()
        self._jobs = {path: replace(job, shared=shared) for path, job in self._jobs.items()}
        tasks, seconds = self._plan(shared)
        for task in tasks.values():
            check_fits(self._ray, task.name, self._needs(task))
        schedule = Schedule(tasks, seconds)
        with self._asked.watch.stage(f"{len(tasks)} models on Ray") as progress:
            self._go_through(schedule, tasks, progress)
        if not shared:
            self._everywhere(clear)
        again = list(self._find_missing(schedule, tasks))
        return Spread(time.perf_counter() - began, self._took, self._hosts, again)

    def _look(self) -> bool:
        """Whether all machines see the store. Raises BuildError where one would make something else."""
        found = self._everywhere(check_machine)
        for _, _, wrong in found:
            if wrong is not None:
                raise BuildError(wrong)
        return all(shared for _, shared, _ in found)

    def _everywhere(self, function: Any) -> list[Any]:
        """What a function says of each job on each machine."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        remote = self._ray.remote(num_cpus=0)(function)
        nodes = [NodeAffinitySchedulingStrategy(node, soft=True) for node in machines(self._ray)]
        refs = [
            remote.options(scheduling_strategy=node).remote(job)
            for node in nodes
            for job in self._jobs.values()
        ]
        try:
            found: list[Any] = self._ray.get(refs)
        except self._ray.exceptions.RayError as error:
            said = str(error).strip().splitlines()[-1]
            raise BuildError(f"a machine of the Ray cluster cannot be used: {said}") from error
        return found

    def _plan(self, shared: bool) -> tuple[dict[TaskId, Task], dict[TaskId, float]]:
        """What is missing, and what that is expected to take."""
        tasks: dict[TaskId, Task] = {}
        seconds: dict[TaskId, float] = {}
        for path, run in self._asked.runs.items():
            graph = tasks_of(run.suite, self._asked.wishes[path], shared=shared)
            missing = missing_tasks(run, graph)
            self._graph |= graph
            tasks |= missing
            seconds |= expected_seconds(run, missing)
        return tasks, seconds

    def _needs(self, task: Task) -> Needs:
        run = self._asked.runs[task.id.suite]
        return self._asked.needs.of(task.name, threads=run.suite.threads, device=run.device)

    def _go_through(self, schedule: Schedule, tasks: Mapping[TaskId, Task], progress: Progress) -> None:
        refs: dict[Any, tuple[Task, Any]] = {}
        try:
            while not schedule.over:
                taken = [self._needs(tasks[one]) for one in schedule.under_way]
                total = self._ray.cluster_resources()
                for task in list(startable(schedule.ready_tasks(), taken, total, self._needs)):
                    schedule.start(task)
                    report, packed = self._start(task)
                    refs[report] = task, packed
                names = ", ".join(one.name for one in schedule.under_way)
                progress(f"Ray · {names}", len(tasks) - schedule.count_left, len(tasks))
                done, _ = self._ray.wait(list(refs), num_returns=1, timeout=EVERY_SECONDS)
                for report in done:
                    self._settle(schedule, report, *refs.pop(report))
        finally:  # after Ctrl-C: what is under way is given up
            for report in refs:
                self._ray.cancel(report, force=True)

    def _start(self, task: Task) -> tuple[Any, Any]:
        needs, job = self._needs(task), self._jobs[task.id.suite]
        needed = [] if job.shared else [(key, self._put(task, key)) for key in self._entries_needed(task)]
        work_there = self._work.options(
            name=task.name, num_cpus=needs.cpus, num_gpus=needs.gpus, memory=needs.memory or None
        )
        report, packed = work_there.remote(job, task, needed)
        return report, packed

    def _entries_needed(self, task: Task) -> list[Key]:
        """The entries that a task starts from: the rows, and all that led to the models it comes from."""
        run, looking = self._asked.runs[task.id.suite], Looking(self._asked.runs[task.id.suite])
        before, todo = dict.fromkeys(task.after), list(task.after)
        while todo:
            new = [one for one in self._graph[todo.pop()].after if one not in before]
            before |= dict.fromkeys(new)
            todo += new
        keys = [("artifacts", key) for one in before for key in looking.artifacts(self._graph[one])]
        return [("splits", splits_key(run.suite)), *dict.fromkeys(keys), *self._beside[task.id.suite]]

    def _put(self, task: Task, key: Key) -> Any:
        """The entry's bytes in Ray's object store, where every task finds them."""
        if key not in self._sent:
            entry = self._asked.runs[task.id.suite].store.find(*key)
            assert entry is not None, key
            self._sent[key] = self._ray.put(pack(entry))
        return self._sent[key]

    def _settle(self, schedule: Schedule, ref: Any, task: Task, packed: Any) -> None:
        """Takes in what came of a task."""
        run = self._asked.runs[task.id.suite]
        try:
            report: Report = self._ray.get(ref)
            for one in () if report.shared else self._ray.get(packed):
                publish(one, run.store)
        except (self._ray.exceptions.RayError, SlimgateError) as error:
            self._fail(schedule, task, _to_error(task, error, self._ray), built=False)
            return
        self._hosts[report.host] += 1
        self._took[task.id] = report.seconds
        run.note_built_elsewhere(
            key for (kind, key), made in report.used.items() if made and kind == ARTIFACTS
        )
        if report.error is not None:
            report.error.log = f"on {report.host}:\n{report.log}"
            self._fail(schedule, task, report.error, built=report.built)
            return
        self._beside[task.id.suite] |= {key for key in report.used if key[0] not in PLANNED_KINDS}
        schedule.finish(task.id)

    def _fail(self, schedule: Schedule, task: Task, error: SlimgateError, *, built: bool) -> None:
        self._asked.runs[task.id.suite].note_failed_elsewhere(task.name, task.id.seed, error, built=built)
        schedule.fail(task.id, built=built)

    def _find_missing(self, schedule: Schedule, tasks: Mapping[TaskId, Task]) -> Iterator[str]:
        """The models that were made, and that this machine does not find all the same."""
        looking = {path: Looking(run) for path, run in self._asked.runs.items()}
        for key, task in tasks.items():
            if key not in schedule.unanswered and not looking[key.suite].has(task):
                yield task.name


def _work(job: Job, task: Task, needed: Sequence[tuple[Key, Any]]) -> tuple[Report, list[Packed]]:
    """What a worker of Ray does."""
    import ray

    return work(job, task, needed, ray.get)


def _job(asked: Asked, run: SuiteRun, mark: str) -> Job:
    return Job(
        suite=run.suite.path,
        shown=run.suite.shown.partition(" (extends ")[0],
        digest=run.suite.digest,
        root=asked.root,
        store=run.store.root,
        mark=mark,
        rebuild_mark=asked.rebuild_mark,
        device=run.device.split(":")[0],  # a worker sees the GPUs that are its own
        threads=run.suite.threads,
        software=software(),
        time_limit=run.time_limit,
    )


def _to_error(task: Task, error: Exception, ray: Any) -> SlimgateError:
    """Why there is no report of a task, in one line."""
    if isinstance(error, SlimgateError):
        return type(error)(f"{task.name}: {error}")
    said = " ".join(str(error).strip().splitlines()[-1:])
    if isinstance(error, ray.exceptions.RayTaskError):
        return BuildError(f"{task.name}: its Ray task failed: {said}")
    if isinstance(error, ray.exceptions.OutOfMemoryError):
        return BuildError(f"{task.name}: out of memory on a Ray worker; ask for more by {OPTION} memory=…")
    kind = type(error).__name__
    return BuildError(f"{task.name}: its Ray worker was lost, at {RETRIES + 1} tries ({kind}: {said})")

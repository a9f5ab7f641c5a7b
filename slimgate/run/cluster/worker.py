"""What is done on another machine: the steps of one model and its answers, in a store that is seen or not.

A machine sees the store where it finds the mark that the run has left in it. Where it does not, what a task
needs comes as bytes into a store of the machine's own, and what it made goes back as bytes.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, field, replace
from io import StringIO
from pathlib import Path
from typing import Any

from slimgate import errors
from slimgate.errors import BuildError, SlimgateError
from slimgate.run.cluster.packed import Packed, pack, publish
from slimgate.run.cluster.tasks import Task
from slimgate.run.keys import software
from slimgate.run.run import SuiteRun, own_stages
from slimgate.store.holds import held_entries, moment_of_holds
from slimgate.store.store import Entry, Json, Store
from slimgate.suite.load import load_suite

Key = tuple[str, str]
SAID = 4_000  # characters of what a failing task wrote, from its end
OWN_STORE = "slimgate-{}"
# A store in which nothing was begun for so long, and which no process uses, was left by a killed run.
LEFT_SECONDS = 60


@dataclass(frozen=True)
class Job:
    """The run that a task is of. mark: the name of a file in the store's locks; threads: of the suite.

    shared: whether all machines saw the store when the run began. time_limit: as a SuiteRun has it.
    """

    suite: Path
    shown: str
    digest: str
    root: Path
    store: Path
    mark: str
    rebuild_mark: str | None
    device: str
    threads: int
    software: Mapping[str, str | None]
    shared: bool = False
    time_limit: float | None = None


@dataclass(frozen=True)
class Report:
    """What came of a task. used: what it asked the store for, and whether it was made now.

    built: whether the model is there, though it may have no answers. log: of a failure.
    """

    host: str
    seconds: float
    shared: bool
    used: Mapping[Key, bool]
    error: SlimgateError | None = None
    built: bool = True
    log: str = ""


class NotingStore(Store):
    """A store that notes what it is asked for, and whether that was made now."""

    def __init__(self, root: Path, *, rebuild_mark: str | None = None) -> None:
        super().__init__(root, rebuild=rebuild_mark)
        self.noted: dict[Key, bool] = {}

    def make(self, kind: str, key: str, fill: Callable[[Path], Json]) -> Entry:
        entry = super().make(kind, key, fill)
        self.noted[kind, key] = self.noted.get((kind, key), False) or not entry.from_store
        return entry


@dataclass
class _Place:
    """A run as this process keeps it from task to task, with its store."""

    store: NotingStore
    shared: bool
    runs: dict[Path, SuiteRun] = field(default_factory=dict)


_PLACES: dict[str, _Place] = {}


def sees_store(job: Job) -> bool:
    """Whether this machine has the run's store at its path, to read and to write."""
    return (job.store / "locks" / job.mark).is_file() and os.access(job.store, os.W_OK)


def check_machine(job: Job) -> tuple[str, bool, str | None]:
    """(this machine's name, whether it sees the store, what is wrong with it for this run).

    What runs that were killed have left on the machine goes.
    """
    clear_leftovers()
    try:
        _check(job)
    except SlimgateError as error:
        return socket.gethostname(), False, str(error)
    return socket.gethostname(), sees_store(job), None


def work(
    job: Job, task: Task, needed: Iterable[tuple[Key, Any]], fetch: Callable[[Any], Packed]
) -> tuple[Report, list[Packed]]:
    """Builds the task's model and has it answer; what was made, as bytes where the store is not seen.

    needed: entries to start from, and what `fetch` makes bytes of: each is fetched where it is missing.
    Errors of the task's own come back in the report, so that nobody tries it again.
    """
    began, said, built = time.perf_counter(), StringIO(), False
    place: _Place | None = None
    error: SlimgateError | None = None
    log = ""
    try:
        with redirect_stdout(said), redirect_stderr(said):
            _check(job)
            place = _place_of(job)
            sent = _take_in(place, needed, fetch)
            run = _run_of(job, place)
            run.build(task.name, task.id.seed)
            built = True
            _answer(run, task)
    except SlimgateError as found:
        error = to_plain_error(found)
        raised = found.log or "".join(traceback.format_exception(found))
        log = f"{said.getvalue()[-SAID:]}\n{raised}".lstrip()
    used = {} if place is None else dict(place.store.noted)
    shared = place is not None and place.shared
    report = Report(socket.gethostname(), time.perf_counter() - began, shared, used, error, built, log)
    if place is None or shared:
        return report, []
    entries = (place.store.find(*key) for key in used if key not in sent)
    return report, [pack(entry) for entry in entries if entry is not None]


def clear(job: Job) -> None:
    """Removes the store of this machine's own."""
    shutil.rmtree(_own_store(job), ignore_errors=True)


def clear_leftovers() -> None:
    """Removes stores of this machine's own of which no process lives. What others own stays."""
    for left in Path(tempfile.gettempdir()).glob(OWN_STORE.format("ray-*")):
        with suppress(OSError):
            if time.time() - (left / "locks").stat().st_mtime < LEFT_SECONDS:
                continue
            with moment_of_holds(left):
                if held_entries(left):
                    continue
                gone = left.with_name(f"{left.name}.gone")
                os.rename(left, gone)  # who opens it now finds none, and begins it anew
            shutil.rmtree(gone, ignore_errors=True)


def to_plain_error(error: SlimgateError) -> SlimgateError:
    """The error as one of slimgate's own, which every process can read."""
    kinds = (kind for kind in type(error).__mro__ if getattr(errors, kind.__name__, None) is kind)
    kind: type[SlimgateError] = next(kinds)
    return kind(str(error))


def _check(job: Job) -> None:
    """Raises BuildError where this machine would make something else of the suite."""
    here = software()
    for name, wanted in job.software.items():
        if here.get(name) != wanted:
            raise _error(f"has {name} {here.get(name)}, this run {wanted}: install the same on all machines")
    with suppress(OSError):
        if _suite_file(job).is_file():
            return
    raise _error(f"does not see the suite {job.suite}: have the repository at the same path on all machines")


def _error(what: str) -> BuildError:
    return BuildError(f"the Ray worker on {socket.gethostname()} {what}")


def _suite_file(job: Job) -> Path:
    """The suite: at its path, else in the folder that Ray has brought along for the whole run."""
    if job.suite.is_file() or not job.suite.is_relative_to(job.root):
        return job.suite
    return Path.cwd() / job.suite.relative_to(job.root)


def _place_of(job: Job) -> _Place:
    if job.mark not in _PLACES:
        _PLACES.clear()  # of an earlier run
        shared = sees_store(job)
        if job.shared and not shared:
            raise _error(f"does not see the store {job.store}, as others did at first: mount it, run again")
        store = NotingStore(job.store if shared else _own_store(job), rebuild_mark=job.rebuild_mark)
        _PLACES[job.mark] = _Place(store, shared)
    place = _PLACES[job.mark]
    place.store.noted.clear()
    return place


def _own_store(job: Job) -> Path:
    return Path(tempfile.gettempdir()) / OWN_STORE.format(job.mark)


def _take_in(place: _Place, needed: Iterable[tuple[Key, Any]], fetch: Callable[[Any], Packed]) -> set[Key]:
    """Has what a task needs in the machine's own store; the keys of all that."""
    if place.shared:
        return set()
    keys = set()
    for key, sent in needed:
        keys.add(key)
        if place.store.find(*key) is None:
            publish(fetch(sent), place.store)
    place.store.noted.clear()
    return keys


def _run_of(job: Job, place: _Place) -> SuiteRun:
    if job.suite not in place.runs:
        path = _suite_file(job)
        sys.path.extend(
            folder for folder in (str(_root(job, path)), str(path.parent)) if folder not in sys.path
        )
        suite = replace(load_suite(path, job.shown), threads=job.threads)
        if suite.digest != job.digest:
            raise _error(f"has another {path}: have the same repository on all machines")
        suite = replace(suite, path=job.suite)
        place.runs[job.suite] = SuiteRun(suite, place.store, device=job.device, time_limit=job.time_limit)
    return place.runs[job.suite]


def _root(job: Job, path: Path) -> Path:
    return job.root if path == job.suite else Path.cwd()


def _answer(run: SuiteRun, task: Task) -> None:
    if task.answers:
        run.outcomes(task.name, task.id.seed)
    if task.stages and len(run.rows.splits.get("selection", ())):
        for owner, _, artifact in own_stages(run, task.name):
            with suppress(SlimgateError):  # the gate that shows stages tells why one has no answers
                run.selection_outcomes(owner, artifact)

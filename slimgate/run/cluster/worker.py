"""Runs a task on another machine: builds one model and predicts its answers.

The run writes a file, the mark, into its store. A machine that finds the mark uses this store. Otherwise it
uses a store of its own: the run sends the task's inputs as bytes, and the machine returns the results as
bytes.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, field, replace
from io import StringIO
from pathlib import Path, PurePosixPath
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from slimgate import errors
from slimgate.errors import BuildError, SlimgateError
from slimgate.plugins.base import Json
from slimgate.plugins.loading import add_import_folder
from slimgate.run.cluster.tasks import ModelTask
from slimgate.run.contents import describe_software
from slimgate.run.run import RunOptions, SuiteRun, list_own_stages
from slimgate.store.holds import list_used_entries, lock_holds
from slimgate.store.store import Entry, Store, list_files
from slimgate.suite.reader import load_suite

# Fields of a manifest that each store writes itself.
_STORE_FIELDS = ("key", "created", "rebuild", "entry", "sizes", "sha256", "seal")


@dataclass(frozen=True)
class Packed:
    """An entry as bytes. files: name -> (bytes,) uint8, which Ray passes without a copy; sums: sha256."""

    kind: str
    key: str
    manifest: Json
    files: Mapping[str, npt.NDArray[np.uint8]]
    sums: Mapping[str, str]


def pack_entry(entry: Entry) -> Packed:
    """The bytes of a complete entry."""
    folder, names = entry.folder, list_files(entry.folder)
    return Packed(
        kind=folder.parent.name,
        key=folder.name,
        manifest={name: value for name, value in entry.manifest.items() if name not in _STORE_FIELDS},
        files={name: np.fromfile(folder / name, np.uint8) for name in names},
        sums=entry.manifest["sha256"],
    )


def publish_entry(packed: Packed, store: Store) -> Entry:
    """The entry in another store, written if it is missing. Raises BuildError for damaged bytes."""
    for name, content in packed.files.items():
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise BuildError(f"{packed.kind} {packed.key}: its file {name} is outside of its folder")
        if hashlib.sha256(content.data).hexdigest() != packed.sums.get(name):
            raise BuildError(
                f"{packed.kind} {packed.key}: {name} was damaged on the network (its sha256 differs); run "
                "again"
            )

    def fill(folder: Path) -> Json:
        for name, content in packed.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            content.tofile(folder / name)
        return packed.manifest

    return store.make(packed.kind, packed.key, fill)


# An entry of the store: its kind and its key, such as ("artifacts", DIGEST).
EntryKey = tuple[str, str]
Sent = TypeVar("Sent")
LOG_CHARACTERS = 4_000  # the last characters that a failed task wrote
OWN_STORE = "slimgate-{}"
# A store that nobody has used for this many seconds, and that no process uses, is from a killed run.
LEFTOVER_SECONDS = 60


@dataclass(frozen=True)
class RunSpec:
    """The run that a task belongs to.

    mark: the name of a file in the store's locks. threads: the suite's. shared: whether all machines saw the
    store when the run began. time_limit: see SuiteRun.
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
    """The result of a task.

    used: the entries of the store that the task used, and whether it made each one. built: whether the model
    was built; its answers may be missing. log: what a failed task wrote.
    """

    host: str
    seconds: float
    shared: bool
    used: Mapping[EntryKey, bool]
    error: SlimgateError | None = None
    built: bool = True
    log: str = ""


class RecordingStore(Store):
    """A store that records which entries a task uses, and whether the task made them."""

    def __init__(self, root: Path, *, rebuild_mark: str | None = None) -> None:
        super().__init__(root, rebuild=rebuild_mark)
        self.used_entries: dict[EntryKey, bool] = {}

    def make(
        self, kind: str, key: str, fill: Callable[[Path], Json], *, modules: Iterable[str] = ()
    ) -> Entry:
        entry = super().make(kind, key, fill, modules=modules)
        self.used_entries[kind, key] = self.used_entries.get((kind, key), False) or not entry.from_store
        return entry


@dataclass
class _Workspace:
    """The store and the runs that this process keeps for later tasks."""

    store: RecordingStore
    shared: bool
    runs: dict[Path, SuiteRun] = field(default_factory=dict)


_WORKSPACES: dict[str, _Workspace] = {}


def is_store_visible(spec: RunSpec) -> bool:
    """Whether this machine can read and write the run's store at its path."""
    return (spec.store / "locks" / spec.mark).is_file() and os.access(spec.store, os.W_OK)


class MachineCheck(NamedTuple):
    """Whether a machine can work for a run. problem: why it cannot; None if it can."""

    host: str
    sees_store: bool
    problem: str | None


def check_machine(spec: RunSpec) -> MachineCheck:
    """Checks this machine. Also removes the stores of killed runs."""
    clear_leftovers()
    try:
        _check_software(spec)
    except SlimgateError as error:
        return MachineCheck(socket.gethostname(), sees_store=False, problem=str(error))
    return MachineCheck(socket.gethostname(), is_store_visible(spec), problem=None)


def do_task(
    spec: RunSpec, task: ModelTask, needed: Iterable[tuple[EntryKey, Sent]], fetch: Callable[[Sent], Packed]
) -> tuple[Report, list[Packed]]:
    """Builds the task's model and predicts its answers. Without a shared store, returns new entries as bytes.

    needed: entries to start from, each with a reference. If the machine lacks an entry, `fetch` turns the
    reference into bytes. Errors of the task are returned in the report, so that Ray does not retry it.
    """
    began, output, built = time.perf_counter(), StringIO(), False
    workspace: _Workspace | None = None
    error: SlimgateError | None = None
    log = ""
    try:
        with redirect_stdout(output), redirect_stderr(output):
            _check_software(spec)
            workspace = _open_workspace(spec)
            sent = _fetch_entries(workspace, needed, fetch)
            run = _open_run(spec, workspace)
            run.build(task.name, task.id.seed)
            built = True
            _predict_answers(run, task)
    except SlimgateError as failure:
        error = make_plain_error(failure)
        raised = failure.log or "".join(traceback.format_exception(failure))
        log = f"{output.getvalue()[-LOG_CHARACTERS:]}\n{raised}".lstrip()
    used = {} if workspace is None else dict(workspace.store.used_entries)
    shared = workspace is not None and workspace.shared
    report = Report(socket.gethostname(), time.perf_counter() - began, shared, used, error, built, log)
    if workspace is None or shared:
        return report, []
    entries = (workspace.store.find(*key) for key in used if key not in sent)
    return report, [pack_entry(entry) for entry in entries if entry is not None]


def remove_own_store(spec: RunSpec) -> None:
    """Removes this machine's own store."""
    shutil.rmtree(_find_own_store(spec), ignore_errors=True)


def clear_leftovers() -> None:
    """Removes this machine's stores that no process uses any more. Stores of other users stay."""
    for store in Path(tempfile.gettempdir()).glob(OWN_STORE.format("ray-*")):
        with suppress(OSError):
            if time.time() - (store / "locks").stat().st_mtime < LEFTOVER_SECONDS:
                continue
            with lock_holds(store):
                if list_used_entries(store):
                    continue
                removed = store.with_name(f"{store.name}.gone")
                os.rename(store, removed)  # a process that opens the store now makes a new one
            shutil.rmtree(removed, ignore_errors=True)


def make_plain_error(error: SlimgateError) -> SlimgateError:
    """The error as one of slimgate's own classes, which every process can unpickle."""
    kinds = (kind for kind in type(error).__mro__ if getattr(errors, kind.__name__, None) is kind)
    kind: type[SlimgateError] = next(kinds)
    return kind(str(error))


def _check_software(spec: RunSpec) -> None:
    """Raises BuildError if this machine has other software or does not see the suite."""
    versions = describe_software()
    for name, version in spec.software.items():
        if versions.get(name) != version:
            raise _make_error(
                f"has {name} {versions.get(name)}, this run has {version}; install the same version on "
                "all machines"
            )
    with suppress(OSError):
        if _find_suite_file(spec).is_file():
            return
    raise _make_error(
        f"does not see the suite {spec.suite}; put the repository at the same path on all machines"
    )


def _make_error(problem: str) -> BuildError:
    return BuildError(f"the Ray worker on {socket.gethostname()} {problem}")


def _find_suite_file(spec: RunSpec) -> Path:
    """The suite's file: at its path, else in the folder that Ray has copied for the run."""
    if spec.suite.is_file() or not spec.suite.is_relative_to(spec.root):
        return spec.suite
    return Path.cwd() / spec.suite.relative_to(spec.root)


def _open_workspace(spec: RunSpec) -> _Workspace:
    if spec.mark not in _WORKSPACES:
        _WORKSPACES.clear()  # an earlier run's
        shared = is_store_visible(spec)
        if spec.shared and not shared:
            raise _make_error(
                f"does not see the store {spec.store}, which other workers saw at the start; mount the "
                "store and run again"
            )
        store = RecordingStore(
            spec.store if shared else _find_own_store(spec), rebuild_mark=spec.rebuild_mark
        )
        _WORKSPACES[spec.mark] = _Workspace(store, shared)
    workspace = _WORKSPACES[spec.mark]
    workspace.store.used_entries.clear()
    return workspace


def _find_own_store(spec: RunSpec) -> Path:
    return Path(tempfile.gettempdir()) / OWN_STORE.format(spec.mark)


def _fetch_entries(
    workspace: _Workspace, needed: Iterable[tuple[EntryKey, Sent]], fetch: Callable[[Sent], Packed]
) -> set[EntryKey]:
    """Puts the entries that a task needs into the machine's own store; returns their keys."""
    if workspace.shared:
        return set()
    keys = set()
    for key, sent in needed:
        keys.add(key)
        if workspace.store.find(*key) is None:
            publish_entry(fetch(sent), workspace.store)
    workspace.store.used_entries.clear()
    return keys


def _open_run(spec: RunSpec, workspace: _Workspace) -> SuiteRun:
    if spec.suite not in workspace.runs:
        path = _find_suite_file(spec)
        add_import_folder(spec.root if path == spec.suite else Path.cwd())
        suite = replace(load_suite(path, spec.shown), threads=spec.threads)
        if suite.digest != spec.digest:
            raise _make_error(f"has another {path}; use the same repository on all machines")
        suite = replace(suite, path=spec.suite)
        workspace.runs[spec.suite] = SuiteRun(
            suite, workspace.store, device=spec.device, options=RunOptions(time_limit=spec.time_limit)
        )
    return workspace.runs[spec.suite]


def _predict_answers(run: SuiteRun, task: ModelTask) -> None:
    if task.answers:
        run.measure_outcomes(task.name, task.id.seed)
    if task.stages and len(run.rows.splits.get("selection", ())):
        for stage in list_own_stages(run, task.name):
            with suppress(SlimgateError):  # the gate that shows stages reports it
                run.measure_selection(stage.owner, stage.artifact)

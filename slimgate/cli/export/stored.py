"""From a record back to what it is of: the artifact in a store, how the task reads text, the gate rows."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from slimgate.errors import BuildError, DataError, SlimgateError, SuiteError
from slimgate.record import Demands, RunRecord, VariantRecord
from slimgate.record.files import Kept
from slimgate.store.artifact import Artifact
from slimgate.store.seal import Damaged, read_manifest
from slimgate.store.store import entry_of

if TYPE_CHECKING:
    from slimgate.run.rows import PreparedRows
    from slimgate.suite.suite import Suite

Json = dict[str, Any]


@dataclass(frozen=True)
class GateRows:
    """The suite of a record, and its rows, of which the gate's are those that were judged."""

    suite: Suite
    rows: PreparedRows


def stored_artifact(run: Kept, model: VariantRecord, store: Path) -> Artifact:
    """The artifact that was judged, by its digest. Nothing is built, and the store is only read.

    Raises DataError for a model that was not built, BuildError where the store does not have it whole.
    """
    if model.artifact is None:
        why = f": {model.error}" if model.error else ""
        raise DataError(f"{run.file}: {model.name} was not built in this run{why}")
    for folder in sorted((store / "artifacts").glob("*")):
        if _digest(folder) == model.artifact.digest:
            return Artifact(entry_of(store, "artifacts", folder.name))
    raise BuildError(
        f"{store}: the store has no artifact {model.artifact.digest[:12]}, which is {model.name} of "
        f"{run.file}; name its store by --store DIR, or build it: {building(run.record, model, store)}"
    )


def _digest(folder: Path) -> str | None:
    try:
        digest = read_manifest(folder, f"artifacts/{folder.name}").get("digest")
    except (Damaged, OSError):
        return None
    return str(digest)


def building(record: RunRecord, model: VariantRecord, store: Path) -> str:
    """The command that builds a model into a store. The teacher is built with any variant."""
    names = [variant.name for variant in record.variants if variant.name != "teacher"]
    variant = model.name if model.name != "teacher" else (names or ["teacher"])[0]
    test = shlex.quote(f"{record.suite.path}::test_size[{variant}]")
    return f"pytest {test} --slimgate-store {shlex.quote(str(store))}"


def task_params(run: Kept) -> Json:
    """[task] as the run had it; of a record that does not hold it, from the suite where that is the same.

    Raises DataError where neither tells.
    """
    record = run.record
    if record.task.params is not None:
        return record.task.params
    path = Path(record.suite.path)
    params = _suite_params(path, record.suite.digest) if path.is_file() else None
    if params is None:
        state = "is another one by now" if path.is_file() else "is not there"
        raise DataError(
            f"{run.file}: an earlier slimgate wrote it, without [task], and {PurePosixPath(path)} {state}; "
            "run this where the suite is as it was, or measure again"
        )
    return params


def _suite_params(path: Path, digest: str) -> Json | None:
    from slimgate.suite.load import load_suite
    from slimgate.suite.suite import dump_params

    try:
        suite = load_suite(path, check_data=False)
    except SuiteError:
        return None
    if suite.digest != digest:
        return None
    params: Json = dump_params(suite.setup.task.params)
    return params


def _is_task_of(suite: Suite, run: Kept) -> bool:
    """Whether a suite that has changed still asks the same of the rows; variants and budgets may differ."""
    from slimgate.suite.suite import dump_params

    task = suite.setup.task
    return (task.name, dump_params(task.params)) == (run.record.task.kind, run.record.task.params)


def why_changed(run: Kept, model: VariantRecord, gate: GateRows | str) -> str | None:
    """Why the verdict of a record is not that of the suite and rows of now; None where nothing says so.

    gate: the rows, or why they are not to be had. A suite that is not here tells nothing.
    """
    path = Path(run.record.suite.path)
    if not path.is_file():
        return None
    if isinstance(gate, str):
        return f"comes from a record that cannot be compared with its suite: {gate}"
    from slimgate.run.demands import make_demands

    then, now = run.record.demands, make_demands(gate.suite)
    if then is None:
        changed = gate.suite.digest != run.record.suite.digest
    else:
        changed = then.settings != now.settings or _own_budgets(then, model) != _own_budgets(now, model)
    if changed:
        return f"comes from a record whose suite has changed: its budgets or settings in {path.as_posix()}"
    return None


def _own_budgets(demands: Demands, model: VariantRecord) -> list[Any]:
    """What gates a model."""
    budgets = [budget for budget in demands.budgets if budget.variant == model.name]
    return [demands.gated.get(model.name), *sorted(budgets, key=lambda budget: (budget.budget, budget.kind))]


def gate_rows(run: Kept, store: Path) -> GateRows | str:
    """The rows that were judged, or why they are not to be had here.

    Needs the suite with the [task] that it had, where it ran, and the same rows; the store keeps the splits.
    """
    from slimgate.run.rows import prepare_rows
    from slimgate.store.store import Store
    from slimgate.suite.load import load_suite

    path, gate = Path(run.record.suite.path), run.record.task.splits.get("gate")
    if not path.is_file():
        return f"the suite {path.as_posix()} is not here"
    try:
        suite = load_suite(path)
        if suite.digest != run.record.suite.digest and not _is_task_of(suite, run):
            return f"[task] of {path.as_posix()} is not what it was in the run; restore it and export again"
        rows = prepare_rows(suite, Store(store))
    except SlimgateError as error:
        return str(error)
    if gate is None or rows.reports["gate"].digest != gate.digest:
        return "the gate rows are others than those that were judged"
    return GateRows(suite, rows)

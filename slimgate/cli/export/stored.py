"""Finds what a record describes: the stored artifact, the options of its task, its gate rows."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from slimgate._system.json_text import convert_to_tuples
from slimgate._system.toml import format_toml_value
from slimgate.cli.export.forms import Written
from slimgate.errors import BuildError, DataError, SlimgateError, SuiteError
from slimgate.plugins.base import Json
from slimgate.plugins.loading import find_form, load_plugins
from slimgate.plugins.rows import Rows
from slimgate.record.files import StoredRecord
from slimgate.record.run import RunRecord, VariantRecord
from slimgate.record.task import Demands
from slimgate.store.seal import Damaged, read_manifest
from slimgate.store.store import Artifact, open_entry
from slimgate.suite.named_plugin import Plugin, SuiteRuntime
from slimgate.suite.suite import dump_params

if TYPE_CHECKING:
    from slimgate.plugins.base import Json
    from slimgate.run.rows import PreparedRows
    from slimgate.suite.suite import Suite


def read_judged_runtime(name: str, params: Mapping[str, Any]) -> SuiteRuntime | str:
    """The runtime with the options of a record, or why they are not known.

    name: a dotted path is not imported here; the suite of the run imports it.
    """
    runtime = load_plugins("runtime").get(name)
    if runtime is None:
        return f"it was judged in the runtime {name}, which is not known here"
    if runtime.Params.model_fields and not params:
        return f"the record does not contain the options of the runtime {name}; measure again"
    try:
        return Plugin(name, runtime, runtime.Params.model_validate(convert_to_tuples(dict(params))))
    except ValidationError:
        return f"the options in the record are not those of the runtime {name} that is installed here"


def set_judged_options(written: Written, judged: SuiteRuntime | str) -> Written:
    """`written`, whose lines then set the options that the model was judged with, if the form has them."""
    if isinstance(judged, str) or judged.name != written.runtime.name:
        return written
    options = find_form(written.form).options
    default = written.runtime.params
    update = {name: getattr(judged.params, name) for name in options}
    return replace(written, options=default.model_copy(update=update))


def describe_runtime(written: Written, judged: SuiteRuntime | str) -> str | None:
    """How the judged runtime differs from README.md's lines, as a clause. None if it does not differ.

    Example: `it was judged in the runtime compiled with precision = "bfloat16", and the lines of README.md
    compute without this option`
    """
    if isinstance(judged, str):
        return judged
    unset = _list_unset(written, judged)
    if judged.name == written.runtime.name and not unset:
        return None
    runtime = "" if judged.name == written.runtime.name else f" in the runtime {judged.name}"
    if not unset:
        return f"it was judged{runtime}"
    stated = ", ".join(f"{name} = {format_toml_value(value)}" for name, value in unset.items())
    options = "this option" if len(unset) == 1 else "these options"
    return f"it was judged{runtime} with {stated}, and the lines of README.md compute without {options}"


def _list_unset(written: Written, judged: SuiteRuntime) -> Json:
    """The options of the judged runtime that are not its defaults, and that the lines do not set."""
    stated: Json = dump_params(judged.params, exclude_defaults=True)
    if judged.name != written.runtime.name:
        return stated
    return {name: value for name, value in stated.items() if name not in find_form(written.form).options}


COMPARED_ROWS = 500


@dataclass(frozen=True)
class GateRows:
    """The suite of a record and its prepared rows. Its gate rows are those that the run judged."""

    suite: Suite
    rows: PreparedRows

    @property
    def compared(self) -> Rows:
        """The rows on which an exported model is compared: the first ones, which are in random order."""
        return Rows(self.rows.gate.table.slice(0, COMPARED_ROWS))

    def read_text_columns(self) -> list[list[Any]]:
        """The values of the compared rows: one list for each text column of the task."""
        task = self.suite.setup.task
        return [self.compared.table[name].to_pylist() for name in task.object.text_columns(task.params)]


def find_artifact(run: StoredRecord, model: VariantRecord, store: Path) -> Artifact:
    """Finds the artifact that a run judged, by its digest. It builds nothing and only reads the store.

    Raises DataError if the run did not build the model, BuildError if the store has no complete copy.
    """
    if model.artifact is None:
        why = f": {model.error}" if model.error else ""
        raise DataError(f"{run.file}: {model.name} was not built in this run{why}")
    for folder in sorted((store / "artifacts").glob("*")):
        if _read_digest(folder) == model.artifact.digest:
            return Artifact(open_entry(store, "artifacts", folder.name))
    command = format_build_command(run.record, model, store)
    raise BuildError(
        f"{store}: this store has no artifact {model.artifact.digest[:12]}, which is {model.name} of "
        f"{run.file}; name the right store with --store DIR, or build the model: {command}"
    )


def _read_digest(folder: Path) -> str | None:
    try:
        digest = read_manifest(folder, f"artifacts/{folder.name}").get("digest")
    except (Damaged, OSError):
        return None
    return str(digest)


def format_build_command(record: RunRecord, model: VariantRecord, store: Path) -> str:
    """The command that builds a model into a store. The teacher is built with any variant."""
    names = [variant.name for variant in record.variants if variant.name != "teacher"]
    variant = model.name if model.name != "teacher" else (names or ["teacher"])[0]
    test = shlex.quote(f"{record.suite.path}::test_size[{variant}]")
    return f"pytest {test} --slimgate-store {shlex.quote(str(store))}"


def read_task_params(run: StoredRecord) -> Json:
    """The options of [task] of the run.

    Old records do not hold them. Then they come from the suite, if its file is unchanged since the run.
    Raises DataError if neither has them.
    """
    record = run.record
    if record.task.params is not None:
        return record.task.params
    path = Path(record.suite.path)
    params = _read_suite_params(path, record.suite.digest) if path.is_file() else None
    if params is None:
        state = "has changed since" if path.is_file() else "is missing"
        raise DataError(
            f"{run.file}: this record of an earlier version of slimgate does not contain the suite's [task], "
            f"and the suite {PurePosixPath(path)} {state}; restore the suite, or measure again"
        )
    return params


def _read_suite_params(path: Path, digest: str) -> Json | None:
    """The options of [task] in a suite file; None if its digest is another."""
    from slimgate.suite.reader import load_suite
    from slimgate.suite.suite import dump_params

    try:
        suite = load_suite(path, check_data=False)
    except SuiteError:
        return None
    if suite.digest != digest:
        return None
    params: Json = dump_params(suite.setup.task.params)
    return params


def _has_same_task(suite: Suite, run: StoredRecord) -> bool:
    """Whether a changed suite still has the [task] of the run; its variants and budgets may differ."""
    from slimgate.suite.suite import dump_params

    task = suite.setup.task
    return (task.name, dump_params(task.params)) == (run.record.task.kind, run.record.task.params)


def describe_changed_suite(run: StoredRecord, model: VariantRecord, gate: GateRows | str) -> str | None:
    """Says how the suite or its rows changed since the run, so that its verdict may no longer hold.

    gate: the gate rows, or why they cannot be read. Returns None without a change, and if the suite is not on
    this machine.
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
        changed = then.settings != now.settings or _list_gates(then, model) != _list_gates(now, model)
    if changed:
        return f"comes from a record whose suite has changed: its budgets or settings in {path.as_posix()}"
    return None


def _list_gates(demands: Demands, model: VariantRecord) -> list[Any]:
    """The budgets of a model, and whether they gate it."""
    budgets = [budget for budget in demands.budgets if budget.variant == model.name]
    return [demands.gated.get(model.name), *sorted(budgets, key=lambda budget: (budget.budget, budget.kind))]


def read_gate_rows(run: StoredRecord, store: Path) -> GateRows | str:
    """The rows that the run judged, or why they cannot be read on this machine.

    This needs the suite with the same [task], the same rows, and the store, which keeps the splits.
    """
    from slimgate.run.rows import prepare_rows
    from slimgate.store.store import Store
    from slimgate.suite.reader import load_suite

    path, gate = Path(run.record.suite.path), run.record.task.splits.get("gate")
    if not path.is_file():
        return f"the suite {path.as_posix()} is not here"
    try:
        suite = load_suite(path)
        if suite.digest != run.record.suite.digest and not _has_same_task(suite, run):
            return f"[task] of {path.as_posix()} is not what it was in the run; restore it and export again"
        rows = prepare_rows(suite, Store(store))
    except SlimgateError as error:
        return str(error)
    if gate is None or rows.reports["gate"].digest != gate.digest:
        return "the gate rows are not those that the run judged"
    return GateRows(suite, rows)

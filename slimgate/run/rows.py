"""Prepares the rows of a suite: reads them from the source, cuts them into splits, and stores these."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from slimgate._system.arrow_conversion import import_pandas_for, keep_pandas_unimported
from slimgate._system.digests import digest_json
from slimgate._system.toml import format_toml_value
from slimgate.data.parts import SplitColumns
from slimgate.data.sources.files import guess_splits
from slimgate.data.splits import SplitReport, cut_splits, read_splits, write_splits
from slimgate.errors import DataError, SlimgateError
from slimgate.judge.metrics import load_metric
from slimgate.judge.metrics.classes import find_conventional_positive, refuse_positive
from slimgate.models.model_ref import read_model_config
from slimgate.plugins.base import Json
from slimgate.plugins.loading import list_code_modules
from slimgate.plugins.rows import CALIBRATION, GATE, UNLABELLED, Rows, TaskFacts
from slimgate.record.task import SplitFacts, TaskFactsRecord
from slimgate.run import keys
from slimgate.run.slicing import check_budget_slices, find_column_slices
from slimgate.run.user_errors import explain_plugin_errors
from slimgate.store.store import Store, make_scratch_folder
from slimgate.suite.named_plugin import SuiteTask
from slimgate.suite.suite import Suite, dump_params


@dataclass(frozen=True)
class PreparedRows:
    """The rows of a suite, cut into splits.

    splits: train, calibration, selection, gate; also unlabelled and confirm if the suite asks for them.
    reports: the facts of each split. facts: those that models share.
    source_digest: the digest of the data, independent of the splits.
    task: the inputs of the task when the run began (keys.make_task_key), so that all models are scored by
        the same version.
    """

    splits: Mapping[str, Rows]
    reports: Mapping[str, SplitReport]
    facts: TaskFacts
    from_store: bool
    source_digest: str
    task: Json

    @property
    def gate(self) -> Rows:
        return self.splits["gate"]

    def list_digests(self, names: tuple[str, ...]) -> Json:
        """Digests of the named splits, for the keys of results that read them."""
        return {name: self.reports[name].digest for name in names if name in self.reports}


@dataclass(frozen=True)
class BuildInputs:
    """What all models of one builder share. seed: of everything that is random in their steps."""

    suite: Suite
    rows: PreparedRows
    device: str
    seed: int


def prepare_rows(suite: Suite, store: Store) -> PreparedRows:
    """The suite's splits, cut once and stored. Raises DataError that names the suite."""
    keep_pandas_unimported()
    try:
        task, source = keys.make_task_key(suite.setup.task), keys.make_source_key(suite.setup)
        entry = store.make(
            "splits",
            keys.make_splits_key(suite, source),
            lambda folder: _cut_splits(suite, source, folder),
            modules=list_code_modules("source", suite.setup.source.name, suite.setup.source.object),
        )
        stored = read_splits(entry.folder)
        import_pandas_for(stored.splits[GATE].schema)
        splits = {name: Rows(table) for name, table in stored.splits.items()}
        # Of the judging rows, only the labels are read before a model is judged: they name the classes.
        labelled = {name: rows for name, rows in splits.items() if name != UNLABELLED}
        facts = _read_facts(suite.setup.task, labelled)
        # An error in these checks ends the run before a model is loaded.
        find_column_slices(suite.setup, splits["gate"])
        _check_metrics(suite, facts, splits["gate"])
        check_budget_slices(suite, splits["gate"])
        _check_folders(suite, facts)
        _check_calibration(suite, splits)
    except SlimgateError as error:
        raise DataError(f"{suite.shown} [task]: {error}") from error
    return PreparedRows(splits, stored.reports, facts, entry.from_store, digest_json(source), task)


def _read_facts(task: SuiteTask, splits: Mapping[str, Rows]) -> TaskFacts:
    with explain_plugin_errors("task", task.name):
        facts: object = task.object.facts(task.params, splits)
    if not isinstance(facts, TaskFacts):
        raise DataError(f'task "{task.name}": its facts returned {facts!r}, expected TaskFacts(classes)')
    return facts


def check_task(task: SuiteTask, before: Json) -> None:
    """Raises DataError if the inputs of the task have changed since the run began."""
    for name, value in keys.make_task_key(task).items():
        if value != before[name]:
            raise DataError(
                f"task {task.name}: its {name} changed during this run, so models would be scored by two "
                "versions; run again when no program changes it"
            )


def _check_metrics(suite: Suite, facts: TaskFacts, gate: Rows) -> None:
    """Raises SuiteError if a metric needs a positive label and none is known; it names both labels' rows."""
    task = suite.setup.task
    column = task.object.label_column(task.params)
    named = getattr(task.params, "positive", None) is not None
    if column is None or named or len(facts.classes) != 2 or find_conventional_positive(facts.classes):
        return
    for name in suite.metrics:
        if load_metric(name).of_positive:
            rows = Counter(map(str, gate.table[column].to_pylist()))
            refuse_positive(name, {label: rows[label] for label in facts.classes})


def _check_folders(suite: Suite, facts: TaskFacts) -> None:
    """Raises SuiteError if a model in a folder cannot predict the classes of these rows."""
    task = suite.setup.task
    for name in suite.models:
        ref = suite.model(name).ref
        if ref is not None and ref.folder is not None:
            task.object.check_model(task.params, ref, read_model_config(ref), facts)


def _check_calibration(suite: Suite, splits: Mapping[str, Rows]) -> None:
    """Raises DataError if a step needs calibration rows and gets none; that happens if there are few rows."""
    if len(splits[CALIBRATION]):
        return
    for name in suite.models:
        for step in suite.model(name).steps:
            if CALIBRATION in step.needs:
                raise DataError(
                    f"{name}: step {step.name} needs rows of the split calibration, but no rows are left "
                    "for it; give it some with splits.calibration, such as calibration = 16"
                )


def _cut_splits(suite: Suite, source: Json, folder: Path) -> Json:
    """Cuts and writes the splits. source: the key of the data (keys.make_source_key).

    Another run may have had the lock of the store since the key was made, so the data is compared twice.
    """
    setup = suite.setup
    before = keys.make_source_key(setup)
    with make_scratch_folder(folder) as scratch, explain_plugin_errors("source", setup.source.name):
        parts = setup.source.object.read(setup.source.params, scratch=scratch)
    if before != source or keys.make_source_key(setup) != source:
        raise DataError("the rows changed while they were read; run again when no program changes them")
    text_columns = setup.task.object.text_columns(setup.task.params)
    if not text_columns:
        raise DataError(
            f'task "{setup.task.name}": its text_columns returned no column, expected at least one'
        )
    used = setup.task.object.columns(setup.task.params)
    label_column = setup.task.object.label_column(setup.task.params)
    columns = SplitColumns(text_columns, label_column, setup.group, used)
    cut = cut_splits(parts, setup.sizes, columns, seed=suite.seed)
    if "all" in parts:
        _refuse_split_column(parts["all"], used=used)
    write_splits(cut, folder)
    return {"source": setup.source.name, "rows": {name: report.n for name, report in cut.reports.items()}}


def _refuse_split_column(table: pa.Table, *, used: Collection[str]) -> None:
    """Raises DataError if a column says which rows are for training, because all rows are in one part.

    Else rows that a model was trained on would become gate rows. used: the columns that the task reads.
    """
    for name in table.column_names:
        splits = guess_splits(table[name]) if name not in used else {}
        if splits:
            keys = f"split_column = {format_toml_value(name)}, splits = {format_toml_value(dict(splits))}"
            raise DataError(
                f'column "{name}" says which rows are for training, but splits are cut from all rows, so '
                f"rows for training would become gate rows; add to the source {keys}, or rename the column "
                "if it is something else"
            )


def make_task_facts(suite: Suite, rows: PreparedRows) -> TaskFactsRecord:
    """The task and its rows, in the form of the record."""
    source = suite.setup.source
    splits = {
        name: SplitFacts.model_validate(report, from_attributes=True) for name, report in rows.reports.items()
    }
    return TaskFactsRecord(
        kind=suite.setup.task.name,
        params=dump_params(suite.setup.task.params),
        source={"name": source.name, **dump_params(source.params)},
        real=source.object.is_real(source.params),
        classes=list(rows.facts.classes),
        splits=splits,
    )

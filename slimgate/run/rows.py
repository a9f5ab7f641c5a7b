"""The rows of a suite: read from its source, cut into splits, and kept in the store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from slimgate.data.splits import SplitReport, cut, read_splits, write_splits
from slimgate.errors import DataError, SlimgateError
from slimgate.judge.metrics import load_metric
from slimgate.judge.metrics.classes import conventional_positive, refuse_positive
from slimgate.models.model_ref import model_config
from slimgate.protocols import CALIBRATION, UNLABELLED, Rows, TaskFacts
from slimgate.run import keys
from slimgate.run.slicing import check_budget_slices, column_slices
from slimgate.store.store import Json, Store, scratch_beside
from slimgate.suite.suite import TEACHER, Suite


@dataclass(frozen=True)
class PreparedRows:
    """Splits by name: train, calibration, selection, gate; unlabelled and confirm if the suite asks for them.

    reports: what is known of each; facts: what models share; source_digest: of the data that the splits were
    cut from, which is the same however they are cut. task: what the task depends on as the run began
    (keys.task_key), so that all models are scored alike.
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

    def digests(self, names: tuple[str, ...]) -> Json:
        """Digests of the named splits; part of the key of what reads them."""
        return {name: self.reports[name].digest for name in names if name in self.reports}


def prepare_rows(suite: Suite, store: Store) -> PreparedRows:
    """The suite's splits, cut once and stored. Raises DataError that names the suite."""
    try:
        task, source = keys.task_key(suite.setup.task), keys.source_key(suite.setup)
        entry = store.make("splits", keys.splits_key(suite, source), lambda folder: _fill(suite, folder))
        stored = read_splits(entry.folder)
        splits = {name: Rows(table) for name, table in stored.splits.items()}
        # Of the judging rows only the labels, which name the classes, are read before a model judges.
        labelled = {name: rows for name, rows in splits.items() if name != UNLABELLED}
        facts = suite.setup.task.object.facts(suite.setup.task.params, labelled)
        # An error of these ends a run before a model loads.
        column_slices(suite.setup, splits["gate"])
        _check_metrics(suite, facts, splits["gate"])
        check_budget_slices(suite, splits["gate"])
        _check_folders(suite, facts)
        _check_calibration(suite, splits)
    except SlimgateError as error:
        raise DataError(f"{suite.shown} [task]: {error}") from error
    return PreparedRows(splits, stored.reports, facts, entry.from_store, keys.to_key(source), task)


def _check_metrics(suite: Suite, facts: TaskFacts, gate: Rows) -> None:
    """Whether metrics of the positive label have one. Raises SuiteError with the gate rows of both labels."""
    task = suite.setup.task
    column = task.object.label_column(task.params)
    named = getattr(task.params, "positive", None) is not None
    if column is None or named or len(facts.classes) != 2 or conventional_positive(facts.classes):
        return
    for name in suite.metrics:
        if load_metric(name).of_positive:
            rows = Counter(map(str, gate.table[column].to_pylist()))
            refuse_positive(name, {label: rows[label] for label in facts.classes})


def _check_folders(suite: Suite, facts: TaskFacts) -> None:
    """Whether the models that lie in a folder can tell the classes of these rows."""
    task = suite.setup.task
    for name in (TEACHER, *suite.variants):
        ref = suite.model(name).ref
        if ref is not None and ref.folder is not None:
            task.object.check_model(task.params, ref, model_config(ref), facts)


def _check_calibration(suite: Suite, splits: Mapping[str, Rows]) -> None:
    """Whether steps that need calibration rows get some: few rows leave none where no size is stated."""
    if len(splits[CALIBRATION]):
        return
    for name in (TEACHER, *suite.variants):
        for step in suite.model(name).steps:
            if CALIBRATION in step.needs:
                raise DataError(
                    f"{name}: step {step.name} needs rows of the split calibration, and these rows leave it "
                    "none; give it some by splits.calibration, such as calibration = 16"
                )


def _fill(suite: Suite, folder: Path) -> Json:
    setup = suite.setup
    before = setup.source.object.digest(setup.source.params)
    with scratch_beside(folder) as scratch:
        parts = setup.source.object.read(setup.source.params, scratch=scratch)
    if setup.source.object.digest(setup.source.params) != before:
        raise DataError("the rows changed while they were read; run again when nothing writes there")
    done = cut(
        parts,
        setup.sizes,
        text_columns=setup.task.object.text_columns(setup.task.params),
        label_column=setup.task.object.label_column(setup.task.params),
        group_column=setup.group,
        seed=suite.seed,
        read_columns=setup.task.object.columns(setup.task.params),
    )
    write_splits(done, folder)
    return {"source": setup.source.name, "rows": {name: report.n for name, report in done.reports.items()}}

"""`pytest bench --slimgate-confirm`: judges the variants that passed on the gate, on the confirm rows.

The models come from the store and must be those that passed. The record of the gate stays. The verdicts on
the confirm rows are added to it, with the number of runs that have used these rows.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from slimgate._system.code_reads import list_changed_reads
from slimgate._system.files import write_atomically
from slimgate._system.number_text import format_count
from slimgate._system.timestamps import format_now
from slimgate.errors import BuildError, SuiteError
from slimgate.plugins.rows import CONFIRM, GATE
from slimgate.record.files import RECORD
from slimgate.record.row_use import RowUse, RowUseLog, make_model_id, read_row_use
from slimgate.record.run import (
    CodeReads,
    ConfirmFacts,
    RunRecord,
    VariantRecord,
    format_record_json,
    read_record_if_valid,
)
from slimgate.record.run_verdict import judge_record
from slimgate.record.verdicts import ErrorFacts
from slimgate.report.confirm import format_confirm_lines
from slimgate.report.files import write_reports
from slimgate.report.status import list_inside_budgets
from slimgate.results.checks import CONFIRMED, TEACHER
from slimgate.results.quality import QualityFacts
from slimgate.results.self_test import SelfTest
from slimgate.run.followed_rows import make_row_quoter
from slimgate.run.gate_results import GateResult, list_budgeted_checks
from slimgate.suite.suite import Suite

if TYPE_CHECKING:
    from slimgate.plugin.session import Session
    from slimgate.run.run import SuiteRun

OPTION = "--slimgate-confirm"


@dataclass(frozen=True)
class Passed:
    """The variants of a suite that are within all their budgets. metrics: by variant, those with a budget."""

    record: RunRecord
    metrics: Mapping[str, tuple[str, ...]]

    @property
    def checks(self) -> list[tuple[str, str]]:
        """(variant, metric) of each check, in the suite's order."""
        return [(name, metric) for name, metrics in self.metrics.items() for metric in metrics]

    def require_same(self, name: str, digest: str) -> None:
        """Raises BuildError if the model that was built now is not the model that passed."""
        artifact = self.record.variant(name).artifact
        if artifact is None or artifact.digest != digest:
            raise BuildError(
                f"{name}: the model in the store is not the one that passed on the gate; run the gate "
                f"again without {OPTION}"
            )


class Confirmation:
    """Collects the verdicts of a run on the confirm rows, and writes them into the suites' records."""

    def __init__(self, session: Session) -> None:
        """Raises SuiteError if a suite has no confirm rows, or no variant that passed on its gate."""
        if not session.suites:
            raise SuiteError(f"{OPTION}: this run has no suite")
        self._session, self._began = session, format_now("microseconds")
        self.passed = {
            path: find_passed_variants(session, suite, session.find_folder(path) / RECORD)
            for path, suite in session.suites.items()
        }
        self._verdicts: dict[Path, dict[tuple[str, str], QualityFacts]] = {}
        self._code_reads: dict[Path, dict[str, str]] = {}
        self._skipped: dict[Path, list[str]] = {}
        self._errors: dict[Path, list[str]] = {}
        self._logs: dict[Path, RowUseLog] = {}
        self.records: dict[Path, RunRecord] = {}

    def list_head_lines(self) -> Iterator[str]:
        """Lines that name the judged variants, and say how often the rows were used before."""
        for path, passed in self.passed.items():
            run = self._find_run(path)
            rows, earlier = run.rows.reports[CONFIRM], self._read_row_use(run).runs
            names = ", ".join(passed.metrics)
            before = format_count(earlier, "earlier run", "earlier runs")
            seen = f", which {before} used: the first use counts" if earlier else ""
            yield f"{run.suite.shown}: confirms {names} on {rows.n:,} rows{seen}"

    def add(self, path: Path, results: Iterable[GateResult]) -> None:
        """Adds the verdicts of a test. Notes the use at once: an interrupted run has used the rows too."""
        for result in results:
            if isinstance(result.facts, QualityFacts) and result.kind == CONFIRMED:
                self._verdicts.setdefault(path, {})[result.variant, result.name] = result.facts
            elif isinstance(result.facts, CodeReads):
                self._code_reads.setdefault(path, {}).update(result.facts.states)
            elif isinstance(result.facts, ErrorFacts):
                self._errors.setdefault(path, []).append(result.facts.message)
        if path in self._verdicts:
            self._log_row_use(path)

    def skip(self, path: Path, test: str) -> None:
        """Notes a test that was selected and did not run."""
        self._skipped.setdefault(path, []).append(test)

    def finish(self) -> None:
        """Writes the record and the reports of every suite that has verdicts."""
        for path in self._verdicts:
            record, folder = self._confirm_record(path), self._session.find_folder(path)
            write_atomically(folder / RECORD, format_record_json(record))
            write_reports(record, folder, make_row_quoter(self._find_run(path)))
            self.records[path] = record

    def list_failures(self) -> Iterator[str]:
        """Why the run fails, whatever the tests' results.

        The reasons are budgets that do not hold on these rows, tests that were skipped, and errors.
        """
        for path, tests in self._skipped.items():
            yield f"{self._session.suites[path].shown}: skipped, so not confirmed: {', '.join(tests)}"
        for path, messages in self._errors.items():
            yield from (f"{self._session.suites[path].shown}: {message}" for message in messages)
        for path, results in self._verdicts.items():
            suite = self._session.suites[path]
            models = [
                VariantRecord(name=name, parent=None, quality={metric: facts})
                for (name, metric), facts in results.items()
            ]
            judged = judge_record(models, SelfTest(), missing=0)
            if judged.fails:
                yield f"{suite.shown}: on the confirm rows {judged.status}"

    def list_summary(self) -> Iterator[str]:
        """The lines of the report for the terminal, and the path of the report."""
        for path, record in self.records.items():
            yield from format_confirm_lines(record)
            yield f"{record.suite.path}: {os.path.relpath(self._session.find_folder(path) / 'report.md')}"

    def _log_row_use(self, path: Path) -> None:
        run, passed = self._find_run(path), self.passed[path]
        digest = run.rows.reports[CONFIRM].digest
        log = self._logs.setdefault(path, RowUseLog(self._session.settings.store.root, digest, self._began))
        log.note(_make_model_id(passed.record, name) for name, _ in self._verdicts[path])

    def _find_run(self, path: Path) -> SuiteRun:
        return self._session.find_run(self._session.suites[path])

    def _read_row_use(self, run: SuiteRun) -> RowUse:
        return read_row_use(self._session.settings.store.root, run.rows.reports[CONFIRM].digest)

    def _confirm_record(self, path: Path) -> RunRecord:
        """The record of the gate, with the verdicts of this run and of earlier runs on the confirm rows."""
        run, record = self._find_run(path), self.passed[path].record
        rows, use = run.rows.reports[CONFIRM], self._read_row_use(run)
        models = [_add_verdicts(model, self._verdicts[path]) for model in record.variants]
        facts = ConfirmFacts(
            digest=rows.digest,
            n=rows.n,
            groups=rows.groups,
            uses=use.runs,
            models=use.count,
            measured=format_now(),
        )
        judged = judge_record(models, record.self_test, record.verdict.missing)
        reads = {**self._code_reads.get(path, {}), **record.code_reads}
        fields = {"variants": models, "confirm": facts, "verdict": judged, "code_reads": reads}
        return record.model_copy(update=fields)


def find_passed_variants(session: Session, suite: Suite, file: Path) -> Passed:
    """The variants that a suite's last record shows within all budgets. It reads no row of confirm.

    Raises SuiteError if there are no confirm rows, or nothing passed on the current gate rows.
    """
    run, where = session.find_run(suite), f"{suite.shown}: {OPTION}"
    if CONFIRM not in run.rows.reports:
        raise SuiteError(
            f"{where} was given, but there is no split confirm; give [task] splits.confirm, such as "
            "confirm = 3000"
        )
    shown = os.path.relpath(file)
    again = f"run the gate first: pytest {suite.shown}"
    record = _read_gate_record(file, run, where, again)
    metrics = {
        model.name: tuple(suite.budgets[model.name].quality)
        for model in list_inside_budgets(record)
        if model.name in suite.variants and suite.budgets[model.name].quality
    }
    if not metrics:
        state, missing = str(record.verdict.status), record.verdict.missing
        if missing:
            state += f", {format_count(missing, 'check', 'checks')} not made"
        raise SuiteError(
            f"{where}: no variant with a budget on a metric is inside all its budgets in {shown} "
            f"({state}), so there is nothing to confirm; {again}"
        )
    inputs = session.digest_inputs(suite)
    changed = [name for name in metrics if not _is_unchanged(suite, record.variant(name), inputs[name])]
    if changed:
        raise SuiteError(
            f"{where}: model, code or budgets of {', '.join(changed)} changed since {shown} passed; {again}"
        )
    return Passed(record, metrics)


def _read_gate_record(file: Path, run: SuiteRun, where: str, again: str) -> RunRecord:
    """The record of the gate on the rows of this run. Raises SuiteError for other rows and changed files.

    where, again: the begin and the end of an error.
    """
    shown, record = os.path.relpath(file), read_record_if_valid(file)
    if record is None:
        raise SuiteError(
            f"{where} needs the record of a gate that passed, but {shown} is not such a record; {again}"
        )
    if any(record.task.find_digest(split) != run.rows.reports[split].digest for split in (GATE, CONFIRM)):
        raise SuiteError(f"{where}: {shown} has other gate or confirm rows; {again}")
    if changed_reads := list_changed_reads(record.code_reads):
        raise SuiteError(
            f"{where}: {', '.join(changed_reads)}, which your code reads, changed since {shown} was written; "
            f"{again}"
        )
    return record


def _is_unchanged(suite: Suite, model: VariantRecord, inputs: Mapping[str, str]) -> bool:
    """Whether everything that the verdicts on a variant's budgets depend on is unchanged since the gate."""
    kinds = {kind for _, (kind, _, _) in list_budgeted_checks(suite, model.name)}
    return all(kind in inputs and model.inputs_digests.get(kind) == inputs[kind] for kind in kinds)


def _make_model_id(record: RunRecord, name: str) -> str:
    artifacts = [record.variant(model_name).artifact for model_name in (TEACHER, name)]
    return make_model_id(*("" if artifact is None else artifact.digest for artifact in artifacts))


def _add_verdicts(model: VariantRecord, results: Mapping[tuple[str, str], QualityFacts]) -> VariantRecord:
    new = {metric: facts for (name, metric), facts in results.items() if name == model.name}
    return model.model_copy(update={"confirm": {**model.confirm, **new}})

"""One suite in one pytest session: its run, the results that tests reported, and the record made of them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import slimgate
from slimgate._system.code_reads import list_changed_reads
from slimgate._system.escape import escape_invisible
from slimgate._system.files import replacing, write_atomically
from slimgate._system.number_text import format_count
from slimgate._system.timestamps import format_now
from slimgate.plugin.run_settings import RunSettings
from slimgate.plugin.suite_row_use import SuiteRowUse
from slimgate.plugins.rows import GATE
from slimgate.record.comparing.demands import read_demands
from slimgate.record.comparing.separation import separate_variants
from slimgate.record.comparing.weakenings import find_weakenings
from slimgate.record.files import LOGS, make_model_log_path
from slimgate.record.outcome_files import write_outcomes
from slimgate.record.run import ConfirmFacts, RowUseFacts, RunRecord, format_record_json, read_record_if_valid
from slimgate.record.task import Demands, Machine, PeakRates
from slimgate.record.verdicts import BaselineFacts, ErrorFacts
from slimgate.report.files import REPORTS, write_comparison, write_reports
from slimgate.report.terminal.summary import Line, list_summary_lines
from slimgate.results.checks import BEHAVIOUR, QUALITY, SELF_TEST, SINCE, TEACHER, CheckKey
from slimgate.results.quality import SeparationFacts
from slimgate.results.self_test import PLANTED_DELAY, SELF_TESTS
from slimgate.run.baseline import Baseline
from slimgate.run.demands import make_demands
from slimgate.run.environment import describe_machine, describe_machine_change
from slimgate.run.followed_rows import follow_rows, make_row_quoter, write_gate_texts
from slimgate.run.gate_results import (
    GateResult,
    GateResults,
    list_budgeted_checks,
    list_expected_checks,
    make_run_record,
    split_record,
)
from slimgate.run.result_keys import KINDS, MODEL, Digests, digest_inputs, make_separation_key
from slimgate.run.rows import make_task_facts
from slimgate.run.run import RunOptions, SuiteRun
from slimgate.run.shards import Shard, make_shard_facts
from slimgate.suite.suite import Suite

# How old the record on disk may be while tests run: writing it after each of a thousand tests costs minutes.
RECORD_SECONDS = 1.0


class SuiteSession:
    """A suite, its run, and its results so far."""

    def __init__(self, suite: Suite, settings: RunSettings, baseline: Baseline | None) -> None:
        """baseline: what the budgets of the suite are compared with."""
        self.suite, self.baseline = suite, baseline
        self.record: RunRecord | None = None
        self.results: GateResults | None = None
        self._settings = settings
        self._run: SuiteRun | None = None
        self._written = -RECORD_SECONDS
        self._predicted: set[str] = set()
        self._logged: set[str] = set()
        self._row_use = SuiteRowUse(settings.began)
        self._skipped: dict[str, CheckKey] = {}
        # From the record of an earlier run: results that no longer count, why none does, models that changed.
        self._dropped: list[CheckKey] = []
        self._changed_conditions: str | None = None
        self._changed_models: set[str] = set()
        self._earlier_rates: PeakRates | None = None
        self._earlier_separation: SeparationFacts | None = None
        self._confirmed: ConfirmFacts | None = None

    @property
    def folder(self) -> Path:
        """The folder for the record."""
        return self._settings.report_root / self.suite.path.stem

    @property
    def has_begun(self) -> bool:
        """Whether anything was built or measured in this run."""
        return self._run is not None and self._run.has_rows

    @property
    def run(self) -> SuiteRun:
        """The run of the suite, made at its first use."""
        if self._run is None:
            settings = self._settings
            self._run = SuiteRun(
                self.suite,
                settings.store,
                device=settings.device,
                baseline=self.baseline,
                options=RunOptions(
                    workers=settings.workers,
                    watch=settings.watch,
                    split=settings.split,
                    time_limit=settings.time_limit,
                    server_logs=self.folder / "servers",
                    probe=settings.probe,
                ),
            )
        return self._run

    def stop_servers(self) -> None:
        """Ends the servers that the run has started."""
        if self._run is not None:
            self._run.stop_servers()

    # The results that tests report

    def begin(self) -> GateResults:
        """The results of this run, with the results of an earlier run that are still valid."""
        if self.results is None:
            self.results = GateResults(self._read_earlier(), made_from=self.suite.find_dependents)
        return self.results

    def add(self, test: str, results: Iterable[GateResult]) -> None:
        """Takes the results of one test; the record on disk is at most RECORD_SECONDS behind."""
        known = self.begin()
        known.forget_error(test)
        for result in results:
            known.add(self._keep_log(result))
            if result.kind in (QUALITY, BEHAVIOUR):
                self._predicted |= {TEACHER, result.variant}
            self._row_use.add(result)
        if time.monotonic() - self._written >= RECORD_SECONDS:
            self.write_record()

    def skip(self, test: str, check: CheckKey) -> None:
        """Notes a test that was selected and did not run."""
        self._skipped[test] = check

    def list_failures(self) -> Iterator[str]:
        """Why this run does not pass by its record, whatever the tests' results."""
        record = self.record
        if record is None:
            return
        if record.this_run is not None and record.this_run.fails:
            yield f"{record.suite.path}: what this run judged is {record.this_run.status}"
        for weakening in record.baseline.weaker if record.baseline is not None else ():
            if weakening.reason is None:
                yield f"{record.suite.path}: the gate demands less than the baseline: {weakening.change}"
        # Tests that were skipped although they judge a budget that gates, or test the gate itself.
        gating = {
            key
            for name in self.suite.models
            if self.suite.model(name).gated
            for _, key in list_budgeted_checks(self.suite, name)
        }
        gating |= {CheckKey(SELF_TEST, TEACHER, name) for name in SELF_TESTS if name != PLANTED_DELAY}
        if tests := [
            test for test, key in self._skipped.items() if key in gating and not self.begin().is_new(key)
        ]:
            yield f"{record.suite.path}: skipped although they have a budget: {', '.join(tests)}"

    def _keep_log(self, result: GateResult) -> GateResult:
        """Replaces an error's log by the name of its file, for the first error of a variant in this run."""
        error, variant = result.facts, result.variant
        if not isinstance(error, ErrorFacts):
            return result
        if error.log and variant not in self._logged:
            write_atomically(self.folder / make_model_log_path(variant), error.log + "\n")
            self._logged.add(variant)
        kept_name = make_model_log_path(variant) if variant in self._logged else None
        return replace(result, facts=error.replace(log=kept_name))

    # The files that are written

    def write_record(self) -> RunRecord:
        """Composes run.json from all known results, and writes it."""
        run, results, machine, shard = self.run, self.begin(), self._machine, self._settings.shard
        shards = [
            make_shard_facts(self.suite, facts, results, machine, created=format_now(), seconds=run.seconds)
            for facts in ([shard] if shard else [])
        ]
        record = make_run_record(
            run.suite,
            make_task_facts(run.suite, run.rows),
            results,
            machine,
            command=self._settings.command,
            inputs=self.inputs,
        )
        confirm = self._confirmed if any(facts.confirm for facts in record.variants) else None
        fields = {
            "seconds": round(run.seconds, 1),
            "baseline": self._baseline_facts,
            "shards": shards,
            "row_use": self._note_row_use(),
            "confirm": confirm,
            "demands": self._demands,
        }
        if self.record is None:
            # if this run is killed, the reports of an earlier run would have another verdict than its record
            for folder in (self.folder, self._settings.report_root):
                for name in REPORTS:
                    (folder / name).unlink(missing_ok=True)
        self.record = self._add_weakenings(record.model_copy(update=fields))
        write_atomically(self.folder / "run.json", format_record_json(self.record))
        self._written = time.monotonic()
        return self.record

    def write_all(self, *, stopped: bool) -> None:
        """Writes outcomes, reports and the changes since the baseline, and the record again with them.

        stopped: whether the session ended before its tests did.
        """
        record = self._follow_rows(stopped=stopped)
        texts = make_row_quoter(self.run)
        log_names = {model.error_log for model in record.variants}
        for log in (self.folder / LOGS).glob("*.log"):
            if f"{LOGS}/{log.name}" not in log_names:
                log.unlink()
        if self.baseline is not None:
            write_comparison(record, self.folder, self.baseline.run, self.baseline.name)
        baseline = None if self.baseline is None else self.baseline.run.file
        write_reports(record, self.folder, texts, baseline=baseline)
        if self._settings.shard is not None:
            write_gate_texts(texts, record.task.splits["gate"].n, self.folder)

    def _follow_rows(self, *, stopped: bool) -> RunRecord:
        """Writes the outcomes, and the record again with the parts that need the answers of all models.

        These are a few rows followed through the models, and which pairs of variants can be distinguished.
        """
        record = self.record or self.write_record()
        self._write_outcomes(record)
        followed = {
            "followed": follow_rows(self.run, record, self.folder),
            "separation": self._separate(record, stopped=stopped),
        }
        self.record = record.model_copy(update=followed)
        write_atomically(self.folder / "run.json", format_record_json(self.record))
        return self.record

    def _write_outcomes(self, record: RunRecord) -> None:
        folder = self.folder / "outcomes"
        for variant in record.variants:
            if not variant.is_measured:  # its answers come from a model that has changed since
                (folder / f"{variant.name}.parquet").unlink(missing_ok=True)
            if variant.name in self._predicted:
                with replacing(folder / f"{variant.name}.parquet") as new:
                    write_outcomes(self.run.measure_outcomes(variant.name), new)

    def _separate(self, record: RunRecord, *, stopped: bool) -> SeparationFacts | None:
        """Which variants can be distinguished; None for a shard, because `slimgate merge` says it for all."""
        if self._settings.shard is not None:
            return None
        return separate_variants(
            record,
            self.folder,
            to_key=make_separation_key,
            earlier=self._earlier_separation,
            stopped=stopped,
        )

    def list_summary(self, width: int | None) -> Iterator[Line]:
        """For the terminal: a line for each variant, what fails or is undecided, and a line for the suite."""
        if self.record is not None:
            where = os.path.relpath(self.folder / "report.md")
            yield from list_summary_lines(self.record, where, width=width)
            yield from ([(f"  {line}", "")] for line in self._describe_dropped_results())

    def _describe_dropped_results(self) -> Iterator[str]:
        """Lines about earlier results that no longer count and were not measured again."""
        dropped: dict[str, list[str]] = {}
        for key in self._dropped:
            if not self.begin().has(key):
                dropped.setdefault(key.model, []).append(f"{key.kind.replace('_', ' ')} {key.name}".strip())
        if self._changed_conditions is not None and dropped:
            number = format_count(sum(map(len, dropped.values())), "earlier result", "earlier results")
            yield f"{number} dropped, because {escape_invisible(self._changed_conditions)}"
            return
        for name, results in dropped.items():
            number = format_count(len(results), "earlier result", "earlier results")
            why = (
                "the model, its teacher, the rows or slimgate's code have changed"
                if name in self._changed_models
                else "[measure], a budget or a metric's code has changed"
            )
            names = escape_invisible(", ".join(results))
            yield f"{escape_invisible(name)}: {number} dropped, because {why}: {names}"

    # The results of an earlier run

    def read_last_record(self) -> RunRecord | None:
        """The record of an earlier run that judged the same gate rows, even if other things have changed."""
        record = read_record_if_valid(self.folder / "run.json")
        if record is None or record.task.find_digest(GATE) != self.run.rows.reports[GATE].digest:
            return None
        return record

    @cached_property
    def inputs(self) -> Mapping[str, Digests]:
        """Digests of what each result depends on, by model and kind, taken at the first call."""
        return digest_inputs(self.run, threads=self.suite.threads)

    def _read_earlier(self) -> list[GateResult]:
        """The results of the last record that are still valid.

        They come from the same machine and rows, and nothing that they depend on has changed: neither the
        files and steps of the model and its teacher, nor code, nor their settings in the suite.
        """
        record = self.read_last_record()
        if record is not None and record.row_use is not None:
            self._row_use.earlier = record.row_use.log
        if record is None:
            return []
        checks = set(list_expected_checks(self.suite))
        self._changed_conditions = self._describe_changed_conditions(record)
        if self._changed_conditions is not None:
            self._dropped = [result.key for result in split_record(record) if result.key in checks]
            return []
        self._confirmed = record.confirm
        self._earlier_separation = record.separation
        self._earlier_rates = record.machine.peak_rates
        now, earlier = self._baseline_facts, record.baseline
        is_same_baseline = now is not None and earlier is not None and now.created == earlier.created
        results = split_record(record)
        valid = [result for result in results if self._has_same_inputs(result, record)]
        valid_keys = {result.key for result in valid}
        self._changed_models = {
            model.name
            for model in record.variants
            if model.inputs_digests.get(MODEL) != self.inputs.get(model.name, {}).get(MODEL)
        }
        self._dropped = [
            result.key for result in results if result.key in checks and result.key not in valid_keys
        ]
        return [result for result in valid if is_same_baseline or result.kind != SINCE]

    def _describe_changed_conditions(self, record: RunRecord) -> str | None:
        """Why no result of a record counts, such as another machine or task; None if they may count."""
        if (change := describe_machine_change(record.machine, self._machine)) is not None:
            return f"the machine or its libraries changed: {change}"
        if record.slimgate != slimgate.__version__:
            return f"slimgate changed: {record.slimgate} → {slimgate.__version__}"
        if record.task.judged != make_task_facts(self.suite, self.run.rows).judged:
            return "the task, its rows or its labels changed"
        if changed_reads := list_changed_reads(record.code_reads):
            return f"what your code reads has changed: {', '.join(changed_reads)}"
        shard = self._settings.shard
        if [Shard(facts.number, facts.of) for facts in record.shards] != ([shard] if shard else []):
            return "another part of the suite ran (--slimgate-shard)"
        return None

    def _has_same_inputs(self, result: GateResult, record: RunRecord) -> bool:
        """Whether all inputs of a result are unchanged; an input without a digest counts as changed."""
        name = result.variant
        kind = result.kind if result.kind in KINDS else MODEL
        digest = self.inputs.get(name, {}).get(kind)
        return digest is not None and record.variant(name).inputs_digests.get(kind) == digest

    # The record

    @cached_property
    def _demands(self) -> Demands:
        return make_demands(self.suite, self.run.rows)

    def compare_rows(self) -> None:
        """Compares the current rows with those of the baseline. Raises WeakerGate."""
        if self.baseline is not None:
            self.baseline = self.baseline.with_rows(self.suite, self.run.rows)

    def _add_weakenings(self, record: RunRecord) -> RunRecord:
        """The record with all ways in which its gate is weaker than the baseline's. Needs the built teacher.

        If a run selects only some tests, left-out self-tests do not make the gate weaker.
        """
        if self.baseline is None or record.baseline is None:
            return record
        now = read_demands(record).model_copy(update={"self_tests": None})
        weaker = find_weakenings(read_demands(self.baseline.run.record), now)
        return record.model_copy(update={"baseline": record.baseline.model_copy(update={"weaker": weaker})})

    def _note_row_use(self) -> RowUseFacts:
        builds = {name: self.begin().find_build(name) for name in self.suite.models}
        built = {name: build.artifact.digest for name, build in builds.items() if build is not None}
        return self._row_use.note(self._settings.store.root, self.run.rows, built, self._predicted)

    @property
    def _baseline_facts(self) -> BaselineFacts | None:
        return self.baseline and self.baseline.facts

    @property
    def _machine(self) -> Machine:
        """The machine, with the problems seen when the session began, and its peak rates.

        The peak rates come from this run if it timed a model, else from the earlier run whose times are kept.
        """
        threads, settings = self.suite.threads, self._settings
        machine = describe_machine(threads=threads, device=settings.device, other_load=settings.other_load)
        rates = settings.probe.find(threads) or self._earlier_rates
        return machine.model_copy(update={"peak_rates": rates})

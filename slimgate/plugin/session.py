"""What one pytest session keeps: its suites, their runs, and the parts from which records are written."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

import slimgate
from slimgate._system.escape import visible
from slimgate._system.files import replacing, write_atomically
from slimgate.judge.verdict import Verdict
from slimgate.plugin.log_suites import LogRuns
from slimgate.plugins.rows import GATE
from slimgate.record import (
    BaselineFacts,
    ConfirmFacts,
    Demands,
    LookFacts,
    Machine,
    PeakRates,
    RunRecord,
    SeparationFacts,
    SplitFacts,
    TaskFactsRecord,
    read_record,
    to_json,
)
from slimgate.record.comparing import compare
from slimgate.record.comparing.demands import find_weakenings, read_demands
from slimgate.record.comparing.separation import separate_variants
from slimgate.record.files import LOGS, Kept, log_name
from slimgate.record.looks_log import LookLog, Timing, look_facts, looks_at, model_id
from slimgate.record.outcome_files import write_outcomes
from slimgate.record.results import SINCE, SPEEDUP, TIMES
from slimgate.record.run_verdict import SELF_TEST, Key
from slimgate.record.words import format_count
from slimgate.report.compare import compare_report
from slimgate.report.files import PR_COMMENT, write_reports
from slimgate.report.markdown import index_report
from slimgate.report.pr_comment import pr_comment
from slimgate.report.since_baseline import COMPARISON
from slimgate.report.terminal.summary import Line, log_summary_lines, summary_lines
from slimgate.run.baseline import Baseline
from slimgate.run.demands import make_demands
from slimgate.run.environment import describe_machine, is_same_machine, measure_other_load
from slimgate.run.followed_rows import follow_rows, make_row_quoter, write_gate_texts
from slimgate.run.gate_results import (
    PLANTED_DELAY,
    SELF_TESTS,
    Part,
    Parts,
    find_key,
    format_now,
    list_budgeted_checks,
    list_expected_checks,
    make_run_record,
    split_record,
)
from slimgate.run.inputs import Digests, digest_inputs
from slimgate.run.keys import KINDS, MODEL, make_separation_key
from slimgate.run.peak_rates import PeakProbe
from slimgate.run.progress import UNWATCHED, Watch
from slimgate.run.rows import PreparedRows
from slimgate.run.run import SuiteRun
from slimgate.run.shards import Shard, make_shard_facts
from slimgate.store.store import Store, moment
from slimgate.suite.suite import TEACHER, Suite, dump_params

if TYPE_CHECKING:
    from slimgate.plugin.confirmation import Confirmation, Passed

# How old the record on disk may be while tests run: writing it after each of a thousand tests costs minutes.
RECORD_SECONDS = 1.0


class Session:
    """Suites by path; a run and the collected parts for each of them."""

    def __init__(
        self,
        suites: dict[Path, Suite],
        *,
        store_root: Path,
        report_root: Path,
        rebuild_mark: str | None,
        device: str,
        workers: int,
        command: str,
        watch: Watch = UNWATCHED,
        baselines: Mapping[Path, Baseline] | None = None,
        shard: Shard | None = None,
        time_limit: float | None = None,
        split: str = GATE,
        logs: LogRuns | None = None,
    ) -> None:
        """baselines: what the budgets of a suite were held against, by the suite's path.

        shard: which of several runs this one is; None where it is the whole. time_limit: seconds that a
        variant's own steps may take. split: whose rows judge. logs: the suites that judge logs.
        """
        self.suites = suites
        self._baselines = dict(baselines or {})
        self._demands: dict[Path, Demands] = {}
        self.report_root = report_root
        self.records: dict[Path, RunRecord] = {}
        self.logs, self._log_records = logs or LogRuns({}), dict[Path, RunRecord]()
        self.store_root, self.rebuild_mark = store_root, rebuild_mark
        self.stopped = False
        self._device, self._workers, self._command = device, workers, command
        self.watch, self._shard, self._time_limit = watch, shard, time_limit
        self._store: Store | None = None
        self._runs: dict[Path, SuiteRun] = {}
        self._parts: dict[Path, Parts] = {}
        self._inputs: dict[Path, Mapping[str, Digests]] = {}
        self._void: dict[Path, list[Key]] = {}
        self._changed: dict[Path, set[str]] = {}  # models whose results changed with what made them
        self._written: dict[Path, float] = {}
        self._predicted: set[tuple[Path, str]] = set()
        self._logged: set[tuple[Path, str]] = set()
        self._load, self._split = measure_other_load(), split
        self._probe, self._earlier_rates = PeakProbe(), dict[Path, PeakRates | None]()
        self.confirmation: Confirmation | None = None
        self._looks: dict[Path, LookLog] = {}
        self._cut_logs: dict[Path, LookLog] = {}
        self._earlier_looks: dict[Path, Mapping[str, list[str]]] = {}
        self._timed: dict[Path, list[tuple[str, str, bool]]] = {}
        self._confirmed: dict[Path, ConfirmFacts | None] = {}
        self._earlier_separation: dict[Path, SeparationFacts | None] = {}
        self._skipped: dict[Path, dict[str, Key]] = {}
        self._began = moment()

    @property
    def store(self) -> Store:
        """The store, made when it is first needed: runs without suites leave no folder behind."""
        if self._store is None:
            self._store = Store(self.store_root, rebuild=self.rebuild_mark)
        return self._store

    def run(self, suite: Suite) -> SuiteRun:
        """The run of a suite."""
        if suite.path not in self._runs:
            self._runs[suite.path] = SuiteRun(
                suite,
                self.store,
                device=self._device,
                workers=self._workers,
                watch=self.watch,
                baseline=self._baselines.get(suite.path),
                time_limit=self._time_limit,
                split=self._split,
                server_logs=self.folder(suite.path) / "servers",
                probe=self._probe,
            )
        return self._runs[suite.path]

    def stop_servers(self) -> None:
        """Ends what runs have started."""
        for run in self._runs.values():
            run.stop_servers()

    def add(self, path: Path, test: str, parts: Iterable[Part]) -> None:
        """Takes the parts of one test; the record on disk is at most RECORD_SECONDS behind."""
        if self.confirmation is not None:
            self.confirmation.add(path, parts)
            return
        suite = self.suites[path]
        if path not in self._parts:
            self._parts[path] = self._parts_of_earlier(suite)
        self._parts[path].forget_error(test)
        for part in parts:
            self._parts[path].add(self._keep_log(path, part) if part["kind"] == "error" else part)
            if part["kind"] in ("quality", "behaviour"):
                self._predicted |= {(path, TEACHER), (path, part["variant"])}
            if (judged := _verdict_on_time(part)) is not None:
                workload = f"{part['name']} ms" if part["kind"] == TIMES else part["name"]
                timed = part["variant"], workload, judged == Verdict.PASS.value
                self._timed.setdefault(path, []).append(timed)
        if time.monotonic() - self._written.get(path, -RECORD_SECONDS) >= RECORD_SECONDS:
            self._write_record(path)

    def skip(self, path: Path, test: str, check: Key) -> None:
        """Notes a test that was selected and did not run."""
        self._skipped.setdefault(path, {})[test] = check

    def failures(self) -> Iterator[str]:
        """Why this run does not pass by its records, whatever became of its tests: a line for each suite."""
        if self.confirmation is not None:
            yield from self.confirmation.failures()
            return
        for path, record in self.records.items():
            if record.this_run is not None and record.this_run.fails:
                yield f"{record.suite.path}: what this run judged is {record.this_run.status}"
            for weakening in record.baseline.weaker if record.baseline is not None else ():
                if weakening.reason is None:
                    yield f"{record.suite.path}: the gate demands less than the baseline: {weakening.change}"
            if tests := self._skipped_gates(path):
                yield f"{record.suite.path}: skipped, and with a budget: {', '.join(tests)}"

    def _skipped_gates(self, path: Path) -> list[str]:
        """The tests that were skipped although they judge a budget that gates, or the gate itself."""
        suite = self.suites[path]
        gating = {
            key
            for name in (TEACHER, *suite.variants)
            if suite.model(name).gated
            for _, key in list_budgeted_checks(suite, name)
        }
        gating |= {(SELF_TEST, TEACHER, name) for name in SELF_TESTS if name != PLANTED_DELAY}
        return [
            test
            for test, key in self._skipped.get(path, {}).items()
            if key in gating and not self._parts[path].is_new(key)
        ]

    def to_confirm(self, path: Path) -> Passed:
        """What of a suite passed on the gate, in a run on the confirm rows."""
        if self.confirmation is None:
            raise ValueError("this run judges gate rows")
        return self.confirmation.passed[path]

    def _keep_log(self, path: Path, error: Part) -> Part:
        """The part with the name of a file in place of the log: the first of a variant's in this run."""
        variant, log = error["variant"], error["facts"].get("log")
        name = log_name(variant)
        if log and (path, variant) not in self._logged:
            write_atomically(self.folder(path) / name, log + "\n")
            self._logged.add((path, variant))
        kept_name = name if (path, variant) in self._logged else None
        return {**error, "facts": {**error["facts"], "log": kept_name}}

    def _drop_old_logs(self, path: Path, record: RunRecord) -> None:
        """Removes the logs of variants that have been built and measured since."""
        log_names = {model.error_log for model in record.variants}
        for log in (self.folder(path) / LOGS).glob("*.log"):
            if f"{LOGS}/{log.name}" not in log_names:
                log.unlink()

    def _write_record(self, path: Path) -> None:
        self.records[path] = self._compose(self.suites[path])
        write_atomically(self.folder(path) / "run.json", to_json(self.records[path]))
        self._written[path] = time.monotonic()

    def finish(self) -> None:
        """Writes outcomes and reports of every suite that reported, and the index over them.

        Of a run that was stopped also of suites that had begun; what earlier runs measured stays.
        """
        if self.confirmation is not None:
            self.confirmation.finish()
            if self.written_records:
                write_atomically(self.report_root / PR_COMMENT, self.comment())
            return
        begun = [path for path, run in self._runs.items() if run.has_begun] if self.stopped else []
        for path in begun:
            if path not in self._parts:
                self._parts[path] = self._parts_of_earlier(self.suites[path])
        for path in self._parts:
            self._write_record(path)
        for path in self.records:
            record = self._follow_rows(path)
            texts = make_row_quoter(self.run(self.suites[path]))
            self._drop_old_logs(path, record)
            self._write_comparison(path, record)
            write_reports(record, self.folder(path), texts)
            if self._shard is not None:
                write_gate_texts(texts, record.task.splits["gate"].n, self.folder(path))
        self._log_records = self.logs.write(self.report_root, self._command)
        if written := self.written_records:
            write_atomically(self.report_root / PR_COMMENT, self.comment())
            write_atomically(
                self.report_root / "report.md",
                index_report(list(written.values()), [f"{path.stem}/report.md" for path in written]),
            )
            write_atomically(self.report_root / "report.html", self._index_page())

    def _write_comparison(self, path: Path, record: RunRecord) -> None:
        """What moved since the baseline, teacher drift apart from variant drift; nothing without one."""
        file, baseline = self.folder(path) / COMPARISON, self._baselines.get(path)
        file.unlink(missing_ok=True)  # of an earlier run
        if baseline is not None:
            comparison = compare(baseline.run, Kept(self.folder(path) / "run.json", record))
            named = {"old": baseline.name, "new": "this run"}
            releases = {
                side: getattr(comparison, side).model_copy(update={"name": name})
                for side, name in named.items()
            }
            write_atomically(file, compare_report(comparison.model_copy(update=releases)))

    def _index_page(self) -> str:
        from slimgate.report.html import html_index

        written = self.written_records
        return html_index(list(written.values()), [f"{path.stem}/report.html" for path in written])

    def _follow_rows(self, path: Path) -> RunRecord:
        """Writes the outcomes, and the record again with what takes the answers of all models: a few rows
        followed through them, and which variants can be told apart.
        """
        record, folder = self.records[path], self.folder(path)
        self._write_outcomes(path, record)
        followed = {
            "followed": follow_rows(self.run(self.suites[path]), record, folder),
            "separation": self._separate(path, record),
        }
        self.records[path] = record.model_copy(update=followed)
        write_atomically(self.folder(path) / "run.json", to_json(self.records[path]))
        return self.records[path]

    def _separate(self, path: Path, record: RunRecord) -> SeparationFacts | None:
        """Which variants can be told apart; of a shard, which has some of them, `slimgate merge` says it."""
        if self._shard is not None:
            return None
        earlier = self._earlier_separation.get(path)
        return separate_variants(
            record, self.folder(path), to_key=make_separation_key, earlier=earlier, stopped=self.stopped
        )

    def comment(self) -> str:
        """What a pull request is told of all suites of the run."""
        return pr_comment(list(self.written_records.values()))

    @property
    def written_records(self) -> Mapping[Path, RunRecord]:
        """The records that this run has written, also those with verdicts on the confirm rows."""
        if self.confirmation is not None:
            return self.confirmation.records
        return {**self.records, **self._log_records}

    def summary(self, width: int | None) -> Iterator[Line]:
        """For the terminal: a line a variant, what does not hold or could not be told, and a line a suite."""
        for path, record in self.records.items():
            where = os.path.relpath(self.folder(path) / "report.md")
            yield from summary_lines(record, where, width=width)
            yield from self._void_lines(path)
        for path, record in self._log_records.items():
            yield from log_summary_lines(
                record, os.path.relpath(self.folder(path) / "report.md"), width=width
            )

    def _void_lines(self, path: Path) -> Iterator[Line]:
        """A line for each model whose earlier results do not count any more and were not measured again."""
        lost: dict[str, list[str]] = {}
        for kind, model, check in self._void.get(path, ()):
            if not self._parts[path].has((kind, model, check)):
                lost.setdefault(model, []).append(f"{kind.replace('_', ' ')} {check}".strip())
        for name, results in lost.items():
            number = format_count(len(results), "earlier result", "earlier results")
            why = (
                "the model, its teacher, the rows or slimgate's code have changed"
                if name in self._changed[path]
                else "[measure], a budget or a metric's code has changed"
            )
            names = visible(", ".join(results))
            yield [(f"  {visible(name)}: {number} dropped, because {why}: {names}", "")]

    def checks(self, path: Path) -> int:
        """How many a whole run of a suite makes."""
        return len(list_expected_checks(self.suites[path]))

    def folder(self, path: Path) -> Path:
        """Where the record of a suite goes."""
        return self.report_root / path.stem

    def last_record(self, suite: Suite) -> RunRecord | None:
        """The record of an earlier run that judged the same gate rows, whatever else has changed since."""
        try:
            record = read_record(self.folder(suite.path) / "run.json")
        except (OSError, ValidationError):
            return None
        gate = record.task.splits.get("gate")
        same = gate is not None and gate.digest == self.run(suite).rows.reports["gate"].digest
        return record if same else None

    def inputs(self, suite: Suite) -> Mapping[str, Digests]:
        """Digests of what each result depends on, by model and kind, as they are when first asked for."""
        if suite.path not in self._inputs:
            self._inputs[suite.path] = digest_inputs(self.run(suite))
        return self._inputs[suite.path]

    def _parts_of_earlier(self, suite: Suite) -> Parts:
        return Parts(self._earlier(suite), made_from=suite.find_dependents)

    def _earlier(self, suite: Suite) -> list[Part]:
        """The results of the last record that are still valid.

        They are of the same machine and rows, and nothing that they depend on has changed: neither files and
        recipe of the model and its teacher, nor code, nor what the suite says of them.
        """
        record = self.last_record(suite)
        if record is not None and record.looks is not None:
            self._earlier_looks[suite.path] = record.looks.log
        if record is None or not self._same_conditions(record, suite):
            return []
        self._confirmed[suite.path] = record.confirm
        self._earlier_separation[suite.path] = record.separation
        self._earlier_rates[suite.path] = record.machine.peak_rates
        facts = self._baseline_facts(suite)
        since = record.baseline and facts and record.baseline.created == facts.created
        parts = split_record(record)
        valid = [part for part in parts if self._has_same_inputs(part, record, suite)]
        valid_keys, checks = set(map(find_key, valid)), set(list_expected_checks(suite))
        now_inputs = self.inputs(suite)
        self._changed[suite.path] = {
            part.name
            for part in record.variants
            if part.inputs_digests.get(MODEL) != now_inputs.get(part.name, {}).get(MODEL)
        }
        self._void[suite.path] = [
            key for part in parts if (key := find_key(part)) in checks and key not in valid_keys
        ]
        return [part for part in valid if since or part["kind"] != SINCE]

    def _same_conditions(self, record: RunRecord, suite: Suite) -> bool:
        """Whether a record is of this machine, version, task and share of the suite."""
        run = self.run(suite)
        return (
            is_same_machine(record.machine, self._machine(run))
            and record.slimgate == slimgate.__version__
            and record.task == _task_facts(run.suite, run.rows)
            and [Shard(shard.number, shard.of) for shard in record.shards] == [*filter(None, [self._shard])]
        )

    def _has_same_inputs(self, part: Part, record: RunRecord, suite: Suite) -> bool:
        """Whether all that a part depends on is as it was; what has no digest counts as changed."""
        name = part["variant"]
        kind = part["kind"] if part["kind"] in KINDS else MODEL
        digest = self.inputs(suite).get(name, {}).get(kind)
        return digest is not None and record.variant(name).inputs_digests.get(kind) == digest

    def _compose(self, suite: Suite) -> RunRecord:
        run, parts = self.run(suite), self._parts[suite.path]
        machine = self._machine(run)
        shards = [
            make_shard_facts(suite, facts, parts, machine, created=format_now(), seconds=run.seconds)
            for facts in filter(None, [self._shard])
        ]
        record = make_run_record(
            run.suite,
            _task_facts(run.suite, run.rows),
            parts,
            machine,
            command=self._command,
            seconds=run.seconds,
            version=slimgate.__version__,
            inputs=self.inputs(suite),
            baseline=self._baseline_facts(suite),
            shards=shards,
        )
        confirm = self._confirmed.get(suite.path) if any(facts.confirm for facts in record.variants) else None
        fields = {"looks": self._look(suite), "confirm": confirm, "demands": self._demands_of(suite)}
        return self._with_teacher_of_now(record.model_copy(update=fields), suite)

    def _demands_of(self, suite: Suite) -> Demands:
        if suite.path not in self._demands:
            self._demands[suite.path] = make_demands(suite, self.run(suite).rows)
        return self._demands[suite.path]

    def hold_rows(self, suite: Suite) -> None:
        """Holds the rows of now against those of the baseline. Raises WeakerGate."""
        if (baseline := self._baselines.get(suite.path)) is not None:
            self._baselines[suite.path] = baseline.with_rows(suite, self.run(suite).rows)

    def _with_teacher_of_now(self, record: RunRecord, suite: Suite) -> RunRecord:
        """The record with all in which its gate is weaker, now that the teacher is built.

        A run of some tests leaves self-tests out, which is no weaker gate.
        """
        baseline = self._baselines.get(suite.path)
        if baseline is None or record.baseline is None:
            return record
        now = read_demands(record).model_copy(update={"self_tests": None})
        weaker = find_weakenings(read_demands(baseline.run.record), now)
        return record.model_copy(update={"baseline": record.baseline.model_copy(update={"weaker": weaker})})

    def _look(self, suite: Suite) -> LookFacts:
        """Notes in the store what this run has judged on these gate rows, and tells what others did."""
        path, digest = suite.path, self.run(suite).rows.reports[GATE].digest
        log = self._looks.setdefault(path, LookLog(self.store.root, digest, self._began))
        built = {
            name: facts["artifact"]["digest"]
            for name in (TEACHER, *suite.variants)
            if (facts := self._parts[path].find_facts("build", name)) is not None
        }
        models = {
            name: model_id(built[TEACHER], digest)
            for name, digest in built.items()
            if name != TEACHER and TEACHER in built
        }
        judged = [model for name, model in models.items() if (path, name) in self._predicted]
        timings = [
            Timing(models[name], workload, passed)
            for name, workload, passed in self._timed.get(path, ())
            if name in models
        ]
        log.note(judged, timings)
        looks = looks_at(self.store.root, digest).with_log(self._earlier_looks.get(path, {}))
        return look_facts(looks, models, run=self._began, cuts=self._cuts(suite, digest, judged))

    def _cuts(self, suite: Suite, digest: str, judged: Sequence[str]) -> int:
        """How many gates were cut from this suite's data and judged: another seed cuts other rows."""
        if suite.path not in self._cut_logs:
            data = self.run(suite).rows.source_digest
            self._cut_logs[suite.path] = LookLog(self.store.root, data, self._began)
        log = self._cut_logs[suite.path]
        log.note([digest] if judged else [])
        return max(1, looks_at(self.store.root, log.digest).count)

    def _baseline_facts(self, suite: Suite) -> BaselineFacts | None:
        baseline = self._baselines.get(suite.path)
        return baseline and baseline.facts

    def _machine(self, run: SuiteRun) -> Machine:
        """The machine, with what was wrong with it when the session began, and what it gave.

        Its peak rates are of this run where it timed a model, else of the earlier run whose times are kept.
        """
        machine = describe_machine(threads=run.suite.threads, device=self._device, load=self._load)
        rates = self._probe.find(run.suite.threads) or self._earlier_rates.get(run.suite.path)
        return machine.model_copy(update={"peak_rates": rates})

    def _write_outcomes(self, path: Path, record: RunRecord) -> None:
        run = self.run(self.suites[path])
        folder = self.folder(path) / "outcomes"
        for variant in record.variants:
            if not variant.is_measured:  # answers of a model that has changed since
                (folder / f"{variant.name}.parquet").unlink(missing_ok=True)
            if (path, variant.name) in self._predicted:
                with replacing(folder / f"{variant.name}.parquet") as new:
                    write_outcomes(run.outcomes(variant.name), new)


def _verdict_on_time(part: Part) -> str | None:
    """What a duel, or a budget on milliseconds, came to; None of other parts and without a budget."""
    if part["kind"] == SPEEDUP:
        verdict: str | None = part["facts"]["verdict"]
        return verdict
    limits = part["facts"].get("limits") if part["kind"] == TIMES else None
    return limits and limits["verdict"]


def _task_facts(suite: Suite, rows: PreparedRows) -> TaskFactsRecord:
    source = suite.setup.source
    splits = {
        name: SplitFacts(
            n=report.n,
            digest=report.digest,
            dropped_overlap=report.dropped_overlap,
            near_repeats=report.near_repeats,
            repeats=report.repeats,
            groups=report.groups,
            label_counts=report.label_counts,
            label_deviation_points=report.label_deviation_points,
        )
        for name, report in rows.reports.items()
    }
    return TaskFactsRecord(
        kind=suite.setup.task.name,
        params=dump_params(suite.setup.task.params),
        source={"name": source.name, **dump_params(source.params)},
        real=source.object.is_real(source.params),
        classes=list(rows.facts.classes),
        splits=splits,
    )

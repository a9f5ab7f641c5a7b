"""The state of one pytest session: its suites, and the files that cover all of them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from slimgate._system.files import probe_folder, write_atomically
from slimgate.errors import SlimgateError, SuiteError
from slimgate.plugin.log_suites import LogRuns

if TYPE_CHECKING:  # collecting tests needs neither runs nor reports
    from slimgate.plugin.confirmation import Confirmation, Passed
    from slimgate.plugin.run_settings import RunSettings
    from slimgate.plugin.suite_session import SuiteSession
    from slimgate.record.run import RunRecord
    from slimgate.report.terminal.summary import Line
    from slimgate.results.checks import CheckKey
    from slimgate.run.baseline import Baseline
    from slimgate.run.gate_results import GateResult
    from slimgate.run.result_keys import Digests
    from slimgate.run.run import SuiteRun
    from slimgate.suite.suite import Suite


class Session:
    """Suites by path, each with its run and its results."""

    def __init__(
        self,
        suites: dict[Path, Suite],
        settings: RunSettings,
        *,
        baselines: Mapping[Path, Baseline] | None = None,
        logs: LogRuns | None = None,
    ) -> None:
        """baselines: what the budgets of a suite are compared with, by the suite's path.

        logs: the suites that judge logs.
        """
        self.suites, self.settings = suites, settings
        self.logs = logs or LogRuns({})
        self._write_error: str | None = None
        self.stopped = False
        self.confirmation: Confirmation | None = None
        self._log_records: dict[Path, RunRecord] = {}
        self._baselines = baselines or {}
        self._sessions: dict[Path, SuiteSession] = {}
        self._collected: dict[Path, Path] = {}

    def is_first_path(self, path: Path) -> bool:
        """Whether a suite was not collected at another path. Links may lead to it, and it is tested once."""
        return self._collected.setdefault(path.resolve(), path) == path

    def _find_session(self, path: Path) -> SuiteSession:
        """The SuiteSession of a path; a test's mark may add a suite after the session began."""
        from slimgate.plugin.suite_session import SuiteSession

        if path not in self._sessions:
            baseline = self._baselines.get(path)
            self._sessions[path] = SuiteSession(self.suites[path], self.settings, baseline)
        return self._sessions[path]

    def find_run(self, suite: Suite) -> SuiteRun:
        """The run of a suite."""
        return self._find_session(suite.path).run

    def stop_servers(self) -> None:
        """Ends the servers that runs have started."""
        for session in self._sessions.values():
            session.stop_servers()

    def require_writable_reports(self) -> None:
        """Raises SuiteError if no report can be written, before models are built for hours."""
        folder = self.settings.report_root
        try:
            probe_folder(folder)
        except OSError as error:
            raise SuiteError(
                f"{os.path.relpath(folder)}: reports cannot be written there ({error.strerror}); "
                "make room, or name another folder with --slimgate-report DIR"
            ) from error

    @contextmanager
    def _note_write_error(self) -> Iterator[None]:
        """Notes that a record or a report could not be written. The run goes on: its exit code will be 4."""
        try:
            yield
        except (OSError, SlimgateError) as error:
            problem = str(error)
            if isinstance(error, OSError):
                shown = os.path.relpath(error.filename or self.settings.report_root)
                problem = (
                    f"{shown} cannot be written ({error.strerror or error}); make room, or name another "
                    "folder with --slimgate-report DIR"
                )
            self._write_error = f"records and reports are incomplete: {problem}"

    def add(self, path: Path, test: str, results: Iterable[GateResult]) -> None:
        """Takes the results of one test."""
        with self._note_write_error():
            if self.confirmation is not None:
                self.confirmation.add(path, results)
            else:
                self._find_session(path).add(test, results)

    def skip(self, path: Path, test: str, check: CheckKey) -> None:
        """Notes a test that was selected and did not run."""
        if self.confirmation is not None:
            self.confirmation.skip(path, test)
        else:
            self._find_session(path).skip(test, check)

    def list_failures(self) -> Iterator[str]:
        """Why this run does not pass by its records, whatever the tests' results: a line for each suite."""
        if self.confirmation is not None:
            yield from self.confirmation.list_failures()
            return
        for session in self._sessions.values():
            yield from session.list_failures()
        yield from self.logs.list_failures()

    def list_errors(self) -> Iterator[str]:
        """Why suites of this run could not be judged: a line for each."""
        yield from self.logs.list_errors()

    def list_problems(self) -> Iterator[str]:
        """Why the exit code is 4: suites that could not be judged, and files that could not be written."""
        yield from self.list_errors()
        if self._write_error is not None:
            yield self._write_error

    def find_passed(self, path: Path) -> Passed:
        """The variants of a suite that passed on the gate, in a run on the confirm rows."""
        if self.confirmation is None:
            raise ValueError("this run judges gate rows")
        return self.confirmation.passed[path]

    def finish(self) -> None:
        """Writes outcomes and reports of every suite that reported, and the index over them.

        A stopped run also writes those of suites that had begun; results of earlier runs stay. Ctrl-C and
        SIGTERM end the writing, not the session, which then prints its verdicts.
        """
        try:
            with self._note_write_error():
                self._write_files()
        except KeyboardInterrupt:
            self.stopped = True
            self._write_error = (
                "records and reports are incomplete: the run was stopped while they were written; run again, "
                "or write the reports of a run.json with `slimgate report`"
            )

    def _write_files(self) -> None:
        if self.confirmation is not None:
            self.confirmation.finish()
            self._write_over_all()
            return
        reported = [
            session
            for session in self._sessions.values()
            if session.results is not None or (self.stopped and session.has_begun)
        ]
        for session in reported:
            session.write_record()
        for session in reported:
            session.write_all(stopped=self.stopped)
        self._log_records = self.logs.write(self.settings.report_root, self.settings.command)
        self._write_over_all(index=True)

    def _write_over_all(self, *, index: bool = False) -> None:
        """Writes the comment on all suites; index: also the index pages that link to their reports."""
        written, unjudged = self.written_records, list(self.list_errors())
        if not written and not unjudged:
            return
        from slimgate.report.files import PR_COMMENT

        write_atomically(self.settings.report_root / PR_COMMENT, self.format_comment())
        if index:
            from slimgate.report.html import render_html_index
            from slimgate.report.markdown import format_index_report

            records, stems = list(written.values()), [path.stem for path in written]
            report = format_index_report(records, [f"{stem}/report.md" for stem in stems], unjudged)
            write_atomically(self.settings.report_root / "report.md", report)
            page = render_html_index(records, [f"{stem}/report.html" for stem in stems], unjudged)
            write_atomically(self.settings.report_root / "report.html", page)

    def format_comment(self) -> str:
        """The comment for a pull request on all suites of the run."""
        from slimgate.report.pr_comment import format_pr_comment

        return format_pr_comment(list(self.written_records.values()), unjudged=list(self.list_errors()))

    @property
    def records(self) -> dict[Path, RunRecord]:
        """The records of the suites that have reported."""
        return {
            path: session.record for path, session in self._sessions.items() if session.record is not None
        }

    @property
    def written_records(self) -> Mapping[Path, RunRecord]:
        """The records that this run has written, including those with verdicts on the confirm rows."""
        if self.confirmation is not None:
            return self.confirmation.records
        return {**self.records, **self._log_records}

    def list_summary(self, width: int | None) -> Iterator[Line]:
        """For the terminal: a line per variant, failed or undecided budgets, and a line per suite."""
        for session in self._sessions.values():
            yield from session.list_summary(width)
        for path, record in self._log_records.items():
            from slimgate.report.terminal.summary import list_log_summary

            yield from list_log_summary(
                record, os.path.relpath(self.find_folder(path) / "report.md"), width=width
            )

    def count_checks(self, path: Path) -> int:
        """The number of checks in a whole run of a suite."""
        from slimgate.run.gate_results import list_expected_checks

        return len(list_expected_checks(self.suites[path]))

    def find_folder(self, path: Path) -> Path:
        """The folder for the record of a suite."""
        return self.settings.report_root / path.stem

    def find_last_record(self, suite: Suite) -> RunRecord | None:
        """The record of an earlier run that judged the same gate rows, even if other things have changed."""
        return self._find_session(suite.path).read_last_record()

    def digest_inputs(self, suite: Suite) -> Mapping[str, Digests]:
        """Digests of what each result depends on, by model and kind, taken at the first call."""
        return self._find_session(suite.path).inputs

    def compare_rows(self, suite: Suite) -> None:
        """Compares the current rows with those of the baseline. Raises WeakerGate."""
        self._find_session(suite.path).compare_rows()

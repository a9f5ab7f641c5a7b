"""The results of tests: a test attaches them to its report, and the session collects them from the reports.

With xdist, tests and session are in different processes. Only reports pass between them.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from slimgate._system.timestamps import format_now
from slimgate.plugin.session import Session
from slimgate.results.checks import TEACHER
from slimgate.suite.suite import Suite

if TYPE_CHECKING:
    from slimgate.results.checks import CheckKey
    from slimgate.run.gate_results import GateResult


def attach_results(
    report: pytest.TestReport,
    suite: Path,
    test: str,
    results: Iterable[GateResult],
    skipped: CheckKey | None = None,
) -> None:
    """Adds what `RecordKeeper` reads to the report of a test, in built-in types: xdist sends only these.

    suite: the path of its file. skipped: the check of a test that was selected and did not run.
    """
    facts = {
        "suite": str(suite),
        "test": test,
        "results": [result.to_json() for result in results],
        "skipped": None if skipped is None else list(skipped),
    }
    setattr(report, "slimgate", facts)  # noqa: B010  not declared


class RecordKeeper:
    """Collects the results that tests report, in the process that writes the records."""

    def __init__(self, state: Session) -> None:
        self._state = state

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Adds a test's results to the session; the record on disk is up to date after each test."""
        report_facts = getattr(report, "slimgate", None)
        if report_facts is not None:
            suite, test = Path(report_facts["suite"]), report_facts["test"]
            if report_facts["skipped"] is not None:
                from slimgate.results.checks import CheckKey

                self._state.skip(suite, test, CheckKey(*report_facts["skipped"]))
            else:
                from slimgate.run.gate_results import GateResult

                self._state.add(suite, test, list(map(GateResult.from_json, report_facts["results"])))
        if (log_facts := getattr(report, "slimgate_logs", None)) is not None:
            result = log_facts["result"]
            if result is not None:
                result = (result[0], result[1])  # a worker of xdist sends it as a list
            self._state.logs.note_report(Path(log_facts["path"]), result, log_facts["failure"])

    @pytest.hookimpl(optionalhook=True)
    def pytest_handlecrashitem(self, crashitem: str, report: pytest.TestReport) -> None:
        """Reports a test whose xdist worker died as an error of the variant, as for a test that failed."""
        file, _, test = crashitem.partition("::")
        path_of_suite = next(
            (path for path, suite in self._state.suites.items() if suite.shown == file), None
        )
        if path_of_suite is None:
            return
        from slimgate.record.verdicts import ErrorFacts
        from slimgate.results.checks import ERROR
        from slimgate.run.gate_results import GateResult

        variant = _find_variant_of_test(self._state.suites[path_of_suite], test)
        message = (
            f"{variant}: the process that ran {test} died, most likely by its code or because memory ran out"
        )
        error = GateResult(ERROR, variant, test, ErrorFacts(message=message, measured=format_now()))
        attach_results(report, path_of_suite, test, [error])


def _find_variant_of_test(suite: Suite, test: str) -> str:
    """The variant in the name of a test, such as int8 of `test_quality[int8-accuracy]`; else the teacher."""
    parameters = test.partition("[")[2]
    names = [name for name in suite.variants if parameters.startswith((f"{name}-", f"{name}]"))]
    return max(names, key=len, default=TEACHER)  # the longest, because a name may begin with another one


class FailureLines:
    """Prints why a test failed right after its `F`, because the summary may be minutes away.

    Tests that fail for the same reason print its line once.
    """

    def __init__(self, reporter: pytest.TerminalReporter) -> None:
        self._reporter = reporter
        self._printed_lines: set[str] = set()

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Writes the first line of the reason, after pytest has written the letter of the test."""
        if not report.failed or getattr(report, "slimgate", None) is None:
            return
        line = next(iter(str(report.longrepr).splitlines()), "")
        if isinstance(report.longrepr, str) and line and line not in self._printed_lines:
            self._printed_lines.add(line)
            self._reporter.ensure_newline()
            self._reporter.write_line(f"slimgate: {line}")

"""Collects suites of logs as test files, with a test for each result that has a budget.

A suite that cannot be judged is one test. No -k or -m leaves it out, because its tests are not known.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from slimgate.errors import SlimgateError, SuiteError
from slimgate.plugin.config import NOTES, SESSION, make_no_budget_error

if TYPE_CHECKING:
    from slimgate.logs.judged import JudgedFiles
    from slimgate.logs.suite import LogSuite
    from slimgate.record.run import RunRecord
    from slimgate.results.facts import JudgedFacts
    from slimgate.run.baseline import Baseline, BaselineSource

_NAME = "test_logs"


class LogRuns:
    """The suites of logs of a run. A process reads and judges each of them once.

    suites: by path. blocked: path -> message, for suites of models in the same run that lack a package.
    is_judged_in_shard: False in every shard except the first. baselines: what --slimgate-baseline names.
    """

    def __init__(
        self,
        suites: Mapping[Path, LogSuite],
        blocked: Mapping[Path, str] | None = None,
        baselines: BaselineSource | None = None,
    ) -> None:
        self.suites, self.blocked, self.baselines = suites, blocked or {}, baselines
        self.is_judged_in_shard = True
        self._judged: dict[Path, JudgedFiles] = {}
        self._compared: dict[Path, Baseline | None] = {}
        self._reported: dict[Path, dict[str, list[str]]] = {}
        self._failures: list[str] = []
        self._errors: dict[Path, str] = {}

    def judge(self, path: Path) -> JudgedFiles:
        """Judges a suite. Raises SlimgateError if it cannot be judged."""
        from slimgate.logs.suite_run import judge_log_suite

        if path not in self._judged:
            self._judged[path] = judge_log_suite(self.suites[path])
        return self._judged[path]

    def compare_with_baseline(self, path: Path) -> Baseline | None:
        """The baseline of a suite, if there is one; it is compared once.

        Raises SuiteError if the gate of this run demands less than the baseline, without a reason.
        """
        if self.baselines is None:
            return None
        if path in self._compared:
            return self._compared[path]
        from slimgate.logs.baseline import compare_with_baseline
        from slimgate.logs.record import RecordHead, make_record

        suite = self.suites[path]
        record = make_record(self.judge(path), RecordHead("", suite.table.seed, suite.shown))
        self._compared[path] = compare_with_baseline(record, self.baselines)
        return self._compared[path]

    def note_report(self, path: Path, result: tuple[str, str] | None, failure: str | None) -> None:
        """Notes that a test was selected, in this process or a worker of xdist, so its record is written.

        result: the target and the title of what the test judges; None if the suite could not be judged.
        failure: why the run does not pass, also if a mark skips the test.
        """
        if result is not None:
            target, title = result
            self._reported.setdefault(path, {}).setdefault(target, []).append(title)
        if failure is not None:
            if result is None:
                self._errors[path] = failure
            else:
                self._failures.append(failure)

    def list_failures(self) -> Iterator[str]:
        """Why this run does not pass. Tests with a mark xfail or skip count too."""
        yield from self._failures

    def list_errors(self) -> Iterator[str]:
        """Why suites could not be judged."""
        yield from self._errors.values()

    def write(self, root: Path, command: str) -> dict[Path, RunRecord]:
        """Writes record, outcomes and reports of every suite with a reported verdict.

        It leaves out results whose tests did not run. If a suite of logs could not be judged, its earlier
        record is renamed, because it would look like the result of this run.
        """
        for path, error in self._errors.items():
            if path in self.suites:
                _set_earlier_record_aside(root / path.stem, error)
        if not self._reported:
            return {}
        from slimgate.logs.record import RecordHead, write_record
        from slimgate.record.files import EARLIER_RECORD
        from slimgate.report.files import write_comparison, write_reports
        from slimgate.report.since_baseline import COMPARISON

        records: dict[Path, RunRecord] = {}
        for path, chosen in self._reported.items():
            suite, folder, baseline = self.suites[path], root / path.stem, self.compare_with_baseline(path)
            records[path] = write_record(
                self.judge(path),
                folder,
                RecordHead(command, suite.table.seed, suite.shown, suite.table.title),
                chosen=chosen,
                baseline=None if baseline is None else baseline.facts,
            )
            (folder / COMPARISON).unlink(missing_ok=True)  # from an earlier run
            if baseline is not None:
                write_comparison(records[path], folder, baseline.run, baseline.name)
            write_reports(records[path], folder, None)
            (folder / EARLIER_RECORD).unlink(missing_ok=True)
        return records


def _set_earlier_record_aside(folder: Path, error: str) -> None:
    """Renames run.json to run.earlier.json, and replaces the reports that were made from it by the error."""
    from slimgate._system.files import write_atomically
    from slimgate.record.files import EARLIER_RECORD, RECORD
    from slimgate.report.files import REPORTS
    from slimgate.report.markdown import format_index_report

    if not folder.is_dir():
        return
    if (folder / RECORD).is_file():
        (folder / RECORD).replace(folder / EARLIER_RECORD)
    for name in REPORTS:
        (folder / name).unlink(missing_ok=True)
    write_atomically(folder / "report.md", format_index_report([], [], [error]))


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """A suite of logs is a test file."""
    state = parent.config.stash.get(SESSION, None)
    if state is None or file_path.resolve() not in {**state.logs.suites, **state.logs.blocked}:
        return None
    if not state.is_first_path(file_path):
        return None
    node: pytest.Collector = LogFile.from_parent(parent, path=file_path)
    return node


class LogFile(pytest.File):
    """A suite of logs, or a suite that could not be read.

    Each result is a test, so collecting the tests reads the logs.
    """

    @property
    def runs(self) -> LogRuns:
        return self.config.stash[SESSION].logs

    def collect(self) -> Iterator[pytest.Item]:
        path = self.path.resolve()
        if path in self.runs.blocked:
            yield self._make_error(SuiteError(self.runs.blocked[path]), name="test_suite")
            return
        if not self.runs.is_judged_in_shard:
            return
        try:
            judged = self.runs.judge(path)
            judged.check_one_report()
            self.runs.compare_with_baseline(path)
        except SlimgateError as error:
            shown, text = self.runs.suites[path].shown, str(error)
            yield self._make_error(error if text.startswith(shown) else SuiteError(f"{shown}: {text}"))
            return
        from slimgate.report.gate_properties import list_gate_properties

        results = [(target, result) for target in judged.targets.values() for result in target.results()]
        budgeted = [(target, result) for target, result in results if result.facts.budgets]
        for target, result in budgeted:
            name = f"{_NAME}[{target.name}-{result.title}]"
            chosen = (target.name, result.title)
            item: LogItem = LogItem.from_parent(self, name=name, facts=result.facts, result=chosen)
            item.user_properties.extend(list_gate_properties(target.name, *result))
            yield item
        if not budgeted:
            from slimgate.run.gate_results import NO_BUDGET

            shown = self.runs.suites[path].shown
            if self.config.getoption("slimgate_require_budget"):
                yield self._make_error(make_no_budget_error(shown, NO_BUDGET))
            else:
                self.config.stash[NOTES].append(f"{shown}: no budget, so nothing in it is judged")

    def _make_error(self, error: SlimgateError, name: str = _NAME) -> pytest.Item:
        item: pytest.Item = LogItem.from_parent(self, name=name, error=error)
        return item


class LogItem(pytest.Item):
    """The verdict on one result of one target, such as a comparison, or why there is no verdict."""

    def __init__(
        self,
        *,
        facts: JudgedFacts | None = None,
        result: tuple[str, str] | None = None,
        error: SlimgateError | None = None,
        **kwargs: Any,
    ) -> None:
        """result: target and title of the judged result."""
        super().__init__(**kwargs)
        self._facts, self.result, self.error = facts, result, error

    def describe_failure(self) -> str | None:
        """Why the test fails; None if it passes."""
        from slimgate._system.escape import escape_invisible
        from slimgate.results.base import has_run_ending_budget

        if self._facts is None:
            return escape_invisible(str(self.error))
        if has_run_ending_budget(self._facts.budgets):
            return escape_invisible(str(self._facts.message))
        return None

    def runtest(self) -> None:
        if (failure := self.describe_failure()) is not None:
            pytest.fail(failure, pytrace=False)

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, 0, self.name  # a mark skip needs a line number


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Reports a verdict to the process that writes the records, also from a worker of xdist.

    It uses the report of the setup, because a test that a mark skips has that one too.
    """
    report = yield
    if isinstance(item, LogItem) and report.when == "setup":
        facts = {
            "path": str(item.path.resolve()),
            "result": item.result,
            "failure": item.describe_failure(),
        }
        setattr(report, "slimgate_logs", facts)  # noqa: B010  not declared
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Generator[None]:
    """Keeps the tests of suites that could not be judged, even if -k, -m or --deselect leave them out."""
    broken = [item for item in items if isinstance(item, LogItem) and item.error is not None]
    yield
    items.extend(item for item in broken if item not in items)

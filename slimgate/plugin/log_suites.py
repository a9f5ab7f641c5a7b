"""Suites of logs as test files: a test for each result that has a budget."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from slimgate.errors import SlimgateError
from slimgate.plugin.config import SESSION

if TYPE_CHECKING:
    from slimgate.logs.judged import JudgedFiles
    from slimgate.logs.suite import LogSuite
    from slimgate.record import RunRecord
    from slimgate.record.results import JudgedFacts

_NAME = "test_logs"


class LogRuns:
    """The suites of logs of a run, by path; each is read and judged once in a process.

    is_judged_here: not in shards behind the first.
    """

    def __init__(self, suites: Mapping[Path, LogSuite]) -> None:
        self.suites = suites
        self.is_judged_here = True
        self._judged: dict[Path, JudgedFiles] = {}
        self._reported: dict[Path, None] = {}
        self._failures: list[str] = []

    def judge(self, path: Path) -> JudgedFiles:
        """The verdicts of a suite. Raises SlimgateError where they cannot be reached."""
        from slimgate.logs.suite_run import judge_log_suite

        if path not in self._judged:
            self._judged[path] = judge_log_suite(self.suites[path])
        return self._judged[path]

    def note_report(self, path: Path, failure: str | None, *, is_judged: bool) -> None:
        """A test of the suite was selected, here or in a worker of xdist, so that its record is written.

        failure: why the run does not pass, whatever becomes of the test. is_judged: the logs could be read.
        """
        if is_judged:
            self._reported[path] = None
        if failure is not None:
            self._failures.append(failure)

    def failures(self) -> Iterator[str]:
        """Why this run does not pass, also by tests with a mark xfail or skip."""
        yield from self._failures

    def write(self, root: Path, command: str) -> dict[Path, RunRecord]:
        """Writes record, outcomes and reports of every suite of which a verdict was reported."""
        from slimgate.logs.record import write_record
        from slimgate.report.files import write_reports

        records: dict[Path, RunRecord] = {}
        for path in self._reported:
            suite, folder = self.suites[path], root / path.stem
            records[path] = write_record(
                self.judge(path),
                folder,
                suite=suite.shown,
                command=command,
                seed=suite.table.seed,
                title=suite.table.title,
            )
            write_reports(records[path], folder, None)
        return records


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """A suite of logs is a test file."""
    state = parent.config.stash.get(SESSION, None)
    if state is None or file_path.resolve() not in state.logs.suites:
        return None
    node: pytest.Collector = LogFile.from_parent(parent, path=file_path)
    return node


class LogFile(pytest.File):
    """The tests are the results, so the logs are read when they are collected."""

    @property
    def runs(self) -> LogRuns:
        return self.config.stash[SESSION].logs

    def collect(self) -> Iterator[pytest.Item]:
        path = self.path.resolve()
        if not self.runs.is_judged_here:
            return
        try:
            judged = self.runs.judge(path)
        except SlimgateError as error:
            yield LogItem.from_parent(self, name=_NAME, error=error)
            return
        for target, record in judged.targets.items():
            for result in record.results():
                if result.facts.budgets:
                    name = f"{_NAME}[{target}-{result.title}]"
                    yield LogItem.from_parent(self, name=name, facts=result.facts)


class LogItem(pytest.Item):
    """The verdict on one result of one target, such as a comparison; or why there is none."""

    def __init__(
        self, *, facts: JudgedFacts | None = None, error: SlimgateError | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self._facts, self.error = facts, error

    def describe_failure(self) -> str | None:
        """Why the test fails; None if it passes."""
        from slimgate._system.escape import visible
        from slimgate.judge.budget_kinds import ends_run

        if self._facts is None:
            return visible(str(self.error))
        if any(ends_run(budget.verdict, budget.on_inconclusive) for budget in self._facts.budgets):
            return visible(str(self._facts.message))
        return None

    def runtest(self) -> None:
        if (failure := self.describe_failure()) is not None:
            pytest.fail(failure, pytrace=False)

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, 0, self.name  # a mark skip wants a line


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Lets the process that writes the records know of a verdict, also from a worker of xdist.

    Each test has a report of its setup, also one that a mark skips.
    """
    report = yield
    if isinstance(item, LogItem) and report.when == "setup":
        facts = {
            "path": str(item.path.resolve()),
            "failure": item.describe_failure(),
            "is_judged": item.error is None,
        }
        setattr(report, "slimgate_logs", facts)  # noqa: B010  not declared
    return report

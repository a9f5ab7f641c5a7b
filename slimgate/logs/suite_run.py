"""Judges a suite of logs, as `slimgate judge` judges log files."""

from __future__ import annotations

from collections.abc import Mapping

from slimgate.logs.find import check_repeat_files, read_log
from slimgate.logs.suite import LogSuite
from slimgate.logs.verdicts import LogVerdicts, judge_logs


def judge_log_suite(suite: LogSuite) -> Mapping[str, LogVerdicts]:
    """The verdicts by target. Raises DataError for logs that are missing or cannot be compared."""
    form = suite.table.format
    base = read_log(suite.base, form)
    repeat = None if suite.repeat is None else read_log(suite.repeat, form)
    if suite.repeat is not None:
        check_repeat_files(suite.repeat, suite.base, suite.targets.values())
    return {
        name: judge_logs(
            base, read_log(path, form), suite.budgets, suite.rules, seed=suite.table.seed, repeat=repeat
        )
        for name, path in suite.targets.items()
    }

"""Judges a suite of logs, predictions, load tests or KL logs, as `slimgate judge` judges such files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from slimgate.data.row_files import require
from slimgate.errors import DataError, SuiteError
from slimgate.logs.answers import JudgedAnswers
from slimgate.logs.find import check_repeat_files, holds_predictions, read_any_log, read_log
from slimgate.logs.judged import JudgedFiles
from slimgate.logs.judged_kl_log import JudgedKlLogs, read_kl_budgets
from slimgate.logs.judged_loads import (
    JudgedLoadTests,
    judge_load_tests,
    read_time_budgets,
    require_load_test,
)
from slimgate.logs.kl_log import KlLog, read_kl_log
from slimgate.logs.predictions.budgets import read_prediction_budgets
from slimgate.logs.predictions.judge import JudgedPair, JudgedPredictions, judge_pair
from slimgate.logs.predictions.pairs import read_pair
from slimgate.logs.several_runs import read_side
from slimgate.logs.suite import LogSuite
from slimgate.logs.verdicts import judge_logs
from slimgate.plugins.reader import Log


def judge_log_suite(suite: LogSuite) -> JudgedFiles:
    """Raises DataError for files that are missing or cannot be compared, SuiteError for budgets of others."""
    if suite.base is None:
        return _judge_kl_logs(suite)
    if suite.kind == "prediction files":
        return _judge_predictions(suite, suite.base)
    base = read_any_log(suite.base, suite.table.format)
    if suite.repeat is not None:
        check_repeat_files(suite.repeat, suite.base, suite.targets.values())
    if base.loads and suite.budgets is not None:
        raise SuiteError(
            f"{suite.shown} [budgets]: {suite.base.as_posix()} is a load test, which is judged by latency, "
            "such as latency = { speedup_min = 1.2 }"
        )
    if base.loads:
        return _judge_load_tests(suite, suite.base, base)
    if suite.budgets is None:
        raise SuiteError(
            f"{suite.shown} [budgets]: latency came, which is of load tests; {suite.base.as_posix()} is a "
            "log of answers"
        )
    form = suite.table.format
    repeat = None if suite.repeat is None else read_log(suite.repeat, form)
    base = read_side(suite.base_runs, form)
    judged = {
        name: judge_logs(
            base, read_side(paths, form), suite.budgets, suite.rules, seed=suite.table.seed, repeat=repeat
        )
        for name, paths in suite.target_runs.items()
    }
    return JudgedAnswers(judged, suite.table.on_inconclusive)


def _judge_kl_logs(suite: LogSuite) -> JudgedKlLogs:
    return JudgedKlLogs(
        {name: _read_kl_log(path) for name, path in suite.targets.items()},
        {name: read_kl_budgets(suite.tables, name, suite.shown) for name in suite.targets},
        suite.table.on_inconclusive,
    )


def _read_kl_log(path: Path) -> KlLog:
    require(path)
    return read_kl_log(path)


def _judge_predictions(suite: LogSuite, base: Path) -> JudgedPredictions:
    table = suite.table
    if table.kind is None:
        _check_predictions([base, *suite.targets.values()], stated=table.states_columns)
    pairs: dict[str, JudgedPair] = {}
    for name, path in suite.targets.items():
        budgets = read_prediction_budgets(suite.tables, name, suite.shown)
        pair = read_pair(base, path, table.column_names(), labels=table.labels, positive=table.positive)
        pairs[name] = judge_pair(
            name, (base, path), pair, budgets, seed=table.seed, on_inconclusive=table.on_inconclusive
        )
    return JudgedPredictions(pairs, base, suite.targets.values())


def _check_predictions(files: Iterable[Path], *, stated: bool) -> None:
    """Raises DataError for a file that is a log, if the suite does not say what its files are."""
    for file in files:
        if not holds_predictions(file, stated=stated):
            raise DataError(
                f'{file.as_posix()}: it is a log, and the others are predictions; [logs] kind = "answers" '
                "judges all by their scores"
            )


def _judge_load_tests(suite: LogSuite, path: Path, base: Log) -> JudgedLoadTests:
    def read(other: Path) -> Log:
        return require_load_test(read_any_log(other, suite.table.format), other, path)

    return judge_load_tests(
        base,
        {name: read(target) for name, target in suite.targets.items()},
        None if suite.repeat is None else read(suite.repeat),
        {name: read_time_budgets(suite.tables, name, suite.shown) for name in suite.targets},
        suite.table.allow,
        suite.table.on_inconclusive,
    )

"""Judges a suite of logs, predictions, load tests or KL logs, as `slimgate judge` judges such files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from slimgate._system.toml import format_value
from slimgate.errors import DataError, SuiteError
from slimgate.logs.answers import AnswerBudgets, judge_answer_files
from slimgate.logs.file_budgets import ANSWERS, LOADS, PREDICTIONS, FileBudgets, FileKind
from slimgate.logs.find import has_predictions, read_any_log, read_kl_log
from slimgate.logs.judged import JudgedFiles
from slimgate.logs.judged_kl_log import JudgedKlLogs
from slimgate.logs.judged_loads import judge_load_tests
from slimgate.logs.predictions.judge import JudgedPair, JudgedPredictions, judge_pair
from slimgate.logs.predictions.pairs import read_pair
from slimgate.logs.same_run import LogFiles
from slimgate.logs.suite import LogSuite

_QUOTE = '"'
_SIDE = r'(?:base|target|repeat)=(?:"[^"]*"|[^\s",;]*[^\s",;:])'
_START = r"(?<![\w/.-])"  # an option does not begin inside of a path
# What `slimgate judge` calls an option -> its key in a suite. An option with a value comes before the option.
_KEYS_OF_OPTIONS = {
    r"--run (latest|each-task|all|\d(?:[\w:.+-]*\w)?)": r'[logs] run = "\1"',
    r"--missing (drop|as-wrong|fail)\b": r'[logs] missing = "\1"',
    r"--same-id (epochs|runs)\b": r'[logs] same_id = "\1"',
    r"--range ([^\s=]+)=LOW:HIGH": r"[ranges] \1 = [LOW, HIGH]",
    r"say --(\w+) COLUMN to slimgate judge": r'write [logs] columns = { \1 = "COLUMN" }',
    r"--(id|label|prediction|group) COLUMN": r'[logs] columns = { \1 = "COLUMN" }',
    r"--same-id\b": "[logs] same_id",
    r"--slice ([^\s:]+):": r'[logs] slices = ["\1"]:',
    r"--(run|model|repeat|format|missing)\b": r"[logs] \1",
}


def judge_log_suite(suite: LogSuite) -> JudgedFiles:
    """Judges a suite. Raises DataError for missing or incomparable files, SuiteError for other budgets."""
    try:
        return _judge(suite)
    except (DataError, SuiteError) as error:
        raise type(error)(name_suite_keys(str(error))) from error


def name_suite_keys(message: str) -> str:
    """A message with the keys of [logs] in place of the options of `slimgate judge`."""

    def list_values(options: re.Match[str]) -> str:
        names = ", ".join(f'"{name}"' for name in options[0].split() if name != "--allow")
        return f"[logs] allow = [{names}]"

    def list_sides(options: re.Match[str]) -> str:
        sides = (side.partition("=") for side in re.findall(_SIDE, options[0]))
        values = ", ".join(f"{side} = {format_value(value.strip(_QUOTE))}" for side, _, value in sides)
        return f"[logs] {options[1]} = {{ {values} }}"

    message = re.sub(rf"{_START}--allow \w+( --allow \w+)*", list_values, message)
    message = re.sub(rf"{_START}--(run|model) {_SIDE}( --\1 {_SIDE})*", list_sides, message)
    for option, key in _KEYS_OF_OPTIONS.items():
        message = re.sub(_START + option, key, message)
    return message


def _judge(suite: LogSuite) -> JudgedFiles:
    if suite.base is None:
        return JudgedKlLogs(
            {name: read_kl_log(path, suite.table.format) for name, path in suite.targets.items()},
            suite.budgets,
            suite.table.on_inconclusive,
        )
    if suite.kind == PREDICTIONS:
        return _judge_predictions(suite, suite.base)
    base = read_any_log(suite.base, suite.table.format)
    if base.kl is not None:
        raise DataError(
            f"{suite.base.as_posix()}: it is a KL log, which contains base and target; make it a target, "
            "and leave [logs] base out"
        )
    budgets = _select_budgets(suite, LOADS if base.loads else ANSWERS, suite.base)
    files = LogFiles(suite.base_runs, suite.target_runs, suite.repeat, suite.table.format)
    if base.loads:
        return judge_load_tests(base, files, budgets, suite.table.allow, suite.table.on_inconclusive)
    return judge_answer_files(
        files,
        {
            name: AnswerBudgets(file.answers, file.notes, file.list_switched_off)
            for name, file in budgets.items()
        },
        suite.rules,
        seed=suite.table.seed,
        on_inconclusive=suite.table.on_inconclusive,
    )


def _select_budgets(suite: LogSuite, kind: FileKind, base: Path) -> Mapping[str, FileBudgets]:
    """The budgets by target. kind: of the base, which may differ from what its name or budgets suggest."""
    if kind == suite.kind:
        return suite.budgets
    try:
        return suite.read_budgets_as(kind)
    except SuiteError as error:
        raise SuiteError(f"{error} ({base.as_posix()} is one of these {kind})") from None


def _judge_predictions(suite: LogSuite, base: Path) -> JudgedPredictions:
    table = suite.table
    if table.kind is None:
        for file in [base, *suite.targets.values()]:
            if not has_predictions(file, stated=table.has_prediction_keys):
                raise DataError(
                    f"{file.as_posix()}: it is a log, and the others are predictions; "
                    '[logs] kind = "answers" judges all by their scores'
                )
    pairs: dict[str, JudgedPair] = {}
    for name, path in suite.targets.items():
        pair = read_pair(base, path, table.make_column_names(), labels=table.labels, positive=table.positive)
        pairs[name] = judge_pair(
            name,
            (base, path),
            pair,
            suite.budgets[name],
            seed=table.seed,
            on_inconclusive=table.on_inconclusive,
        )
    return JudgedPredictions(pairs, base, suite.targets.values())

"""Finds the reader of a log: it asks each one. `table` comes last, because it accepts any table."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import zip_longest
from math import isnan
from numbers import Real
from pathlib import Path

from slimgate._system.json_text import NOT_JSON, describe_json_error
from slimgate.data.row_files import RowFile, read_column_names, require_file_or_folder
from slimgate.data.text_files import refuse_utf_16
from slimgate.errors import DataError, SlimgateError
from slimgate.judge.score_ranges import is_range
from slimgate.logs.predictions.files import FORMATS
from slimgate.plugins.loading import installed_plugins, known_plugins, list_modules, load
from slimgate.plugins.reader import READ_ERRORS, Log, Reader, Row, Run, TaskLog

_LAST = "table"
# The key of what every row has: its id.
_SAMPLE = ""


def read_log(path: Path, name: str | None = None) -> Log:
    """Reads the log of answers in a file or folder.

    name: the reader to take; None to find it. Raises SuiteError if there is no such reader, DataError if no
    reader recognizes the log, or if it is a load test or a KL log.
    """
    log = read_any_log(path, name)
    if log.loads:
        raise DataError(
            f"{path}: it is a load test of {log.tool}, expected a log of answers; two load tests are judged "
            "by `slimgate judge BASE TARGET`"
        )
    if log.kl is not None:
        raise DataError(
            f"{path}: it is a KL log, which contains base and target; judge it alone with `slimgate judge "
            f"{path} --budgets FILE.toml`, in a test with assert_budgets(None, FILE, budgets)"
        )
    return log


def read_kl_log(path: Path, name: str | None) -> Log:
    """Reads a KL log; name: as in `read_log`. Raises DataError for another file."""
    log = read_any_log(path, name)
    if log.kl is None:
        raise DataError(
            f"{path}: it is a log of {log.tool}, expected a KL log, which contains base and target"
        )
    return log


def read_any_log(path: Path, name: str | None = None) -> Log:
    """Reads a log of answers, a load test or a KL log; see `read_log`. Raises DataError."""
    require_file_or_folder(path)
    if not path.is_dir():
        refuse_utf_16(path)
    reader: Reader = find_reader(path) if name is None else load("log", name)
    if name in list_modules("log") and not reader.recognizes(path):
        _refuse_other_format(path, name)
    try:
        log = reader.read(path)
    except READ_ERRORS as error:
        problem = f"{type(error).__name__}: {error}"
        raise DataError(f"{path} does not have the log format of its tool ({problem})") from error
    if not isinstance(log, Log):
        raise DataError(f"{path}: its reader returned {type(log).__name__}, expected a slimgate.Log")
    if not (log.tasks or log.loads or log.runs or log.models or log.kl):
        raise DataError(f"{path}: the log has no task")
    parts: tuple[Log | Run, ...] = (log, *log.runs, *log.models, *log.further)
    for part in parts:
        for task, declared in part.tasks.items():
            _check_declared(f"{path} {task}".strip(), declared)
    return replace(log, path=path, models=tuple(replace(model, path=path) for model in log.models))


def _check_declared(where: str, task: TaskLog) -> None:
    """Raises DataError for what is stated in a wrong type: as a direction, the text "no" counts as True."""
    for metric, better in {**task.known_directions, **task.higher_is_better}.items():
        if not isinstance(better, bool):
            raise DataError(f"{where}: higher_is_better of {metric} is {better!r}, expected True or False")
    for metric, ends in task.ranges.items():
        if not is_range(ends):
            raise DataError(
                f"{where}: the range of {metric} is {ends!r}, expected its lowest and its highest score, "
                "such as (0.0, 1.0)"
            )
    means = {f"the mean of {metric}": mean for (_, metric), mean in task.means.items()}
    stated = {
        "the number of samples": task.samples,
        "the most tokens of an answer": task.most_tokens,
        **means,
    }
    for words, value in stated.items():
        if not isinstance(value, Real | None):
            raise DataError(f"{where}: {words} is {value!r}, expected a number")


def _refuse_other_format(path: Path, name: str | None) -> None:
    """Raises DataError if another reader of slimgate recognizes what the reader `name` does not."""
    for other in sorted(list_modules("log"), key=lambda other: other == _LAST):
        if other != name and load("log", other).recognizes(path):
            noun = "a table of scores" if other == _LAST else f"a log of {other}"
            raise DataError(f"{path}: the format {name} was given, but this is {noun}; leave the format out")


def find_kl_log(path: Path, name: str | None) -> Log | None:
    """The KL log in a file; None if the file is anything else."""
    if name is None and not any(
        name for name in known_plugins("log") if name != _LAST and load("log", name).recognizes(path)
    ):
        return None
    log = read_any_log(path, name)
    return None if log.kl is None else log


def find_reader(path: Path) -> Reader:
    """The reader that recognizes a log. Raises DataError if none does, or more than one."""
    names = sorted(known_plugins("log"), key=lambda name: name == _LAST)
    readers: dict[str, Reader] = {name: load("log", name) for name in names}
    matching = [name for name, reader in readers.items() if name != _LAST and reader.recognizes(path)]
    if len(matching) > 1:
        raise DataError(f"{path} may be a log of {' or '.join(matching)}; choose one by --format NAME")
    if not matching and readers[_LAST].recognizes(path):
        matching = [_LAST]
    if not matching and path.is_dir() and not any(path.iterdir()):
        raise DataError(f"{path}: the folder is empty, expected a log in it")
    if not matching:
        _refuse_folder_of_logs(path, readers)
        _refuse_broken_json(path)
        noun = "folder" if path.is_dir() else "file"
        raise DataError(
            f"{path}: no reader knows this {noun}; expected a log of {', '.join(readers)}; --format NAME "
            "forces a format"
        )
    return readers[matching[0]]


def _refuse_broken_json(path: Path) -> None:
    """Raises DataError that says where a file stops being JSON, such as a log that was cut off."""
    if path.is_file() and path.suffix == ".json":
        try:
            json.loads(path.read_bytes())
        except NOT_JSON as error:
            if not (isinstance(error, json.JSONDecodeError) and error.msg == "Extra data"):  # JSON lines
                problem = describe_json_error(error)
                raise DataError(f"{path}: not JSON: {problem}; check that the file is complete") from error


def _refuse_folder_of_logs(path: Path, readers: Mapping[str, Reader]) -> None:
    """Raises DataError if a part of the folder is a log by itself, such as a file of promptfoo."""
    if not path.is_dir():
        return
    for part in sorted(path.iterdir()):
        names = [name for name, reader in readers.items() if reader.recognizes(part)]
        if names:
            noun = "folder" if part.is_dir() else "file"
            log = "a table" if names[0] == _LAST else f"a log of {names[0]}"
            raise DataError(
                f"{path}: a folder was given, but {log} is one {noun} in it; name the {noun}, such as "
                f"{part.as_posix()}"
            )


def check_repeat_files(repeat: Path, base: Path, targets: Iterable[Path]) -> None:
    """Raises DataError if `--repeat` is missing, or is the base, a target or a copy of them."""
    require_file_or_folder(repeat)
    for path, words in ((base, "base"), *((target, "target") for target in targets)):
        if not path.exists():  # the code that reads it reports this
            continue
        if repeat.samefile(path):
            raise DataError(f"--repeat {repeat}: it is the {words} itself, expected another run of the base")
        if is_copy(repeat, path):
            raise DataError(
                f"--repeat {repeat}: it is identical to {path}, so it shows no noise; expected another "
                "run of the base"
            )


def check_repeat_rows(repeat: Log, base: Log, target: Log) -> None:
    """Raises DataError if `--repeat` has the rows of the base or the target in another layout."""
    for log in (base, target):
        if hold_same_rows(repeat, log):
            raise DataError(
                f"--repeat {repeat.shown}: it has the same rows as {log.shown}, so it shows no noise; "
                "expected another run of the base"
            )


def is_copy(path: Path, other: Path) -> bool:
    """Whether two files, or all files of two folders, hold the same bytes. Their names may differ."""
    from slimgate._system.digests import file_sha256

    files, other_files = _list_files(path), _list_files(other)
    # sizes first: most logs differ in them, and digests read every byte
    if sorted(map(_read_file_size, files)) != sorted(map(_read_file_size, other_files)):
        return False
    return sorted(map(file_sha256, files)) == sorted(map(file_sha256, other_files))


def hold_same_rows(log: Log, other: Log) -> bool:
    """Whether two logs are one run: the same scores and answers, and the time if the logs say when they ran.

    A file may be written again in another layout, such as indented JSON, another order of its rows or with
    more columns, and is still no other run.
    """
    if log.time != other.time or log.tasks.keys() != other.tasks.keys() or log.loads != other.loads:
        return False
    if not log.tasks:
        return bool(log.loads)
    try:
        return all(_hold_same_answers(task, other.tasks[name]) for name, task in log.tasks.items())
    except READ_ERRORS:  # the code that judges the rows reports this
        return False


def _hold_same_answers(task: TaskLog, other: TaskLog) -> bool:
    """Whether two tasks have the same samples, with the same scores and answers, in any order.

    What only one of them has, such as a metric, is not compared. Most runs differ in one of the first rows,
    so it stops there. Sums of hashes stand for the rows in another order, however many there are.
    """
    compares_values = False
    sums: tuple[Counter[str], Counter[str]] = Counter(), Counter()
    for row, other_row in zip_longest(task.rows(), other.rows()):
        if row is None or other_row is None:
            return False
        pair = [_list_row_values(each) for each in (row, other_row)]
        shared = pair[0].keys() & pair[1].keys()
        compares_values = compares_values or len(shared) > 1  # all have the id
        if row.id == other_row.id and row.filter == other_row.filter:
            if any(pair[0][name] != pair[1][name] for name in shared):
                return False
            continue
        for of_side, each, values in zip(sums, (row, other_row), pair, strict=True):
            for name, value in values.items():
                of_side[name] += hash(f"{each.filter}\0{each.id}\0{value}")
    shared_sums = sums[0].keys() & sums[1].keys()
    return compares_values and all(sums[0][name] == sums[1][name] for name in shared_sums)


def _list_row_values(row: Row) -> dict[str, float | int | None]:
    """The scores by metric, None for NaN, and the digest of the answer; under "" the row itself."""
    from slimgate.logs.columns import find_answer_digest

    values: dict[str, float | int | None] = {_SAMPLE: None}
    for name, score in row.scores.items():
        number = None if score is None else float(score)
        values[f"score {name}"] = None if number is None or isnan(number) else number
    if (answer := find_answer_digest(row)) is not None:
        values["answer"] = answer
    return values


def _list_files(path: Path) -> list[Path]:
    return [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]


def _read_file_size(file: Path) -> int:
    return file.stat().st_size


def holds_predictions(path: Path, *, stated: bool = False) -> bool:
    """Whether a file holds predictions (label, and prediction or probabilities) rather than a log.

    It asks the readers of installed packages first, then those of slimgate. A broken or missing file counts
    as predictions, so that the error is that of prediction files.
    stated: whether the user named the columns of predictions. Raises DataError for a table that may be both,
    because its labels and its scores may disagree.
    """
    if path.is_dir():
        return False
    if not path.is_file():
        return True
    table_format = FORMATS.get(path.suffix.lower())
    names = known_plugins("log") if table_format is None else installed_plugins("log")
    if any(name != _LAST and load("log", name).recognizes(path) for name in names):
        return False
    if table_format is None:
        return path.suffix.lower() not in (".json", ".eval")
    if stated:
        return True
    try:
        columns = set(read_column_names(RowFile(path, table_format)))
    except (SlimgateError, OSError, ValueError):
        return True
    if {"label", "prediction"} <= columns:
        if "score" in columns:
            raise DataError(
                f"{path}: it may be predictions (columns label and prediction) or a log of scores (column "
                "score); choose with --prediction prediction or --format table, or in a suite with [logs] "
                'kind = "predictions" or "answers"'
            )
        return True
    if "score" in columns:
        return False
    return not any(name != _LAST and load("log", name).recognizes(path) for name in known_plugins("log"))

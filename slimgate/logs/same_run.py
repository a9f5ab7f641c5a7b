"""Whether two logs are the same run, copied or written again: no run may stand for two."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product, zip_longest
from math import isnan
from pathlib import Path

from slimgate.data.row_files import require_file_or_folder
from slimgate.errors import DataError
from slimgate.logs.columns import find_answer_digest
from slimgate.plugins.reader import Log, Row, TaskLog, is_read_error

# The key of what every row has: its id.
_SAMPLE = ""


@dataclass(frozen=True)
class LogFiles:
    """The files of both sides, each with its runs. targets: by name. repeat: a second run of the base.

    format: the name of the reader; None: each log shows it.
    """

    base: Sequence[Path]
    targets: Mapping[str, Sequence[Path]]
    repeat: Path | None
    format: str | None

    def check_repeat(self) -> None:
        """Raises DataError if `--repeat` is missing, or is the base, a target or a copy of them."""
        repeat = self.repeat
        if repeat is None:
            return
        require_file_or_folder(repeat)
        for path, words in ((self.base[0], "base"), *((runs[0], "target") for runs in self.targets.values())):
            if not path.exists():  # the code that reads it reports this
                continue
            if repeat.samefile(path):
                raise DataError(
                    f"--repeat {repeat}: it is the {words} itself, expected another run of the base"
                )
            if is_copy(repeat, path):
                raise DataError(
                    f"--repeat {repeat}: it is identical to {path}, so it shows no noise; expected another "
                    "run of the base"
                )


def check_sides(base: Sequence[Path], target: Sequence[Path]) -> None:
    """Raises DataError for a file that is on both sides, and for a copy of a run of the base.

    Most tools write the time of a run into its folder, so that no other run has the same bytes. If a file is
    a copy, a note on equal scores shows it; but among several runs, it would hide a part of the drop.
    """
    has_several = len(base) > 1 or len(target) > 1
    for path, other in product(base, target):
        if not (path.exists() and other.exists()):
            continue
        if other.samefile(path):
            raise DataError(f"{other}: base and target are the same path, expected the logs of two models")
        if (has_several or path.is_dir()) and is_copy(path, other):
            raise DataError(f"{other}: it is a copy of the base {path}, expected the log of another model")


def check_repeat_rows(repeat: Log, base: Log, target: Log) -> None:
    """Raises DataError if `--repeat` has the rows of the base or the target in another layout."""
    for log in (base, target):
        if is_same_run(repeat, log):
            raise DataError(
                f"--repeat {repeat.shown}: it has the same rows as {log.shown}, so it shows no noise; "
                "expected another run of the base"
            )


def check_target_runs(base: Log, target: Log) -> None:
    """Raises DataError if a run of the target has the rows of a run of the base, where there are several."""
    if not (base.further or target.further):
        return
    for base_run, run in product((base, *base.further), (target, *target.further)):
        if is_same_run(base_run, run):
            raise DataError(
                f"{run.shown}: it has the same rows as {base_run.shown} of the base, so it would hide a part "
                "of the drop; expected a run of another model"
            )


def is_copy(path: Path, other: Path) -> bool:
    """Whether two files, or all files of two folders, hold the same bytes. Their names may differ."""
    from slimgate._system.digests import file_sha256

    files, other_files = _list_files(path), _list_files(other)
    # sizes first: most logs differ in them, and digests read every byte
    if sorted(map(_read_file_size, files)) != sorted(map(_read_file_size, other_files)):
        return False
    return sorted(map(file_sha256, files)) == sorted(map(file_sha256, other_files))


def is_same_run(log: Log, other: Log) -> bool:
    """Whether two logs are one run: the same scores and answers, and the time if the logs say when they ran.

    A file may be written again in another layout, such as indented JSON, another order of its rows or with
    more columns, and is still no other run.
    """
    if log.time != other.time or log.tasks.keys() != other.tasks.keys() or log.loads != other.loads:
        return False
    if not log.tasks:
        return bool(log.loads)
    try:
        return all(_has_same_answers(task, other.tasks[name]) for name, task in log.tasks.items())
    except Exception as error:  # the code that judges the rows reports an error of the reader
        if not is_read_error(error):
            raise
        return False


def _has_same_answers(task: TaskLog, other: TaskLog) -> bool:
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

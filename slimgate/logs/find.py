"""Which tool wrote a log: each reader looks at it; `table` comes last, since it takes any table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from slimgate._system.digests import file_sha256
from slimgate.data.row_files import RowFile, columns_of, require
from slimgate.errors import DataError, SlimgateError
from slimgate.logs.predictions.files import FORMATS
from slimgate.plugins.loading import installed_plugins, known_plugins, load
from slimgate.plugins.reader import NOT_AS_WRITTEN, Log, Reader

_LAST = "table"


def read_log(path: Path, name: str | None = None) -> Log:
    """The log of answers in a file or folder. name: of its format; None to find it.

    Raises SuiteError for a format that does not exist, DataError for a log that no reader knows, and for a
    load test.
    """
    log = read_any_log(path, name)
    if log.loads:
        raise DataError(
            f"{path}: it is a load test of {log.tool}, expected a log of answers; two load tests are judged "
            "by `slimgate judge BASE TARGET`"
        )
    return log


def read_any_log(path: Path, name: str | None = None) -> Log:
    """As `read_log`, and a load test as well."""
    if not path.is_dir():
        require(path)
    try:
        log: Log = (find_reader(path) if name is None else load("log", name)).read(path)
    except NOT_AS_WRITTEN as error:
        problem = f"{type(error).__name__}: {error}"
        raise DataError(f"{path} is not as its tool writes logs ({problem})") from error
    if not log.tasks and not log.loads and not log.runs and not log.models:
        raise DataError(f"{path}: the log has no task")
    return log


def find_reader(path: Path) -> Reader:
    """The reader that recognizes a log. Raises DataError where none does, or more than one."""
    names = sorted(known_plugins("log"), key=lambda name: name == _LAST)
    readers: dict[str, Reader] = {name: load("log", name) for name in names}
    matching = [name for name, reader in readers.items() if name != _LAST and reader.recognizes(path)]
    if len(matching) > 1:
        raise DataError(f"{path} may be a log of {' or '.join(matching)}; choose one by --format NAME")
    if not matching and readers[_LAST].recognizes(path):
        matching = [_LAST]
    if not matching:
        _refuse_folder_of_logs(path, readers)
        noun = "folder" if path.is_dir() else "file"
        raise DataError(
            f"{path}: no reader knows this {noun}; expected a log of {', '.join(readers)}; "
            "--format NAME forces one"
        )
    return readers[matching[0]]


def _refuse_folder_of_logs(path: Path, readers: Mapping[str, Reader]) -> None:
    """Raises DataError for a folder of files of which each is a log, such as several outputs of promptfoo."""
    if not path.is_dir():
        return
    for file in sorted(path.iterdir()):
        names = [name for name, reader in readers.items() if name != _LAST and reader.recognizes(file)]
        if file.is_file() and names:
            raise DataError(
                f"{path}: a folder came, and a log of {names[0]} is one file; name it, such as "
                f"{file.as_posix()}"
            )


def check_repeat_files(repeat: Path, base: Path, targets: Iterable[Path]) -> None:
    """Raises DataError for a `--repeat` that is missing, is the base or a target, or a copy of one."""
    if not repeat.is_dir():
        require(repeat)
    for path, words in ((base, "base"), *((target, "target") for target in targets)):
        if not path.exists():  # whoever reads it says so
            continue
        if repeat.samefile(path):
            raise DataError(f"--repeat {repeat}: it is the {words} itself, expected another run of the base")
        if is_copy(repeat, path):
            raise DataError(
                f"--repeat {repeat}: it is {path} byte by byte, so it shows no noise; expected another "
                "run of the base"
            )


def is_copy(path: Path, other: Path) -> bool:
    """Whether two files, or all files of two folders, hold the same bytes, under whatever names."""
    files, other_files = _files_of(path), _files_of(other)
    if sorted(map(_size_of, files)) != sorted(map(_size_of, other_files)):
        return False
    return sorted(map(file_sha256, files)) == sorted(map(file_sha256, other_files))


def _files_of(path: Path) -> list[Path]:
    return [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]


def _size_of(file: Path) -> int:
    return file.stat().st_size


def holds_predictions(path: Path, *, stated: bool = False) -> bool:
    """Whether a path is read as predictions, with label and prediction or probabilities, and not as a log.

    The readers of installed packages are asked first, then slimgate's own. A broken or missing file is one of
    predictions, so that it has the error of predictions. stated: whether the columns of predictions were
    named. Raises DataError for a table that may be both: its labels and its scores can say different things.
    """
    if path.is_dir():
        return False
    kind = FORMATS.get(path.suffix.lower())
    if not path.is_file():
        return True
    names = known_plugins("log") if kind is None else installed_plugins("log")
    if any(name != _LAST and load("log", name).recognizes(path) for name in names):
        return False
    if kind is None:
        return path.suffix.lower() not in (".json", ".eval")
    if stated:
        return True
    try:
        columns = set(columns_of(RowFile(path, kind)))
    except (SlimgateError, OSError, ValueError):
        return True
    if {"label", "prediction"} <= columns:
        if "score" in columns:
            raise DataError(
                f"{path}: it may be predictions (columns label and prediction) or a log of scores (column "
                "score); --prediction prediction or --format table says which, or in a suite [logs] kind = "
                '"predictions" or "answers"'
            )
        return True
    if "score" in columns:
        return False
    return not any(name != _LAST and load("log", name).recognizes(path) for name in known_plugins("log"))

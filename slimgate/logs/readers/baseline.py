"""A kept baseline, or a folder of `slimgate judge --report`: the log of its base."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from slimgate.errors import DataError
from slimgate.logs.base_log import read_about, read_base_log
from slimgate.plugins.reader import BASE_LOG, FURTHER_BASE_LOGS, Log, Reader

_RECORD = "run.json"


class Baseline(Reader):
    """A folder with `run.json`, or the file `base.parquet` in it."""

    def recognizes(self, path: Path) -> bool:
        if path.is_dir():
            return (path / _RECORD).is_file() or any(path.glob(f"*/{_RECORD}"))
        return path.name == BASE_LOG and read_about(path) is not None

    def read(self, path: Path) -> Log:
        if path.is_file():
            return _read_runs(path, str(path))
        below = [path] if (path / _RECORD).is_file() else [file.parent for file in path.glob(f"*/{_RECORD}")]
        folders = sorted(folder for folder in below if (folder / BASE_LOG).is_file())
        if len(folders) > 1:
            names = ", ".join(folder.as_posix() for folder in folders)
            raise DataError(f"{path}: it has the logs of {len(folders)} bases; name one of {names}")
        if not folders:
            raise DataError(
                f"{path}: its record has no base log, because only records of judged logs of answers have "
                "one; give the base's own file of predictions, load test or log"
            )
        return _read_runs(folders[0] / BASE_LOG, str(path))


def _read_runs(file: Path, shown: str) -> Log:
    """The log, with the further runs that were judged together with it. Raises DataError for other files."""
    if (record := file.with_name(_RECORD)).is_file():
        from slimgate.record.files import StoredRecord, check_base_logs, read_run

        check_base_logs(StoredRecord(record, read_run(record)))
    further = sorted(file.parent.glob(FURTHER_BASE_LOGS))
    log = read_base_log(file, shown)
    return replace(log, further=tuple(read_base_log(run, f"{shown} ({run.name})") for run in further))


reader = Baseline()

"""Records as files: a run.json or the folder that holds it, and a folder of baselines.

reports/latest/<suite>/run.json, outcomes/*.parquet          of the last run
reports/baselines/<name>/<suite>/run.json, outcomes/…        what `slimgate accept` keeps
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import NamedTuple

from pydantic import ValidationError

from slimgate._system.digests import file_sha256
from slimgate.errors import DataError, did_you_mean, format_suggestion
from slimgate.plugins.reader import BASE_LOG, FURTHER_BASE_LOGS
from slimgate.record.run import SCHEMA, RunRecord, VariantRecord, is_edited, read_record
from slimgate.results.checks import TEACHER

RECORD, OUTCOMES, LOGS = "run.json", "outcomes", "logs"
# What messages say of a record for which `StoredRecord.is_edited` is true.
EDITED = "was edited after slimgate wrote it"
# the key of a record's source that has the digests of the logs of the base next to it
BASE_LOGS = "base_logs"
# the record of an earlier run, in the folder of a suite that the last run could not judge
EARLIER_RECORD = "run.earlier.json"


class StoredRecord(NamedTuple):
    """A record and the file that it was read from."""

    file: Path
    record: RunRecord

    @property
    def name(self) -> str:
        """The name to show: a baseline's name, or else its file."""
        accepted = self.record.accepted
        return accepted.name if accepted else self.file.as_posix()

    @property
    def is_edited(self) -> bool:
        """Whether the file was edited after slimgate wrote it."""
        return is_edited(self.file)

    @property
    def at(self) -> str:
        """When it became a baseline; for a run that is not a baseline, when it ran."""
        return self.record.accepted.at if self.record.accepted else self.record.created

    def find_model(self, name: str) -> VariantRecord:
        """The teacher or variant of that name. Raises DataError that names the nearest."""
        names = [model.name for model in self.record.variants]
        if name not in names:
            raise DataError(f'{self.file}: no variant "{name}"{format_suggestion(name, names)}')
        return self.record.variant(name)

    def make_outcomes_path(self, model: str) -> Path:
        """The path of the model's answers on the gate rows, if they were kept."""
        return self.file.parent / OUTCOMES / f"{model}.parquet"

    def make_log_path(self, model: str) -> Path:
        """The path of the log of a model that could not be built or measured."""
        return self.file.parent / make_model_log_path(model)


def make_model_log_path(model: str) -> str:
    """The path of the log of a model that could not be built or measured, relative to its record."""
    return f"{LOGS}/{model}.log"


def find_record_file(path: Path) -> Path:
    """The run.json itself, of a path to it or to its folder. Raises DataError if there is none."""
    file = path / RECORD if path.is_dir() else path
    if file.is_file():
        return file
    below = sorted(record.parent.as_posix() for record in path.glob(f"*/{RECORD}"))
    hint = f"; below it are {', '.join(below)}" if below else ""
    if (path / EARLIER_RECORD).is_file():
        hint = f"; the last run could not judge this suite, and {EARLIER_RECORD} is of an earlier run"
    elif not path.exists() and path.parent.is_dir():
        hint = did_you_mean(path.name, [entry.name for entry in path.parent.iterdir()])
    raise DataError(f"{file}: no such file, expected a run.json or the folder that holds it{hint}")


def digest_base_logs(folder: Path) -> dict[str, str]:
    """The SHA-256 of each log of the base next to a record, by the name of its file."""
    files = (folder / BASE_LOG, *sorted(folder.glob(FURTHER_BASE_LOGS)))
    return {file.name: file_sha256(file) for file in files if file.is_file()}


def check_base_logs(run: StoredRecord) -> None:
    """Raises DataError if the logs of the base next to a record are not those that it judged."""
    stated = run.record.task.source.get(BASE_LOGS)
    if stated is None:
        return
    if not isinstance(stated, dict):
        raise DataError(
            f"{run.file}: {BASE_LOGS} is {stated!r}, expected the digest of each log of the base; restore "
            "the whole folder of that run, or judge again"
        )
    folder = run.file.parent
    actual = digest_base_logs(folder)
    differing = [name for name in {*stated, *actual} if stated.get(name) != actual.get(name)]
    if differing:
        raise DataError(
            f"{folder / min(differing)}: it is not the log of the base that {run.file} judged; restore the "
            "whole folder of that run, or judge again"
        )


def read_run(file: Path) -> RunRecord:
    """The record of a run.json. Raises DataError if it does not have this schema."""
    try:
        record = read_record(file)
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror}") from error
    except ValidationError as error:
        raise DataError(
            f"{file}: not a run record of schema {SCHEMA}: {_describe_invalid_record(error)}"
        ) from error
    names = [model.name for model in record.variants]
    if names[:1] != [TEACHER] or len(set(names)) < len(names):
        actual = ", ".join(names) or "none"
        raise DataError(f"{file}: its variants are {actual}, expected {TEACHER} first, and each name once")
    paths = [name for name in (*names, PurePosixPath(record.suite.path).stem) if not _is_plain(name)]
    if paths:
        raise DataError(
            f"{file}: the name {paths[0]!r} cannot be the name of a file; expected a name without a path"
        )
    return record


def _is_plain(name: str) -> bool:
    """Whether a name of a record, which files and folders are named after, stays in its folder."""
    return name not in ("", ".", "..") and not {"/", "\\", "\0"} & set(name)


def _describe_invalid_record(error: ValidationError) -> str:
    """The place and the message of the first error. Another schema or other keys mean another version."""
    problems = error.errors()
    where = ".".join(map(str, problems[0]["loc"])) or "the file"
    more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
    schemas = [str(problem["input"]) for problem in problems if problem["loc"] == ("schema",)]
    is_of_other_version = any(schema.startswith("slimgate.run/") for schema in schemas) or all(
        problem["type"] == "extra_forbidden" for problem in problems
    )
    hint = "; another version of slimgate wrote it, so measure again" if is_of_other_version else ""
    return f"{where}: {problems[0]['msg']}{more}{hint}"


def read_record_file(path: Path) -> StoredRecord:
    """The record of a run.json or of the folder that holds it. Raises DataError if there is none."""
    file = find_record_file(path)
    return StoredRecord(file, read_run(file))


def read_suite_baselines(folder: Path, suite: str) -> list[StoredRecord]:
    """The records of a suite in a folder of baselines, or in one release of it, the oldest first.

    suite: its path as records have it. Raises DataError for a run.json that is no record.
    """
    return sorted(
        (run for run in read_records_in(folder) if run.record.suite.path == suite), key=lambda run: run.at
    )


def read_earlier_releases(record: RunRecord, baseline: Path) -> list[StoredRecord]:
    """The releases of a run's suite next to its baseline, the oldest first, if they can be read.

    Args:
        record: of the run.
        baseline: its baseline's run.json. Only a baseline of `slimgate accept` has others next to it.
    """
    if not baseline.is_file():
        return []
    try:
        accepted = read_run(baseline).accepted
        if accepted is None or baseline.parent.parent.name != accepted.name:
            return []
        releases = read_suite_baselines(baseline.parents[2], record.suite.path)
    except DataError:  # another record in the folder is damaged, which is not the fault of this run
        return []
    return [release for release in releases if release.record.created < record.created]


def read_records_in(folder: Path) -> list[StoredRecord]:
    """All records in a folder of baselines, or in one release of it. Raises DataError for a bad record."""
    files = {*folder.glob(f"*/{RECORD}"), *folder.glob(f"*/*/{RECORD}")}
    # The remains of an interrupted `accept` begin with a dot.
    shown = [
        file
        for file in sorted(files)
        if not any(part.startswith(".") for part in file.relative_to(folder).parts)
    ]
    return [StoredRecord(file, read_run(file)) for file in shown]

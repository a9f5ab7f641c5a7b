"""Records as runs of an MLflow experiment: one a suite, and below it one for each model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from slimgate._system.digests import file_sha256
from slimgate.errors import DataError, MissingExtra
from slimgate.record import RunRecord
from slimgate.record.files import Kept
from slimgate.record.record_mlflow import LoggedRun, model_runs, suite_run

# The sha256 of the run.json, set when all of it is logged.
RECORD_TAG = "slimgate.record"
_REPORT = "report.md"
_PARENT = "mlflow.parentRunId"
# What MLflow takes at once.
_METRICS = 1000


class Experiment:
    """An experiment of a tracking server or store, which is made where it is new.

    uri: None for what MLflow itself would use. Raises MissingExtra without mlflow, DataError where the store
    refuses.
    """

    def __init__(self, name: str, uri: str | None = None) -> None:
        try:
            import mlflow
        except ImportError as error:
            raise MissingExtra('slimgate mlflow needs an extra: pip install "slimgate[mlflow]"') from error
        self.name = name
        with _told():
            self._client: Any = mlflow.MlflowClient(tracking_uri=uri)
            found = self._client.get_experiment_by_name(name)
            self._id = found.experiment_id if found else self._client.create_experiment(name)

    def logged(self, kept: Kept) -> str | None:
        """The id of the run as which this very run.json was logged before; deleted ones do not count."""
        wanted = f"tags.`{RECORD_TAG}` = '{file_sha256(kept.file)}'"
        with _told():
            found = self._client.search_runs([self._id], filter_string=wanted, max_results=1)
        return found[0].info.run_id if found else None

    def log(self, kept: Kept) -> str:
        """Logs the record, and run.json and report.md with it; gives the id of the suite's run."""
        times = _times(kept.record)
        with _told():
            parent = self._log(suite_run(kept.record), times)
            for run in model_runs(kept.record):
                self._end(self._log(run, times, {_PARENT: parent}), times, failed=run.failed)
            for file in (kept.file, kept.file.parent / _REPORT):
                if file.is_file():
                    self._client.log_artifact(parent, str(file))
            self._client.set_tag(parent, RECORD_TAG, file_sha256(kept.file))
            self._end(parent, times)
        return parent

    def _log(
        self, run: LoggedRun, times: tuple[int, int] | None, more: Mapping[str, str] | None = None
    ) -> str:
        from mlflow.entities import Metric, Param

        start, end = times or (None, 0)
        tags = {**run.tags, **(more or {})}
        made = self._client.create_run(self._id, start_time=start, tags=tags, run_name=run.name)
        run_id: str = made.info.run_id
        metrics = [Metric(name, value, end, 0) for name, value in run.metrics.items()]
        self._client.log_batch(run_id, params=[Param(*param) for param in run.params.items()])
        for first in range(0, len(metrics), _METRICS):
            self._client.log_batch(run_id, metrics=metrics[first : first + _METRICS])
        return run_id

    def _end(self, run_id: str, times: tuple[int, int] | None, *, failed: bool = False) -> None:
        end = times[1] if times else None
        self._client.set_terminated(run_id, "FAILED" if failed else "FINISHED", end)


def _times(record: RunRecord) -> tuple[int, int] | None:
    """When the run began and ended, in milliseconds; None where the record does not tell in ISO's words."""
    try:
        end = datetime.fromisoformat(record.created).timestamp()
    except ValueError:
        return None
    return int((end - (record.seconds or 0)) * 1000), int(end * 1000)


@contextmanager
def _told() -> Iterator[None]:
    """What MLflow refuses, or cannot reach, in one line."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (MlflowException, OSError) as error:
        told = " ".join(str(error).split())
        raise DataError(f"MLflow: {told}") from error

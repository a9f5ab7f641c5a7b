"""Records as runs of an MLflow experiment: a run for each suite, with a run for each model below it.

The runs hold the record as params, metrics and tags:

    metrics  latency/b1/p50_ms, metric/accuracy/drop_points     the figures of `slimgate lines`
    tags     slimgate.verdict = FAIL, partial                   over all budgets of the model
             slimgate.verdict.metric/accuracy = PASS
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NamedTuple

from slimgate._system.digests import digest_json, file_sha256
from slimgate._system.escape import cut_end
from slimgate._system.requirements import import_extra
from slimgate.errors import DataError, to_one_line
from slimgate.record.files import StoredRecord
from slimgate.record.lines import Line, make_lines
from slimgate.record.run import RunRecord, VariantRecord
from slimgate.record.shipping import format_model_status

# The sha256 of the run.json, set when the whole record is logged.
RECORD_TAG = "slimgate.record"
_REPORT = "report.md"
_PARENT = "mlflow.parentRunId"
# The largest number of metrics that MLflow accepts in one call.
_MAX_METRICS_IN_CALL = 1000
# The longest param or tag that every MLflow accepts. 3.17 accepts 6,000 for a param, and 8,000 for a tag.
_MAX_TEXT_CHARACTERS = 5000
_DROPS = (
    *("drop", "drop_low", "drop_high"),
    *("builds_drop", "builds_drop_low", "builds_drop_high", "builds_drop_sd"),
)


class Experiment:
    """An experiment of a tracking server or store, created if it is new.

    uri: None for the default of MLflow. Raises MissingExtra without mlflow, DataError if the store refuses.
    """

    def __init__(self, name: str, uri: str | None = None) -> None:
        mlflow = import_extra("mlflow", "mlflow", "slimgate mlflow")
        self.name = name
        with _explain_errors():
            self._client: Any = mlflow.MlflowClient(tracking_uri=uri)
            experiment = self._client.get_experiment_by_name(name)
            self._id = experiment.experiment_id if experiment else self._client.create_experiment(name)

    def find_run(self, run: StoredRecord) -> str | None:
        """The id of the run as which this run.json was logged before; deleted runs do not count."""
        query = f"tags.`{RECORD_TAG}` = '{file_sha256(run.file)}'"
        with _explain_errors():
            runs = self._client.search_runs([self._id], filter_string=query, max_results=1)
        return runs[0].info.run_id if runs else None

    def log(self, run: StoredRecord) -> str:
        """Logs the record, with run.json and report.md; returns the id of the suite's run."""
        times = _find_run_times(run.record)
        with _explain_errors():
            parent = self._log(make_suite_run(run.record), times)
            for model_run in make_model_runs(run.record):
                run_id = self._log(model_run, times, {_PARENT: parent})
                self._end(run_id, times, failed=model_run.failed)
            for file in (run.file, run.file.parent / _REPORT):
                if file.is_file():
                    self._client.log_artifact(parent, str(file))
            self._client.set_tag(parent, RECORD_TAG, file_sha256(run.file))
            self._end(parent, times)
        return parent

    def _log(self, run: LoggedRun, times: RunTimes | None, more_tags: Mapping[str, str] | None = None) -> str:
        """Creates a run with its params, metrics and tags, and returns its id. The run has not ended."""
        from mlflow.entities import Metric, Param

        start, end = (times.start_ms, times.end_ms) if times else (None, 0)
        tags = {**run.tags, **(more_tags or {})}
        created = self._client.create_run(self._id, start_time=start, tags=tags, run_name=run.name)
        run_id: str = created.info.run_id
        metrics = [Metric(name, value, end, 0) for name, value in run.metrics.items()]
        self._client.log_batch(run_id, params=[Param(*param) for param in run.params.items()])
        for first in range(0, len(metrics), _MAX_METRICS_IN_CALL):
            self._client.log_batch(run_id, metrics=metrics[first : first + _MAX_METRICS_IN_CALL])
        return run_id

    def _end(self, run_id: str, times: RunTimes | None, *, failed: bool = False) -> None:
        end = times.end_ms if times else None
        self._client.set_terminated(run_id, "FAILED" if failed else "FINISHED", end)


class RunTimes(NamedTuple):
    """When a run began and ended, in milliseconds since the epoch."""

    start_ms: int
    end_ms: int


def _find_run_times(record: RunRecord) -> RunTimes | None:
    """When the run began and ended; None if the record has no ISO time."""
    try:
        end = datetime.fromisoformat(record.created).timestamp()
    except ValueError:
        return None
    return RunTimes(int((end - (record.seconds or 0)) * 1000), int(end * 1000))


@contextmanager
def _explain_errors() -> Iterator[None]:
    """Turns an error of MLflow, or of the connection to it, into one line."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (MlflowException, OSError) as error:
        text = to_one_line(error)
        raise DataError(f"MLflow: {text}") from error


class LoggedRun(NamedTuple):
    """The content of one MLflow run."""

    name: str
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    failed: bool = False


def make_suite_run(record: RunRecord) -> LoggedRun:
    """The run over all models: what was judged, on which rows and machine, and the result."""
    gate, verdict = record.task.splits.get("gate"), record.verdict
    params = {
        **_list_suite_params(record),
        "task": record.task.kind,
        "gate_rows": None if gate is None else str(gate.n),
        "gate_digest": record.task.find_digest("gate"),
        "device": record.machine.device,
        "cpu": record.machine.cpu,
        "slimgate": record.slimgate,
    }
    counts = ("passed", "failed", "inconclusive", "errors", "not_gated", "missing", "carried")
    tags = {
        "slimgate.status": verdict.status,
        "slimgate.release": record.accepted.name if record.accepted else None,
        "mlflow.note.content": "\n\n".join([record.suite.title, *verdict.messages]),
    }
    metrics = {f"budgets/{name}": float(getattr(verdict, name)) for name in counts}
    return LoggedRun(record.suite.path, _shorten_values(params), metrics, _shorten_values(tags))


def make_model_runs(record: RunRecord) -> list[LoggedRun]:
    """A run for each model, the teacher first. failed: it could not be built or measured."""
    lines: dict[str, list[Line]] = {model.name: [] for model in record.variants}
    for line in make_lines(record):
        lines[line.variant].append(line)
    return [_make_model_run(record, model, lines[model.name]) for model in record.variants]


def _make_model_run(record: RunRecord, model: VariantRecord, lines: list[Line]) -> LoggedRun:
    params = {
        **_list_suite_params(record),
        "parent": model.parent,
        "twin": model.twin,
        "steps": _format_steps(model),
        "artifact_digest": model.artifact.digest if model.artifact else None,
        "runtime": model.artifact.runtime if model.artifact else None,
    }
    lines_by_path = list(zip(_make_paths(lines), lines, strict=True))
    tags = {
        "slimgate.gated": str(model.gated).lower(),
        "slimgate.verdict": format_model_status(record, model),
        "slimgate.error": model.error,
        **{f"slimgate.verdict.{path}": line.verdict for path, line in lines_by_path},
        **{f"slimgate.budgets.{path}": line.budgets for path, line in lines_by_path},
    }
    metrics = {
        name: value for path, line in lines_by_path for name, value in _list_line_figures(path, line).items()
    }
    return LoggedRun(
        model.name, _shorten_values(params), metrics, _shorten_values(tags), failed=model.error is not None
    )


def _list_suite_params(record: RunRecord) -> dict[str, str]:
    """The params that every run of the suite has, so that a search finds all of them."""
    suite = record.suite
    return {"suite": suite.path, "suite_digest": suite.digest, "seeds": json.dumps(suite.seeds)}


def _format_steps(model: VariantRecord) -> str:
    """The steps from the parent on, in the form of a suite but in JSON."""
    steps = [{step.name: step.params if step.given is None else step.given} for step in model.steps]
    return json.dumps(steps, ensure_ascii=False)


def _list_line_figures(path: str, line: Line) -> dict[str, float]:
    """The line's figures. `drop_low` in points becomes `metric/accuracy/drop_points_low`."""
    values = line.model_dump()
    return {
        f"{path}/{_name_column(name, line)}": float(value)
        for name, value in values.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _name_column(name: str, line: Line) -> str:
    return name.replace("drop", f"drop_{line.drop_unit}") if name in _DROPS else name


def _make_paths(lines: Sequence[Line]) -> list[str]:
    """The path of each line, such as `latency/b32x64`. Two lines with the same path get a digest each.

    Names such as those of slices may differ only in characters that MLflow does not allow.
    """
    paths = [_make_path(line) for line in lines]
    shared = {path for path, count in Counter(paths).items() if count > 1}
    return [
        f"{path}-{digest_json([line.kind, line.name])[:8]}" if path in shared else path
        for path, line in zip(paths, lines, strict=True)
    ]


def _make_path(line: Line) -> str:
    """The kind and name of a line in characters that MLflow allows everywhere."""
    parts = [line.kind] if line.name is None else [line.kind, line.name]
    return "/".join(re.sub(r"[^A-Za-z0-9_. -]", "_", part) for part in parts)


def _shorten_values(values: Mapping[str, str | None]) -> dict[str, str]:
    """The params or tags that are not None, cut to the length that MLflow accepts."""
    return {name: cut_end(text, _MAX_TEXT_CHARACTERS) for name, text in values.items() if text is not None}

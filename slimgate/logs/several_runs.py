"""Several runs of one model as one side of a verdict: their samples joined, with the scores of each run.

Runs come as separate files (`--base A1 A2 A3`), as the runs of one folder (`--run all`), or as the epochs of
one log (`--same-id runs`). Runs of a side must share the same settings as base and target, except the seed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from slimgate._system.number_text import format_count
from slimgate.errors import DataError, list_names
from slimgate.logs.columns import Samples
from slimgate.logs.find import read_log
from slimgate.logs.predictions.codes import find_ids, list_missing, sort_by_id
from slimgate.logs.predictions.files import EXAMPLES
from slimgate.logs.row_groups import join_run_groups
from slimgate.logs.rules import Differences
from slimgate.logs.runs import check_one_model
from slimgate.logs.same_run import is_copy, is_same_run
from slimgate.logs.sample_fields import Field, Value
from slimgate.outcomes import Floats, Ints
from slimgate.plugins.reader import (
    GENERATION,
    TASK_ARGS,
    TASKS,
    Log,
    Row,
    TaskLog,
    name_further_epoch,
    split_epoch,
)

# Names of the seed of a generation; runs of one model differ in it.
_SEEDS = ("seed", "seeds", "random_seed")

ONE_RUN = (
    "one run of each: the intervals do not contain what changes from run to run (server, batches, seed); "
    "give several: --base A1 A2 … --target B1 B2 …, or a list in a suite"
)

EPOCHS_OF_ONE_RUN = (
    "epochs of one run of each: the intervals contain what changes between the answers to a sample, and not "
    "from run to run (server, batches); if each epoch is a run of its own, add --same-id runs"
)


def read_side(paths: Sequence[Path], reader_name: str | None = None) -> Log:
    """The log of one run, or of several runs of one model. reader_name: as in `read_log`.

    Raises DataError for runs of two models, and for a file that is a copy of another.
    """
    for path, other in combinations(paths, 2):
        if path.exists() and other.exists() and (path.samefile(other) or is_copy(path, other)):
            raise DataError(
                f"{other}: it is the same as {path}{'' if path.samefile(other) else ', byte by byte'}, so "
                "it is not another run; a model that always gives the same answers needs one run"
            )
    logs = [read_log(path, reader_name) for path in paths]
    for log, other_log in combinations(logs, 2):
        if is_same_run(log, other_log):
            raise DataError(
                f"{other_log.shown}: it has the same rows as {log.shown}, so it is not another run; a model "
                "that always gives the same answers needs one run"
            )
    return join_logs(logs)


def join_logs(logs: Sequence[Log]) -> Log:
    """The first log, with the others as its further runs. Raises DataError for two models."""
    check_one_model(logs)
    further = [run for log in logs[1:] for run in (replace(log, further=()), *log.further)]
    return replace(logs[0], further=(*logs[0].further, *further))


def number_epochs(log: Log) -> Log:
    """The log and its further runs, in which rows of the same id are epochs of one sample."""
    tasks = {name: _number_task_epochs(task) for name, task in log.tasks.items()}
    return replace(log, tasks=tasks, further=tuple(map(number_epochs, log.further)))


def convert_epochs_to_runs(log: Log) -> Log:
    """The epochs of a log as separate runs. A side of several runs, such as a kept base, stays as it is.

    Raises DataError if each sample has only one epoch, if a task lacks an epoch of another, and for epochs
    in a side of several runs.
    """
    numbered = number_epochs(log)
    if log.further:
        for run in (numbered, *numbered.further):
            if any(len(epochs) > 1 for epochs in _list_epochs(run).values()):
                raise DataError(
                    f"{run.shown}: --same-id runs reads the rows of one log as runs, but several runs were "
                    "given for this side; give one log"
                )
        return log
    epochs_of = _list_epochs(numbered)
    epochs = sorted(set().union(*epochs_of.values()))
    if len(epochs) < 2:
        raise DataError(
            f"{log.shown}: --same-id runs was given, but no id occurs twice; expected a row for each "
            "sample and run"
        )
    _require_same_epochs(log.shown, epochs_of)
    runs = [
        replace(
            log,
            shown=f"{log.shown} (epoch {epoch})",
            tasks={name: _select_epoch(task, epoch) for name, task in numbered.tasks.items()},
        )
        for epoch in epochs
    ]
    return replace(runs[0], further=tuple(runs[1:]))


def _require_same_epochs(shown: str, epochs_of: Mapping[str, set[int]]) -> None:
    """Raises DataError if a task lacks an epoch of another. epochs_of: by task."""
    names = sorted(epochs_of, key=lambda name: len(epochs_of[name]))
    if epochs_of[names[0]] == set().union(*epochs_of.values()):
        return
    counts = " and ".join(
        f"task {name} has {format_count(len(epochs_of[name]), 'epoch', 'epochs')}"
        for name in (names[0], names[-1])
    )
    raise DataError(
        f"{shown}: --same-id runs was given, but {counts}; expected the same epochs in every task, because "
        "each epoch is a run; leave --same-id out, or judge these tasks separately"
    )


def _number_task_epochs(task: TaskLog) -> TaskLog:
    """The task whose rows of the same id and filter are epochs of one sample, in the order of the file."""

    def rows() -> Iterator[Row]:
        seen: dict[tuple[str, str], int] = {}
        for row in task.rows():
            key = row.filter, row.id
            seen[key] = epoch = seen.get(key, 0) + 1
            yield replace(
                row,
                id=name_further_epoch(row.id, epoch),
                cluster=row.id if row.cluster is None else row.cluster,
            )

    return replace(task, rows=rows)


def _list_epochs(log: Log) -> dict[str, set[int]]:
    """The numbers of the epochs of each task."""
    return {name: {split_epoch(row.id)[1] for row in task.rows()} for name, task in log.tasks.items()}


def _select_epoch(task: TaskLog, epoch: int) -> TaskLog:
    def rows() -> Iterator[Row]:
        for row in task.rows():
            sample, number = split_epoch(row.id)
            if number == epoch:
                yield replace(row, id=sample, cluster=None if row.cluster == sample else row.cluster)

    samples = dict.fromkeys(sample for sample, number in map(split_epoch, task.ids) if number == epoch)
    # the tool's count and means are over all epochs
    return replace(task, rows=rows, samples=None, means={}, ids=tuple(samples))


def list_tasks(names: Sequence[str]) -> str:
    """The names of tasks in a sentence, such as `the tasks a, b and 3 more`."""
    return f"the {'task' if len(names) == 1 else 'tasks'} {list_names(names, EXAMPLES)}"


def select_tasks_of_all(log: Log, differences: Differences) -> Log:
    """The log without tasks that one of its runs lacks; these become a difference."""
    for run in log.further:
        for lacking, other in ((run, log), (log, run)):
            if names := [name for name in other.tasks if name not in lacking.tasks]:
                differences.add(
                    TASKS, "", f"{lacking.shown} lacks {list_tasks(names)}, which {other.shown} has"
                )
    tasks = {name: task for name, task in log.tasks.items() if all(name in run.tasks for run in log.further)}
    return replace(log, tasks=tasks)


def describe_runs(base: Log, target: Log, *, has_epochs: bool) -> str:
    """A note on the number of runs, and on whether the intervals include the variation of whole runs."""
    counts = [1 + len(log.further) for log in (base, target)]
    if max(counts) == 1:
        return EPOCHS_OF_ONE_RUN if has_epochs else ONE_RUN
    shown = [", ".join(run.shown for run in (log, *log.further)) for log in (base, target)]
    note = (
        f"{counts[0]} and {counts[1]} runs, crossed with the samples; the intervals contain both: base "
        f"{shown[0]}; target {shown[1]}"
    )
    for side, other, count in zip(("base", "target"), ("target", "base"), counts, strict=True):
        if count == 1:
            note += f"; the {side} has one run, and is taken to vary from run to run as the {other} does"
    return note


def drop_seeds(task: TaskLog) -> TaskLog:
    """The task without the seeds in its settings."""
    settings = {
        name: {key: value for key, value in setting.items() if key not in _SEEDS}
        if name in (GENERATION, TASK_ARGS) and isinstance(setting, Mapping)
        else setting
        for name, setting in task.settings.items()
    }
    return replace(task, settings=settings)


def join_samples(runs: Sequence[Samples]) -> Samples:
    """The samples of all runs of a side, with their mean scores, and in `runs` those of each run.

    A sample that lacks a score in one run has none. Its other values come from the first run that has it.
    """
    if len(runs) == 1:
        return runs[0]
    ids, firsts = _join_ids(runs)
    places = [find_ids(ids, run.ids) for run in runs]
    metrics = dict.fromkeys(metric for run in runs for metric in run.scores)
    scores = {
        metric: np.stack([_select_scores(run, metric, at) for run, at in zip(runs, places, strict=True)])
        for metric in metrics
    }
    keys = dict.fromkeys(name for run in runs for name in run.keys)
    return Samples(
        ids=ids,
        order=sort_by_id(ids),
        scores={metric: lines.mean(axis=0) for metric, lines in scores.items()},
        empty=_join_empty(runs, ids),
        keys={name: _join_keys([run.keys.get(name) for run in runs], places) for name in keys},
        answers=None,
        clusters=join_run_groups([run.clusters for run in runs], places),
        errors=_count_flags([run.errors for run in runs], places),
        truncated=_count_flags([run.truncated for run in runs], places),
        not_numbers={name: sum(run.not_numbers.get(name, 0) for run in runs) for name in runs[0].not_numbers},
        rows=partial(_read_first_rows, runs, firsts),
        # a figure of sums is refused when it is judged
        sizes={
            metric: np.where(at >= 0, sizes[at], np.nan)
            for run, at in zip(runs, places, strict=True)
            for metric, sizes in run.sizes.items()
        },
        fields={name: _join_field([run.fields[name] for run in runs], places) for name in runs[0].fields},
        runs=scores,
        same_answers=_mark_same_answers(runs, places),
    )


def _read_first_rows(runs: Sequence[Samples], firsts: Sequence[int]) -> Iterator[Row]:
    """The row of each sample in the first run that has it, in the order of `_join_ids`."""
    known: set[str] = set()
    for run, count in zip(runs, firsts, strict=True):
        for row in run.rows() if count else ():
            if row.id not in known:
                known.add(row.id)
                yield row


def _count_flags(columns: Sequence[npt.NDArray[np.uint8]], places: Sequence[Ints]) -> npt.NDArray[np.uint8]:
    """(samples,) in how many runs a flag of the sample is set. columns: the flags of each run."""
    flags = [np.where(at >= 0, column[at], 0) for column, at in zip(columns, places, strict=True)]
    counts: npt.NDArray[np.uint8] = np.sum(flags, axis=0).astype(np.uint8)
    return counts


def _join_ids(runs: Sequence[Samples]) -> tuple[pa.Array, list[int]]:
    """All ids, and the number of ids that each run is the first to have."""
    ids, firsts = runs[0].ids, [len(runs[0])]
    for run in runs[1:]:
        new = list_missing(run.ids, ids)
        firsts.append(len(new))
        if len(new):
            ids = pa.concat_arrays([ids, new])
    return ids, firsts


def _join_keys(columns: Sequence[Ints | None], places: Sequence[Ints]) -> Ints:
    """(samples,) the digest of the first run that has one, 0 if none has. columns: None for a run without."""
    joined = np.zeros(len(places[0]), np.int64)
    for column, at in zip(columns, places, strict=True):
        if column is not None:
            joined = np.where((joined == 0) & (at >= 0), column[at], joined)
    return joined


def _join_field(columns: Sequence[Field], places: Sequence[Ints]) -> Field:
    """A field with the value of the first run that has one. columns: the field in each run."""
    codes, values = np.full(len(places[0]), -1), list[Value]()
    for column, at in zip(columns, places, strict=True):
        of_run = np.where(at >= 0, column.codes[at], -1)
        codes = np.where((codes < 0) & (of_run >= 0), of_run + len(values), codes)
        values += column.values
    return Field(codes, values)


def _select_scores(run: Samples, metric: str, places: Ints) -> Floats:
    if metric not in run.scores:
        return np.full(len(places), np.nan)
    return np.where(places >= 0, run.scores[metric][places], np.nan)


def _join_empty(runs: Sequence[Samples], ids: pa.Array) -> Mapping[str, Ints] | None:
    """As `Samples.empty`: samples that lack a required score in any of the runs."""
    if any(run.empty is None for run in runs):
        return None
    names = dict.fromkeys(name for run in runs for name in run.empty or {})
    joined = {}
    for name in names:
        parts = [
            find_ids(run.ids.take(pa.array(run.empty[name])), ids)
            for run in runs
            if run.empty is not None and name in run.empty
        ]
        joined[name] = np.unique(np.concatenate(parts))
    return joined


def _mark_same_answers(runs: Sequence[Samples], places: Sequence[Ints]) -> npt.NDArray[np.bool_] | None:
    """(samples,) whether all runs hold the same answer, so that only its score was computed again."""
    if any(run.answers is None for run in runs):
        return None
    answers = [
        np.where(at >= 0, np.asarray(run.answers)[at], -1) for run, at in zip(runs, places, strict=True)
    ]
    same: npt.NDArray[np.bool_] = np.all([line == answers[0] for line in answers], axis=0)
    return same & (answers[0] > 0)

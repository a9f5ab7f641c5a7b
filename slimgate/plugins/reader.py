"""What the log of an evaluation tool says: its tasks, and of each sample the scores.

    Log       one run of a tool: a name for the model, and its tasks
    Run       a run of a log that holds several, of which one is chosen
    TaskLog   one task: its rows, read again at each call, and the settings that two runs must share
    Row       one sample under one filter

A load test of a server has loads in place of tasks:

    LoadRun      one load: its requests, and the settings that two tests must share
    LoadRequest  the times of one request

Readers (`slimgate/logs/readers/`) give these; nothing here knows a tool.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from slimgate.plugins.environments import Environment

# What two logs must share to be compared; `--allow NAME` accepts a difference.
DOCUMENT, PROMPT, TARGET = "document", "prompt", "target"
PER_SAMPLE = (DOCUMENT, PROMPT, TARGET)
SETTINGS = ("shots", "limit", "chat_template", "version", "generation", "filters")
# What a message calls them.
SETTING_WORDS = {
    "chat_template": "chat template",
    "version": "task version",
    "generation": "generation settings",
}
TASKS, METRICS = "tasks", "metrics"
COMPARED = (TASKS, METRICS, *PER_SAMPLE, *SETTINGS)
# The log of a base, as it is kept beside a record.
BASE_LOG = "base.parquet"
# Of the further runs of a base.
FURTHER_BASE_LOGS = "base-*.parquet"
# What two load tests must share; `--allow NAME` accepts a difference.
LOAD = "load"
OF_LOADS = (LOAD, PROMPT)
# What a reader may raise where a value of a log is not of the kind that its tool writes.
NOT_AS_WRITTEN = (KeyError, IndexError, TypeError, AttributeError, ValueError, OverflowError)


# What the sums of scores and sizes make: exp(scores / sizes), or the ratio itself.
CorpusKind = Literal["perplexity", "rate"]


class Digest(int):
    """48 bits of a text that is kept no more."""


_EPOCH = re.compile(r"(.*) epoch ([1-9]\d*)", re.DOTALL)


def name_epoch(sample: str, epoch: object) -> str:
    """The id of a row that is one epoch of a sample."""
    return f"{sample} epoch {epoch}"


def split_epoch(name: str) -> tuple[str, int]:
    """The sample and the epoch of an id; 1 where it names none."""
    match = _EPOCH.fullmatch(name)
    return (name, 1) if match is None else (match[1], int(match[2]))


@dataclass(frozen=True, slots=True)
class Row:
    """One sample as one filter scored it.

    id: what names it in its task, the same in both logs; the epoch of a repeated sample is part of it.
    scores: by metric; None, or no entry, where the tool has none. keys: by a name of PER_SAMPLE the text or
    hash that must be the same in both logs, or its digest. cluster: equal for rows that are not independent,
    such as the epochs of one sample; None where each row stands alone. error: why the tool has no answer.
    not_numbers: metrics whose value is a list or a text here. prompt, answer, target: to quote.
    answer_digest, answer_characters: of the whole answer, where `answer` is only its beginning. truncated:
    whether the answer was cut off at the limit of its length; None where the log does not say it.
    answer_tokens: the completion tokens that the tool counted. sizes: by metric whose figure is a ratio of
    two sums, of how much the score is the sum, such as the nats of so many words. fields: what else the log
    says of the sample, such as its category, by which samples are sliced; nothing that the model wrote.
    """

    id: str
    scores: Mapping[str, float | None]
    filter: str = ""
    keys: Mapping[str, str | Digest] = field(default_factory=dict)
    cluster: str | None = None
    error: str | None = None
    truncated: bool | None = None
    not_numbers: tuple[str, ...] = ()
    prompt: str | None = None
    answer: str | None = None
    target: str | None = None
    answer_digest: Digest | None = None
    sizes: Mapping[str, float] = field(default_factory=dict)
    fields: Mapping[str, Any] | None = None
    answer_tokens: float | None = None
    answer_characters: int | None = None


@dataclass(frozen=True, eq=False)
class RowColumns:
    """The rows of a task under one filter, as columns. Arrays are (rows,).

    ids: Arrow large_string, none of them empty. scores: by metric float64, NaN where there is none. keys: by
    a name of PER_SAMPLE digests, int64, 0 where a row has none. answers: digests, or None where there are
    none.
    """

    ids: Any
    scores: Mapping[str, Any]
    keys: Mapping[str, Any] = field(default_factory=dict)
    answers: Any = None


class ColumnRows(ABC):
    """`TaskLog.rows` of a file of columns, which need not become a Python object for each row."""

    @abstractmethod
    def __call__(self) -> Iterator[Row]:
        """The rows one by one."""

    @abstractmethod
    def read_columns(self) -> RowColumns | None:
        """All rows at once; None if they have to be read one by one, such as for a message."""


@dataclass(frozen=True)
class TaskLog:
    """One task. rows(): a new iterator at each call, so that millions of rows need not be held.

    higher_is_better: by metric, of those that the log says it of. ranges: by metric the lowest and the
    highest score that a sample can have, where the tool says it; an end may be infinite. settings: by a name
    of SETTINGS, plain JSON values; what the log does not say is not there. optional_metrics: whether a metric
    may be of some samples only, such as an assertion of one test: then a row without an entry for it in
    `scores` is not of that metric. Otherwise, and where the entry is None, the row's score is missing.
    samples: how many the tool says that it ran, or None; a note names a log that holds fewer. ids: of the
    samples that the tool lists, where it does; a note names those that are not there. filters: of which the
    tool states a figure. corpus: by metric, of those that have `Row.sizes`, the figure of all samples. means:
    by filter and metric the mean or figure that the tool itself states; where all samples are there and have
    another, they are of another run, and the log is refused. most_tokens: the most tokens that an answer may
    have, where the log says it. written: whether answers are texts that the model wrote, and not choices.
    """

    rows: Callable[[], Iterator[Row]]
    higher_is_better: Mapping[str, bool] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    optional_metrics: bool = False
    samples: int | None = None
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    means: Mapping[tuple[str, str], float] = field(default_factory=dict)
    ids: tuple[str, ...] = ()
    filters: tuple[str, ...] = ()
    corpus: Mapping[str, CorpusKind] = field(default_factory=dict)
    most_tokens: int | None = None
    written: bool = True


@dataclass(frozen=True, slots=True)
class LoadRequest:
    """One request of a load test, in milliseconds since it was sent; None where the tool has no such time.

    first: until the first token; between: the mean from one token to the next; total: until the answer is
    complete. prompt_tokens, tokens: of the prompt and of the answer. failed: why it has no answer; then it
    has no times.
    """

    first: float | None = None
    between: float | None = None
    total: float | None = None
    prompt_tokens: int | None = None
    tokens: int | None = None
    failed: str | None = None


@dataclass(frozen=True)
class LoadRun:
    """A server under one load.

    requests: in the order in which they were sent, the failed ones among them. settings: of the load, plain
    JSON values. seconds: from the first request to the last answer. unfinished: requests that the end of the
    test cut off, which are not among the others.
    """

    requests: tuple[LoadRequest, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    seconds: float | None = None
    unfinished: int = 0


@dataclass(frozen=True)
class Run:
    """One run in a log that holds several.

    time: when it ran, as the tool writes it; later times sort later. tasks, model, notes: as of a Log.
    problem: why the run cannot be judged, in words; None where it can. environment: as of a Log.
    """

    time: str
    tasks: Mapping[str, TaskLog]
    model: str | None = None
    notes: tuple[str, ...] = ()
    problem: str | None = None
    environment: Environment = field(default_factory=dict)


@dataclass(frozen=True)
class Log:
    """One run of a tool. shown: the file or folder, for messages. notes: what is to be known.

    model: what the log calls the model, or None. loads: of a load test, by the name of the load; it has no
    tasks. time: when it ran, where the log says it. runs: where the file or folder holds several runs, all of
    them, the oldest first; then there are no tasks until a run is chosen (`--run`). models: where one file
    holds answers of several models, the log of each; then there are no tasks until one is chosen (`--model`).
    environment: what the run was made with, by an area of `environments.AREAS`: versions, settings, hardware.
    It refuses no comparison; `--explain-environment` shows what differs. further: more runs of the same
    model, which are judged together with this one.
    """

    tool: str
    shown: str
    tasks: Mapping[str, TaskLog]
    model: str | None = None
    notes: tuple[str, ...] = ()
    loads: Mapping[str, LoadRun] = field(default_factory=dict)
    time: str | None = None
    runs: tuple[Run, ...] = ()
    models: tuple[Log, ...] = ()
    environment: Environment = field(default_factory=dict)
    further: tuple[Log, ...] = ()


class Reader(ABC):
    """The base of readers: one file in `slimgate/logs/readers/`, or an entry point of slimgate.logs.

    class MyTool(Reader):
        def recognizes(self, path):
            return path.suffix == ".mytool"

        def read(self, path):
            return Log("mytool", str(path), {"task": TaskLog(lambda: rows_of(path))})

    reader = MyTool()
    """

    @abstractmethod
    def recognizes(self, path: Path) -> bool:
        """Whether a file or folder is a log of this tool, by a look at its beginning."""

    @abstractmethod
    def read(self, path: Path) -> Log:
        """The log. Raises DataError in one line, with the file, for what is wrong in it."""

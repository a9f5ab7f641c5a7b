"""The base class of readers of logs, and what they return.

    Log       one run of a tool: a name for the model, and its tasks
    Run       one run in a log that holds several; the user chooses one
    TaskLog   one task: its rows, and the settings that two runs must share
    Row       one sample, as one filter of the tool scored it

A log of a load test of a server has loads instead of tasks:

    LoadRun      one load: its requests, and the settings that two tests must share
    LoadRequest  the times of one request

A KL log, which holds a model and its base, has their differences instead of tasks:

    KlChunks     by chunks of text: KL, log-perplexity ratio, share of equal likeliest tokens

`slimgate/logs/readers/` has a reader for each tool. This module knows none of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from numbers import Real
from pathlib import Path
from typing import Any, Literal

from slimgate._system.error_places import has_users_line
from slimgate.errors import SlimgateError
from slimgate.plugins.environments import Environment

# What two logs must share to be compared; `--allow NAME` accepts a difference.
DOCUMENT, PROMPT, TARGET = "document", "prompt", "target"
PER_SAMPLE = (DOCUMENT, PROMPT, TARGET)
GENERATION, FILTERS, TASK_ARGS, SCORERS = "generation", "filters", "task_args", "scorers"
SETTINGS = ("shots", "limit", "chat_template", "version", GENERATION, FILTERS, TASK_ARGS, SCORERS)
# Words for messages.
SETTING_WORDS = {
    "chat_template": "chat template",
    "version": "task version",
    GENERATION: "generation settings",
    TASK_ARGS: "task arguments",
}
TASKS, METRICS = "tasks", "metrics"
COMPARED = (TASKS, METRICS, *PER_SAMPLE, *SETTINGS)
# The copy of the base's log next to a record, and the copies of further runs of the base.
BASE_LOG = "base.parquet"
FURTHER_BASE_LOGS = "base-*.parquet"
# What two load tests must share; `--allow NAME` accepts a difference.
LOAD, ANSWERS, UNFINISHED = "load", "answers", "unfinished"
COMPARED_IN_LOADS = (LOAD, PROMPT, ANSWERS, UNFINISHED)
# Why a request failed whose answer has no token.
EMPTY_ANSWER = "an answer of 0 tokens"
# Errors that a reader may raise if a value of a log has another type than its tool writes.
READ_ERRORS = (KeyError, IndexError, TypeError, AttributeError, ValueError, OverflowError)


def is_read_error(error: Exception) -> bool:
    """Whether an error is in READ_ERRORS, or is any other error of a user's reader."""
    is_of_reader = has_users_line(error) and not isinstance(error, SlimgateError)
    return isinstance(error, READ_ERRORS) or is_of_reader


# How a figure follows from the sums of scores and of sizes: exp(scores / sizes), or scores / sizes.
CorpusKind = Literal["perplexity", "rate"]
_EPOCH = " epoch "
_MOST_DIGITS = 9


class Digest(int):
    """48 bits of the digest of a text, which the copy of a base's log has in place of the text."""


def name_epoch(sample: str, epoch: int) -> str:
    """The id of a row that is one epoch of a sample. The first epoch may also have the id of the sample."""
    return f"{sample}{_EPOCH}{epoch}"


def name_further_epoch(sample: str, epoch: int) -> str:
    """As `name_epoch`, but the first epoch, 1, has the id of the sample."""
    return sample if epoch == 1 else name_epoch(sample, epoch)


def split_epoch(name: str) -> tuple[str, int]:
    """The sample and the epoch of an id; epoch 1 if the id names none."""
    sample, _, epoch = name.rpartition(_EPOCH)
    is_epoch = sample and epoch.isdecimal() and len(epoch) <= _MOST_DIGITS
    return (sample, int(epoch)) if is_epoch else (name, 1)


@dataclass(frozen=True, slots=True)
class Row:
    """One sample as one filter of the tool scored it.

    id: names the sample in its task, and is the same in both logs. A further answer to a sample has the id
        "SAMPLE epoch N", and the cluster SAMPLE.
    scores: metric -> score. None, or no entry: the tool has no score.
    keys: name in PER_SAMPLE -> text, hash or Digest that must be the same in both logs.
    cluster: the same for rows that depend on each other, such as the epochs of a sample; None: independent.
    error: why the tool has no answer.
    truncated: whether the answer was cut off at its length limit; None: the log does not say it.
    not_numbers: metrics whose value in this row is a list or a text.
    prompt, answer, target: texts to quote. `answer` may be only the beginning of the answer.
    answer_digest, answer_characters: of the whole answer, if `answer` is only its beginning. The characters
        are those of `response`, if there is one.
    answer_tokens: how many completion tokens the tool counted.
    response: what the model wrote, if `answer` is only what a filter of the tool took from it.
    sizes: metric -> size, for metrics whose figure is a ratio of two sums. For a perplexity, the score is the
        nats of the sample and the size is how many words they are the sum over.
    fields: other facts about the sample, such as its category. Slices use them. They hold nothing that the
        model wrote.
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
    response: str | None = None


@dataclass(frozen=True, eq=False)
class RowColumns:
    """The rows of a task under one filter, as columns. Arrays are (rows,).

    ids: Arrow large_string, none of them empty. scores: metric -> float64, NaN for no score.
    keys: name in PER_SAMPLE -> digests as int64, 0 for none. answers: digests; None if there are no answers.
    """

    ids: Any
    scores: Mapping[str, Any]
    keys: Mapping[str, Any] = field(default_factory=dict)
    answers: Any = None


class ColumnRows(ABC):
    """`TaskLog.rows` for a file of columns, which can be read without a Python object for each row."""

    @abstractmethod
    def __call__(self) -> Iterator[Row]:
        """The rows one by one."""

    @abstractmethod
    def read_columns(self) -> RowColumns | None:
        """All rows at once; None if they have to be read one by one."""


@dataclass(frozen=True)
class TaskLog:
    """One task of a log. A reader leaves out what the log does not say.

    rows(): gives a new iterator at each call, so that millions of rows need not be in memory.
    higher_is_better: metric -> whether higher is better, as the log states it.
    known_directions: metric -> whether higher is better, as the tool's documentation states it. The user may
        say the opposite.
    settings: name in SETTINGS -> plain JSON value. Of SCORERS, a mapping by scorer, those of both logs are
        compared.
    optional_metrics: whether a metric may belong to some samples only, such as an assertion of one test. Then
        a row without an entry in `scores` has no such metric. Otherwise its score is missing. An entry None
        is a missing score in both cases.
    samples: how many samples the tool says that it ran. A note says if the log has fewer.
    ranges: metric -> (lowest, highest) score that a sample can have; an end may be infinite.
    means: (filter, metric) -> the mean or figure that the tool states. If the log has all samples and another
        mean, the samples are of another run, and the log is refused.
    decimals: the fewest decimals to which the tool rounds a mean; None: it does not round them.
    ids: the samples that the tool lists. A note names those that the log lacks.
    filters: the filters for which the tool states a figure.
    corpus: metric -> how the figure of all samples is computed, for metrics with `Row.sizes`.
    most_tokens: the most tokens that an answer may have.
    written: whether the model wrote the answers, instead of choosing among given ones.
    shared_options: the settings of which only the options that both logs have are compared, because another
        version of the tool may write more of them, with their defaults.
    partial_settings: the settings of which the log states only some options. Only those that both logs state
        are compared.
    """

    rows: Callable[[], Iterator[Row]]
    higher_is_better: Mapping[str, bool] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    optional_metrics: bool = False
    samples: int | None = None
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    means: Mapping[tuple[str, str], float] = field(default_factory=dict)
    decimals: int | None = None
    ids: tuple[str, ...] = ()
    filters: tuple[str, ...] = ()
    corpus: Mapping[str, CorpusKind] = field(default_factory=dict)
    most_tokens: int | None = None
    written: bool = True
    known_directions: Mapping[str, bool] = field(default_factory=dict)
    shared_options: tuple[str, ...] = ()
    partial_settings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LoadRequest:
    """One request of a load test. Times are milliseconds since it was sent; None: the tool has no such time.

    first: until the first token. between: the mean from one token to the next. total: until the last token.
    prompt_tokens, tokens: how many tokens the prompt and the answer have.
    failed: why it has no answer; then it has no times.
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

    requests: in the order in which they were sent, with those that failed.
    settings: settings of the load, as plain JSON values. seconds: from the first request to the last answer.
    unfinished: how many more requests the end of the test cut off, or the client cancelled.
    users: how many requests may be open at once; None without such a limit. rate: requests a second; None if
        they do not arrive at a rate. Without both, all are sent at once, so their number is the load.
    generates: False if no request writes an answer, as in the prompt tests of llama-bench. Otherwise an
        answer of 0 tokens counts as a failed request.
    """

    requests: tuple[LoadRequest, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    seconds: float | None = None
    unfinished: int = 0
    users: int | None = None
    rate: float | None = None
    generates: bool = True

    def __post_init__(self) -> None:
        """Marks requests with an empty answer as failed.

        Raises TypeError for a time or a count that is no number, OverflowError if it is too large for a
        float, and ValueError for a count that is negative or not finite: lengths could not be compared.
        """
        times: list[object] = [self.seconds]
        counts: list[object] = [self.unfinished]
        for request in self.requests:
            times += request.first, request.between, request.total
            counts += request.prompt_tokens, request.tokens
        for value, is_count in (*((time, False) for time in times), *((count, True) for count in counts)):
            if value is None:
                continue
            if not isinstance(value, Real):
                raise TypeError(f"the time or count {value!r} of a load test is no number")
            number = float(value)
            if is_count and not 0 <= number < inf:
                raise ValueError(f"the count {number:g} of a load test is negative or not finite")
        if self.generates:
            requests = tuple(
                LoadRequest(prompt_tokens=request.prompt_tokens, failed=EMPTY_ANSWER)
                if request.failed is None and request.tokens == 0
                else request
                for request in self.requests
            )
            object.__setattr__(self, "requests", requests)


@dataclass(frozen=True, eq=False)
class KlChunks:
    """How a model's probabilities of the next token differ from its base's. A value for each chunk of text.

    kl: the mean KL(base || model) of the chunk's tokens, in nats.
    log_ratio: the mean log-probability of the text's tokens under the base, minus that under the model. This
        is the logarithm of the ratio of their perplexities.
    same_top: the share of tokens of which both find the same next token likeliest, 0 to 1.
    quantiles: of the KL of all tokens, named median, p99, p999 and maximum; those that the tool states.
    base_perplexity: of all tokens, if the tool states it. Another text or another base has another one.
    """

    kl: Sequence[float]
    log_ratio: Sequence[float]
    same_top: Sequence[float]
    quantiles: Mapping[str, float] = field(default_factory=dict)
    base_perplexity: float | None = None


@dataclass(frozen=True)
class Run:
    """One run in a log that holds several. tasks, model, notes and environment are those of a Log.

    time: when it ran, as the tool writes it. It must sort by time as text, or have its UTC offset.
    problem: why the run cannot be judged; None if it can.
    """

    time: str
    tasks: Mapping[str, TaskLog]
    model: str | None = None
    notes: tuple[str, ...] = ()
    problem: str | None = None
    environment: Environment = field(default_factory=dict)


@dataclass(frozen=True)
class Log:
    """One run of a tool.

    tool: the name of the reader. shown: the file or folder, for messages.
    tasks: name -> task. model: what the log calls the model.
    notes: sentences that the user should read.
    loads: name -> load, for a load test; then there are no tasks.
    kl: of a KL log; then there are no tasks.
    path: the file or folder, from which a record has its digest. slimgate sets it.
    time: when it ran, if the log says it.
    runs: all runs, the oldest first, if there are several. Then there are no tasks until the user chooses a
        run (`--run`).
    models: the log of each model, if one file has several. Then there are no tasks until the user chooses a
        model (`--model`).
    prompts: name of a prompt -> the log under this prompt alone, if the model answered under several. The
        user may choose one (`--model`); `tasks` has the rows of all.
    environment: area in `environments.AREAS` -> versions, settings, hardware. Logs with other environments
        can be compared; `--explain-environment` shows the differences.
    further: more runs of the same model, which are judged together with this one.
    is_kept_base: whether it is the copy of a base's log that a report has. slimgate sets it.
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
    prompts: Mapping[str, Log] = field(default_factory=dict)
    environment: Environment = field(default_factory=dict)
    further: tuple[Log, ...] = ()
    kl: KlChunks | None = None
    path: Path | None = None
    is_kept_base: bool = False


class Reader(ABC):
    """The base class of readers: one file in `slimgate/logs/readers/`, or an entry point of slimgate.logs.

    class MyTool(Reader):
        def recognizes(self, path):
            return path.suffix == ".mytool"

        def read(self, path):
            return Log("mytool", str(path), {"task": TaskLog(lambda: rows_of(path))})

    reader = MyTool()
    """

    @abstractmethod
    def recognizes(self, path: Path) -> bool:
        """Whether a file or folder is a log of this tool.

        slimgate asks every reader about every log, and also about files that turn out to be no log. So it
        reads only the beginning of a file, and returns False for what it cannot read. If two readers
        recognize a log, the user must choose one by `--format`.

        Args:
            path: a file or folder that exists.

        Returns:
            True if `read` can read it.
        """

    @abstractmethod
    def read(self, path: Path) -> Log:
        """Reads a log.

        slimgate calls it if the reader recognizes the log, or if the user names the reader. A KeyError,
        IndexError, TypeError, AttributeError, ValueError or OverflowError becomes a DataError: the log is not
        as its tool writes logs.

        Args:
            path: the file or folder.

        Returns:
            The log, with tasks, loads, runs, models or kl. A log with none of them is a DataError.

        Raises:
            DataError: for a wrong log: one line that names the file.
        """

"""The rows of a task as columns: 8 bytes a figure, so that millions of samples fit in memory.

Texts are kept as 48-bit digests, which are the same in every process. Quoted rows are read again.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from itertools import islice
from math import exp, isfinite, isnan, nan
from numbers import Real

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from slimgate._system.error_places import format_user_error
from slimgate._system.names import normalize_group
from slimgate.errors import DataError
from slimgate.judge.named_scores import LARGEST_SCORE
from slimgate.logs.answer_columns import AnswerChecks, AnswerColumns, GrowingAnswers
from slimgate.logs.predictions.codes import ROWS_AT_ONCE, TEXT, digest_text, find_duplicates, sort_by_id
from slimgate.logs.predictions.files import check_id_spellings, format_examples
from slimgate.logs.sample_fields import Field, FieldColumn
from slimgate.outcomes import Floats, Ints
from slimgate.plugins.reader import (
    ColumnRows,
    CorpusKind,
    Digest,
    Row,
    TaskLog,
    is_read_error,
    split_epoch,
)

# How many ids wait to become Arrow text.
_BLOCK = 50_000
# Codes of `Samples.clusters`: from STATED for groups that a log states, from OWN_NAMES for groups that have
# the name of their sample, such as its epochs. Smaller codes are for rows without a group.
STATED, OWN_NAMES = 2**50, 2**51
# The bits of a row while rows are read.
_ERROR, _TRUNCATED, _OTHER_NAME = 1, 2, 4
# The key of `Samples.empty` for the samples without a metric.
NO_METRIC = ""
# A stated perplexity may be rounded by this share of itself.
_ROUNDING = 1e-3
# The exponential of a larger number exceeds float64.
_LARGEST = 700.0


@dataclass(frozen=True, eq=False)
class Samples:
    """One task under one filter. Arrays are (rows,).

    ids: Arrow text, distinct.
    order: positions in the order of the ids.
    scores: metric -> scores, NaN if the log has none.
    empty: metric -> positions of the samples that should have a score and have none; under NO_METRIC those of
        the samples without a metric. None if every metric is of every sample.
    keys: name in PER_SAMPLE -> digests of what both logs must share.
    answers: digests; None if there are none.
    clusters: equal for rows that depend on each other (see STATED); None if each row is independent.
    errors, truncated: 1 if so; for several runs, in how many of them.
    not_numbers: metric -> how many samples have a value that is not a number.
    rows(): the rows again, to quote some.
    documents: digests of each sample's question (`same_documents`), once the keys are dropped.
    sizes: metric -> the size that each score is a sum over, if its figure is a ratio of two sums; NaN if the
        log has none.
    fields: by name, the fields by which samples are sliced.
    behaviour: of the answers, if it is read.
    runs: for several runs, metric -> (runs, rows) scores, of which `scores` has the means.
    same_answers: for several runs, whether all hold the same answer; None if the logs hold no answers.
    responses: digests of what the model wrote, if a filter took the answers from it; None if these are the
        answers.
    """

    ids: pa.Array
    order: Ints
    scores: Mapping[str, Floats]
    empty: Mapping[str, Ints] | None
    keys: Mapping[str, Ints]
    answers: Ints | None
    clusters: Ints | None
    errors: npt.NDArray[np.uint8]
    truncated: npt.NDArray[np.uint8]
    not_numbers: Mapping[str, int]
    rows: Callable[[], Iterator[Row]]
    documents: Ints | None = None
    sizes: Mapping[str, Floats] = field(default_factory=dict)
    fields: Mapping[str, Field] = field(default_factory=dict)
    behaviour: AnswerColumns | None = None
    runs: Mapping[str, Floats] | None = None
    same_answers: npt.NDArray[np.bool_] | None = None
    responses: Ints | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def has_epochs(self) -> bool:
        """Whether several rows are answers to one sample. The rows of a group of samples are not."""
        if self.clusters is None or len(np.unique(self.clusters)) == len(self):
            return False
        return int(self.sample_numbers.max()) + 1 < len(self)

    @cached_property
    def sample_numbers(self) -> Ints:
        """(rows,) as `number_samples`."""
        return number_samples(self.ids.to_pylist())

    def quote(self, numbers: Iterable[int]) -> dict[int, Row]:
        """The rows at some positions, read again. Raises DataError if `rows` then gives fewer."""
        places = sorted(set(numbers))
        rows: dict[int, Row] = {}
        if not places:
            return rows
        needed = set(places)
        for at, row in enumerate(islice(self.rows(), places[-1] + 1)):
            if at in needed:
                rows[at] = row
        if len(rows) < len(places):
            raise DataError(
                f"a log's rows() gave {len(self)} samples, and fewer when it was called again; its reader "
                "must make a new iterator at each call"
            )
        return rows


@dataclass
class _GrowingColumns:
    """The columns of one filter, while its rows are read."""

    waiting: list[str] = field(default_factory=list)
    ids: list[pa.Array] = field(default_factory=list)
    scores: dict[str, array[float]] = field(default_factory=dict)
    empty: dict[str, array[int]] = field(default_factory=dict)
    keys: dict[str, array[int]] = field(default_factory=dict)
    answers: array[int] | None = None
    responses: array[int] | None = None
    clusters: array[int] | None = None
    sizes: dict[str, array[float]] = field(default_factory=dict)
    flags: bytearray = field(default_factory=bytearray)
    not_numbers: dict[str, int] = field(default_factory=dict)
    fields: Sequence[FieldColumn] = ()
    behaviour: GrowingAnswers | None = None

    def add(self, row: Row, shown: str) -> None:
        before = len(self.flags)  # the number of earlier rows, so the position of this row
        _check_row(row, shown)
        self.waiting.append(row.id)
        if len(self.waiting) >= _BLOCK:
            self.flush()
        self._add_scores(row, before, shown)
        for name, text in row.keys.items():
            if name not in self.keys:
                self.keys[name] = array("q", [0]) * before
            self.keys[name].append(digest(text))
        self._add_answer(row, before)
        if self.clusters is None and row.cluster is not None:
            # rows so far are independent: each gets a separate number
            self.clusters = array("q", range(before))
        if self.clusters is not None:
            self.clusters.append(
                before if row.cluster is None else STATED + digest(normalize_group(row.cluster))
            )
        self.flags.append(
            _ERROR * (row.error is not None)
            + _TRUNCATED * (row.truncated or False)
            + _OTHER_NAME * _has_other_name(row.id, row.cluster)
        )
        for field_column in self.fields:
            field_column.add(row)
        if self.behaviour is not None:
            self.behaviour.add(row)
        lacks_score = len(row.scores) < len(self.scores) or len(row.sizes) < len(self.sizes)
        if lacks_score or len(row.keys) < len(self.keys):
            self._fill_missing()

    def _add_scores(self, row: Row, before: int, shown: str) -> None:
        # tools leave a failed sample out of their figures, even if they scored it; if only some of its
        # metrics failed, those are None
        failed = row.error is not None and None not in row.scores.values()
        for name, value in row.scores.items():
            if name not in self.scores:
                if not isinstance(name, str):
                    raise TypeError(f"the metric {name!r} of a row is no text")
                self.scores[name] = array("d", [nan]) * before
            score = nan if failed else _read_number(row, name, value, shown)
            self.scores[name].append(score)
            if isnan(score):
                self.empty.setdefault(name, array("q")).append(before)
        for name, size in row.sizes.items():
            if name not in self.sizes:
                self.sizes[name] = array("d", [nan]) * before
            self.sizes[name].append(_read_number(row, name, size, shown))
        if not row.scores:
            self.empty.setdefault(NO_METRIC, array("q")).append(before)
        for name in row.not_numbers:
            self.not_numbers[name] = self.not_numbers.get(name, 0) + 1
            self.empty.setdefault(name, array("q")).append(before)

    def _add_answer(self, row: Row, before: int) -> None:
        answer = find_answer_digest(row)
        if self.responses is None and row.response is not None:
            self.responses = array("q", [0]) * before if self.answers is None else array("q", self.answers)
        if self.responses is not None:
            self.responses.append((answer or 0) if row.response is None else digest(row.response))
        if self.answers is None and answer is not None:
            self.answers = array("q", [0]) * before
        if self.answers is not None:
            self.answers.append(answer or 0)

    def finish_clusters(self) -> Ints | None:
        """(rows,) as `Samples.clusters`. A group has its sample's name if all of its rows have that name."""
        if self.clusters is None:
            return None
        codes = np.frombuffer(self.clusters, np.int64).copy()
        flags = np.frombuffer(self.flags, np.uint8)
        other = np.unique(codes[(flags & _OTHER_NAME) > 0])
        for start in range(0, len(codes), ROWS_AT_ONCE):
            part = codes[start : start + ROWS_AT_ONCE]
            names_sample = part >= STATED
            if len(other):
                nearest = other[np.minimum(np.searchsorted(other, part), len(other) - 1)]
                names_sample &= nearest != part
            part[names_sample] += OWN_NAMES - STATED
        return codes

    def _fill_missing(self) -> None:
        """Fills a row that lacks a score or a key with NaN or 0."""
        for column in (*self.scores.values(), *self.sizes.values()):
            column.extend([nan] * (len(self.flags) - len(column)))
        for digests in self.keys.values():
            digests.extend([0] * (len(self.flags) - len(digests)))

    def flush(self) -> None:
        self.ids.append(pa.array(self.waiting, TEXT))
        self.waiting.clear()


def _check_row(row: Row, shown: str) -> None:
    """Raises TypeError for a value of a wrong type, and DataError for an epoch that is in no cluster."""
    if not isinstance(row.id, str):
        raise TypeError(f"the id {row.id!r} of a row is no text")
    if row.fields is not None and not isinstance(row.fields, Mapping):
        raise TypeError(f"the fields {row.fields!r} of row {row.id} are no mapping")
    if row.answer_tokens is not None and not isinstance(row.answer_tokens, Real):
        raise TypeError(f"the answer_tokens {row.answer_tokens!r} of row {row.id} are no number")
    if row.cluster is None and (sample := split_epoch(row.id)[0]) != row.id:
        # as a row of its own, it would make the interval too narrow
        raise DataError(
            f'{shown}: "{row.id}" is the id of an epoch of "{sample}", and the row has no cluster; expected '
            f'the cluster "{sample}" (in a table: the id "{sample}" and a column epoch)'
        )


def _has_other_name(name: str, cluster: str | None) -> bool:
    """Whether a row's group is not named after its sample. The group of a sample's epochs is."""
    return cluster is not None and name != cluster and not name.startswith(f"{cluster} ")


def find_answer_digest(row: Row) -> int | None:
    """The digest of the whole answer; None if the log has none."""
    return digest(row.answer) if row.answer_digest is None and row.answer is not None else row.answer_digest


def digest(text: str | Digest) -> int:
    """48 bits that are the same in every process."""
    return text if isinstance(text, Digest) else digest_text(text)


def digest_column(values: Ints | Floats) -> str:
    """A digest of a whole column, in the order of its values."""
    return sha256(values.tobytes()).hexdigest()[:16]


def _read_number(row: Row, name: str, value: float | None, shown: str) -> float:
    if value is None:
        return nan
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise DataError(f"{shown}: sample {row.id}: score {name} is {value!r}, expected a number") from None
    if abs(number) > LARGEST_SCORE:
        raise DataError(
            f"{shown}: sample {row.id}: score {name} is {number}, expected a finite number up to "
            f"{LARGEST_SCORE:g}"
        )
    return number


def number_samples(ids: Iterable[str]) -> Ints:
    """(rows,) a number for each sample, from 0 in the order of the rows; its epochs share it."""
    codes: dict[str, int] = {}
    return np.array([codes.setdefault(split_epoch(name)[0], len(codes)) for name in ids], np.int64)


def read_samples(
    shown: str, task: TaskLog, fields: Sequence[str] = (), checks: AnswerChecks | None = None
) -> dict[str, Samples]:
    """The samples of a task by filter. shown: file and task, for messages. fields: to read too.

    checks: for the answers, if their behaviour is read too.

    Raises DataError if a sample occurs twice, a score is not a number, or there are no rows.
    """
    # columns hold neither the fields of samples nor the texts of answers
    if isinstance(task.rows, ColumnRows) and not fields and checks is None:
        samples = _read_columns(shown, task.rows)
        if samples is not None:
            return {"": samples}
    by_filter: dict[str, _GrowingColumns] = {}
    read = 0
    try:
        for row in task.rows():
            if row.filter not in by_filter:
                by_filter[row.filter] = _GrowingColumns(
                    fields=[FieldColumn(name, shown) for name in fields],
                    behaviour=None if checks is None else GrowingAnswers(checks),
                )
            by_filter[row.filter].add(row, shown)
            read += 1
    except Exception as error:  # a user's reader may raise anything
        if not is_read_error(error):
            raise
        raise DataError(
            f"{shown}: the log does not follow the format of its tool after {read:,} samples: "
            f"{format_user_error(error)}"
        ) from error
    if not by_filter:
        raise DataError(f"{shown}: no samples, expected at least one")
    return {name: _make_samples(shown, name, by_filter.pop(name), task) for name in list(by_filter)}


def _read_columns(shown: str, rows: ColumnRows) -> Samples | None:
    table = rows.read_columns()
    if table is None:
        return None
    no_flags = np.zeros(len(table.ids), np.uint8)
    return Samples(
        ids=table.ids,
        order=_order_ids(shown, table.ids),
        scores=table.scores,
        empty=None,
        keys=table.keys,
        answers=table.answers,
        clusters=None,
        errors=no_flags,
        truncated=no_flags,
        not_numbers={},
        rows=rows,
    )


def _check_means(shown: str, name: str, columns: _GrowingColumns, task: TaskLog) -> None:
    """Raises DataError if all samples are present, and their mean is not the mean that the tool states."""
    rows = len(columns.flags)
    if task.samples is not None and rows != task.samples:
        return
    for metric, scores in columns.scores.items():
        stated, values = task.means.get((name, metric)), np.frombuffer(scores)
        if stated is None:
            continue
        if metric in columns.sizes:
            sizes, words = np.frombuffer(columns.sizes[metric]), "have"
            mean = compute_corpus_figure(task.corpus[metric], values, sizes) if metric in task.corpus else nan
            agrees = abs(mean - stated) <= _ROUNDING * abs(stated)
        else:
            mean, words = float(values.mean()), "have a mean of"
            agrees = abs(mean - stated) <= _find_tolerance(stated, rows, task.decimals)
        if isfinite(mean) and not agrees:  # a stated NaN agrees with no number
            cut = " or some samples are missing" if task.samples is None else ""
            raise DataError(
                f"{shown}: the results state {metric} {stated:.4f}, and the {rows:,} samples {words} "
                f"{mean:.4f}: they come from two runs{cut}; put the samples and the results of one run "
                "next to each other"
            )


def _find_tolerance(stated: float, rows: int, decimals: int | None) -> float:
    """Half a sample that is right or wrong, or half of the last decimal of a mean that the tool rounds.

    decimals: as `TaskLog.decimals`.
    """
    if decimals is None or not isfinite(stated):
        return 0.5 / rows
    digits, _, exponent = repr(float(stated)).partition("e")
    written = len(digits.partition(".")[2]) - int(exponent or 0)
    return max(0.5 / rows, 0.5 * 10.0 ** -max(decimals, written))


def compute_corpus_figure(kind: CorpusKind, scores: Floats, sizes: Floats) -> float:
    """The figure of all samples, from (rows,) scores and their sizes."""
    rate = float(scores.sum() / sizes.sum())
    return exp(min(rate, _LARGEST)) if kind == "perplexity" else rate


def _order_ids(shown: str, ids: pa.Array) -> Ints:
    """(rows,) positions in the order of the ids. Raises DataError for an id of two rows."""
    order = sort_by_id(ids)
    if len(twice := find_duplicates(ids, order)):
        has = "sample occurs" if len(twice) == 1 else "samples occur"
        raise DataError(
            f"{shown}: {len(twice):,} {has} more than once: {format_examples(twice)}; expected one row per "
            "sample. If the rows repeat a sample, number them in a column epoch, or pass --same-id epochs "
            "(--same-id runs if each row is a separate run)"
        )
    check_id_spellings(shown, ids)
    return order


def _make_samples(shown: str, name: str, columns: _GrowingColumns, task: TaskLog) -> Samples:
    _check_means(shown, name, columns, task)
    columns.flush()
    ids = pa.concat_arrays(columns.ids)
    order = _order_ids(shown, ids)
    flags = np.frombuffer(columns.flags, np.uint8)

    def rows() -> Iterator[Row]:
        return (row for row in task.rows() if row.filter == name)

    return Samples(
        ids=ids,
        order=order,
        scores={metric: np.frombuffer(values, np.float64) for metric, values in columns.scores.items()},
        empty={metric: np.frombuffer(places, np.int64) for metric, places in columns.empty.items()}
        if task.optional_metrics
        else None,
        keys={key: np.frombuffer(values, np.int64) for key, values in columns.keys.items()},
        answers=None if columns.answers is None else np.frombuffer(columns.answers, np.int64),
        responses=None if columns.responses is None else np.frombuffer(columns.responses, np.int64),
        clusters=columns.finish_clusters(),
        errors=((flags & _ERROR) > 0).astype(np.uint8),
        truncated=((flags & _TRUNCATED) > 0).astype(np.uint8),
        not_numbers=columns.not_numbers,
        rows=rows,
        sizes={metric: np.frombuffer(values, np.float64) for metric, values in columns.sizes.items()},
        fields={field_column.name: field_column.finish() for field_column in columns.fields},
        behaviour=None if columns.behaviour is None else columns.behaviour.finish(),
    )

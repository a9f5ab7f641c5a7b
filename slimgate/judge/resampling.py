"""Row weights of paired resamples: rows, whole groups of rows, or cells of equal rows.

How often a resample draws each unit: a row, a group of rows, or one of several equal rows.

Few units are drawn with replacement, as many as there are. From 10,000 on each unit comes a Poisson number of
times of its own, with mean 1: that takes no table of positions, and of a metric that does not change when
all weights are scaled it gives the same variance up to 1 part in as many as there are units.
Source: Hanley and MacGibbon 2006, Comput. Methods Programs Biomed. 83:57-62.

Resamples of a metric that is a function of sums over rows: one matrix product for both models.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import exp, factorial
from typing import TYPE_CHECKING

import numpy as np

from slimgate.judge.metrics.base import Metric, RowSums
from slimgate.outcomes import ClassOutcomes, Floats, Ints

if TYPE_CHECKING:
    from scipy.sparse import csr_array

POISSON_FROM = 10_000
# More equal units than this are drawn by one Poisson number of their sum, fewer one by one.
_FEW_EQUAL = 16
_LEVELS = 2**16
# Bytes of one matrix of weights; a handful of that size are alive at a time.
_CHUNK_BYTES = 16 * 2**20
# More kinds of units than this are left out in random blocks: the skewness that the jackknife is for is that
# of a mean, and blocks of equal units keep it (its standard error, 0.12, moves the acceleration by 0.001).
_MAX_LEFT_OUT = 400
# Bytes of one matrix of weights.


def multiplicities(rng: np.random.Generator, units: Ints, size: int) -> Floats:
    """(size, kinds) how often each kind of unit is drawn, of which there are units (kinds,).

    A draw's figures do not depend on how many are asked for at a time.
    """
    kinds, total = len(units), int(units.sum())
    if total >= POISSON_FROM:
        return _poisson(rng, units, size)
    if total > kinds:
        return rng.multinomial(total, units / total, size=size).astype(np.float64)
    drawn = rng.integers(0, kinds, size=(size, kinds))
    drawn += np.arange(size)[:, None] * kinds
    counted = np.bincount(drawn.ravel(), minlength=size * kinds)
    return counted.reshape(size, kinds).astype(np.float64)


def _poisson(rng: np.random.Generator, units: Ints, size: int) -> Floats:
    few = np.flatnonzero(units <= _FEW_EQUAL)
    many = np.flatnonzero(units > _FEW_EQUAL)
    single = len(few) == len(units) and units.max() == 1
    starts = np.concatenate([[0], np.cumsum(units[few])])
    drawn = np.empty((size, len(units)))
    for line in drawn:
        ones = _poisson_of_mean_one(rng, int(starts[-1]))
        if single:
            line[:] = ones
            continue
        line[few] = np.add.reduceat(ones, starts[:-1], dtype=np.int64) if len(few) else 0
        line[many] = rng.poisson(units[many])
    return drawn


def _thresholds() -> tuple[int, ...]:
    """65,536 × the chances of at least 1, 2, … of a Poisson number; their sum is its mean, exactly 65,536."""
    steps, left = [], 1.0
    for count in range(9):
        left -= exp(-1) / factorial(count)
        steps.append(round(_LEVELS * left))
    steps[0] += _LEVELS - sum(steps)
    return tuple(step for step in steps if step)


_THRESHOLDS = _thresholds()


def _poisson_of_mean_one(rng: np.random.Generator, size: int) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    """(size,) Poisson numbers of 16 random bits each; a third of the time that rng.poisson takes."""
    words = rng.integers(0, 2**64, size=-(-size // 4), dtype=np.uint64)
    levels = words.view(np.uint16)[:size]
    numbers = np.zeros(size, dtype=np.uint8)
    for threshold in _THRESHOLDS:
        numbers += levels < threshold
    return numbers


@dataclass(frozen=True, eq=False)
class Resampler:
    """Draws the same resample for teacher and variant, as weights of the columns of both.

    teacher, variant: the columns' outcomes: the gate rows, or one row for each cell of equal (label, teacher
    prediction, variant prediction) where a metric sees nothing else. units: (units,) how many equal units of
    each kind there are. members: (units, columns) what a unit consists of; None where unit i is column i.
    """

    teacher: ClassOutcomes
    variant: ClassOutcomes
    units: Ints
    members: csr_array | None

    @property
    def sample_weights(self) -> Floats:
        """(columns,) weights of the sample itself."""
        if self.members is None:
            return self.units.astype(np.float64)
        return np.asarray(self.members.sum(axis=0), dtype=np.float64)

    @property
    def chunk(self) -> int:
        """Resamples that fit in memory at a time."""
        return max(1, _CHUNK_BYTES // (8 * self.widest))

    @property
    def widest(self) -> int:
        """Columns of the widest matrix that a resample takes."""
        return max(len(self.units), len(self.teacher), len(self.teacher.classes) ** 2)

    def draws(self, rng: np.random.Generator, resamples: int) -> Iterator[Floats]:
        """Weights of `resamples` resamples of as many units, in chunks of (resamples, columns)."""
        for start in range(0, resamples, self.chunk):
            yield self.columns_of(multiplicities(rng, self.units, min(self.chunk, resamples - start)))

    def leave_one_out(self, rng: np.random.Generator) -> Iterator[tuple[Floats, Ints]]:
        """Weights with one unit (or block) left out, (k, columns), and how many such units there are (k,)."""
        blocks, counts = self._blocks(rng)
        for start in range(0, len(counts), self.chunk):
            part = slice(start, start + self.chunk)
            yield self.sample_weights - self.columns_of(blocks[part].toarray()), counts[part]

    def columns_of(self, multiplicities: Floats) -> Floats:
        """(k, units) weights of units -> (k, columns) weights of what they consist of."""
        if self.members is None:
            return multiplicities
        return np.asarray((self.members.T @ multiplicities.T).T)

    def _blocks(self, rng: np.random.Generator) -> tuple[csr_array, Ints]:
        """(blocks, kinds) how many units of each kind are in a block, and how many such blocks there are."""
        from scipy.sparse import csr_array, eye_array

        kinds = len(self.units)
        if kinds <= _MAX_LEFT_OUT:
            return csr_array(eye_array(kinds)), self.units
        kind = np.repeat(np.arange(kinds), self.units)
        # at random, since rows often come sorted by label
        block = rng.permutation(len(kind)) % _MAX_LEFT_OUT
        # units of one kind in one block are summed up
        matrix = csr_array((np.ones(len(kind)), (block, kind)), shape=(_MAX_LEFT_OUT, kinds))
        return matrix, np.ones(_MAX_LEFT_OUT, dtype=np.int64)


def resampler(metric: Metric, teacher: ClassOutcomes, variant: ClassOutcomes) -> Resampler:
    """Cells for a metric of the confusion matrix, rows for others; groups, where there are, as a whole."""
    column = np.arange(len(teacher))
    if metric.from_confusion is not None:
        k = len(teacher.classes)
        joint = (teacher.labels * k + teacher.predictions) * k + variant.predictions
        first, column = _kinds(joint, k**3)
        teacher_columns, variant_columns = _cells(teacher, first), _cells(variant, first)
    else:
        teacher_columns, variant_columns = teacher, variant
    if teacher.groups is None:
        return Resampler(teacher_columns, variant_columns, np.bincount(column), None)
    members = _members(teacher.groups, column)
    return Resampler(teacher_columns, variant_columns, np.ones(members.shape[0], np.int64), members)


def _kinds(values: Ints, limit: int) -> tuple[Ints, Ints]:
    """The first row of each value, in the order of the values, and (rows,) the place of each row's value.

    values: below `limit`. Where they can be counted, without the copies that sorting makes.
    """
    if limit > len(values):
        _, first, place = np.unique(values, return_index=True, return_inverse=True)
        return first, place
    present = np.flatnonzero(np.bincount(values, minlength=limit))
    where = np.zeros(limit, dtype=np.int64)
    where[values[::-1]] = np.arange(len(values))[::-1]  # of several rows the last that is written stays
    first = where[present]
    where[present] = np.arange(len(present))
    return first, where[values]


def _cells(outcomes: ClassOutcomes, first: Ints) -> ClassOutcomes:
    """One row for each cell, without what such metrics do not read."""
    return ClassOutcomes(
        outcomes.ids[first],
        outcomes.labels[first],
        outcomes.predictions[first],
        outcomes.classes,
        strays=outcomes.strays,
        positive=outcomes.positive,
    )


def _members(groups: Ints, column: Ints) -> csr_array:
    """(groups, columns) how many rows of each column a group holds."""
    from scipy.sparse import csr_array

    names, group = np.unique(groups, return_inverse=True)
    shape = (len(names), int(column.max()) + 1)
    # rows of one place are summed up
    return csr_array((np.ones(len(group)), (group, column)), shape=shape)


class ResampledSums:
    """Sums of teacher and variant over the same resamples of rows, or of whole groups.

    Memory: the rows' terms, rows × 2 × their columns, and a few times 16 MiB.
    """

    def __init__(self, terms: Floats, value: Callable[[Floats], Floats], groups: Ints | None = None) -> None:
        """terms: (rows, 2k), the teacher's and the variant's; value: (…, k) sums -> (…,) values."""
        self._units = terms if groups is None else _sum_by_group(terms, groups)
        self.grouped = groups is not None
        self._from_sums = value
        self._total = self._units.sum(axis=0)

    @property
    def units(self) -> int:
        """Rows, or groups, the made-up ones included."""
        return len(self._units)

    def values_of(self, weights: Floats) -> Floats:
        """(k, units) weights -> (2, k) values."""
        return self._values(weights @ self._units)

    def sample(self) -> Floats:
        """(2,) the values of the rows themselves."""
        return self._values(self._total)

    def draws(self, rng: np.random.Generator, resamples: int) -> Iterator[Floats]:
        """(2, k) values, in chunks."""
        ones = np.ones(len(self._units), dtype=np.int64)
        chunk = max(1, _CHUNK_BYTES // (8 * len(ones)))
        for start in range(0, resamples, chunk):
            weights = multiplicities(rng, ones, min(chunk, resamples - start))
            yield self._values(weights @ self._units)

    def leave_one_out(self) -> Floats:
        """(2, units) values with one unit left out."""
        return self._values(self._total - self._units)

    def _values(self, sums: Floats) -> Floats:
        teacher, variant = np.split(sums, 2, axis=-1)
        return np.stack([self._from_sums(teacher), self._from_sums(variant)])


def of_outcomes(row_sums: RowSums, teacher: ClassOutcomes, variant: ClassOutcomes) -> ResampledSums:
    """Of the rows of two outcomes, or their groups."""
    terms = np.concatenate([row_sums.terms(teacher), row_sums.terms(variant)], axis=1)
    return ResampledSums(terms, row_sums.value, teacher.groups)


def _sum_by_group(terms: Floats, groups: Ints) -> Floats:
    """(groups, columns) the terms of each group's rows."""
    _, member = np.unique(groups, return_inverse=True)
    order = np.argsort(member, kind="stable")
    starts = np.flatnonzero(np.diff(member[order], prepend=-1))
    return np.asarray(np.add.reduceat(terms[order], starts, axis=0))

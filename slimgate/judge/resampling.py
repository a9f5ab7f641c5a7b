"""Row weights of paired resamples: rows, whole groups of rows, or cells of equal rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from slimgate.judge.metrics.base import Metric
from slimgate.judge.multiplicities import multiplicities
from slimgate.outcomes import ClassOutcomes, Floats, Ints

if TYPE_CHECKING:
    from scipy.sparse import csr_array

# Bytes of one matrix of weights; a handful of that size are alive at a time.
_CHUNK_BYTES = 16 * 2**20
# More kinds of units than this are left out in random blocks: the skewness that the jackknife is for is that
# of a mean, and blocks of equal units keep it (its standard error, 0.12, moves the acceleration by 0.001).
_MAX_LEFT_OUT = 400


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
    def whole(self) -> Floats:
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

    def left_out(self, rng: np.random.Generator) -> Iterator[tuple[Floats, Ints]]:
        """Weights with one unit (or block) left out, (k, columns), and how many such units there are (k,)."""
        blocks, counts = self._blocks(rng)
        for start in range(0, len(counts), self.chunk):
            part = slice(start, start + self.chunk)
            yield self.whole - self.columns_of(blocks[part].toarray()), counts[part]

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
        outcomes.ids[first], outcomes.labels[first], outcomes.predictions[first], outcomes.classes
    )


def _members(groups: Ints, column: Ints) -> csr_array:
    """(groups, columns) how many rows of each column a group holds."""
    from scipy.sparse import csr_array

    names, group = np.unique(groups, return_inverse=True)
    shape = (len(names), int(column.max()) + 1)
    # rows of one place are summed up
    return csr_array((np.ones(len(group)), (group, column)), shape=shape)

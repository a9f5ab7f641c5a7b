"""Resamples of a metric that is a function of sums over rows: one matrix product for both models."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from slimgate.judge.metrics.base import RowSums
from slimgate.judge.multiplicities import multiplicities
from slimgate.outcomes import ClassOutcomes, Floats, Ints

# Bytes of one matrix of weights.
_CHUNK_BYTES = 16 * 2**20


class ResampledSums:
    """Sums of teacher and variant over the same resamples of rows, or of whole groups.

    Memory: the rows' terms, rows × 2 × their columns, and a few times 16 MiB.
    """

    def __init__(self, terms: Floats, value: Callable[[Floats], Floats], groups: Ints | None = None) -> None:
        """terms: (rows, 2k), the teacher's and the variant's; value: (…, k) sums -> (…,) values."""
        self._units = terms if groups is None else _summed(terms, groups)
        self.grouped = groups is not None
        self._from_sums = value
        self._total = self._units.sum(axis=0)

    @property
    def units(self) -> int:
        """Rows, or groups, the made-up ones included."""
        return len(self._units)

    def weighted(self, weights: Floats) -> Floats:
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

    def left_out(self) -> Floats:
        """(2, units) values with one unit left out."""
        return self._values(self._total - self._units)

    def _values(self, sums: Floats) -> Floats:
        teacher, variant = np.split(sums, 2, axis=-1)
        return np.stack([self._from_sums(teacher), self._from_sums(variant)])


def of_outcomes(row_sums: RowSums, teacher: ClassOutcomes, variant: ClassOutcomes) -> ResampledSums:
    """Of the rows of two outcomes, or their groups."""
    terms = np.concatenate([row_sums.terms(teacher), row_sums.terms(variant)], axis=1)
    return ResampledSums(terms, row_sums.value, teacher.groups)


def _summed(terms: Floats, groups: Ints) -> Floats:
    """(groups, columns) the terms of each group's rows."""
    _, member = np.unique(groups, return_inverse=True)
    order = np.argsort(member, kind="stable")
    starts = np.flatnonzero(np.diff(member[order], prepend=-1))
    return np.asarray(np.add.reduceat(terms[order], starts, axis=0))

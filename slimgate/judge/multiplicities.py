"""How often a resample draws each unit: a row, a group of rows, or one of several equal rows.

Few units are drawn with replacement, as many as there are. From 10,000 on each unit comes a Poisson number of
times of its own, with mean 1: that takes no table of positions, and of a metric that does not change when
all weights are scaled it gives the same variance up to 1 part in as many as there are units.
Source: Hanley and MacGibbon 2006, Comput. Methods Programs Biomed. 83:57-62.
"""

from __future__ import annotations

from math import exp, factorial

import numpy as np

from slimgate.outcomes import Floats, Ints

POISSON_FROM = 10_000
# More equal units than this are drawn by one Poisson number of their sum, fewer one by one.
_FEW_EQUAL = 16
_LEVELS = 2**16


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

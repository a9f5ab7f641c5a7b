"""The range of a layer's inputs that the 256 levels of static int8 cover, computed from a histogram.

    low, high = observe("mse", Histogram(counts, low=-3.0, high=9.0))

| observer     | the range                                                                             |
|--------------|---------------------------------------------------------------------------------------|
| "minmax"     | of all values seen                                                                    |
| "percentile" | from the (100 - p)-th to the p-th percentile                                          |
| "mse"        | with the least mean squared error of clipping and rounding (as torch's                |
|              | HistogramObserver: rounding costs a twelfth of a squared step)                        |
| "entropy"    | cut at the magnitude that keeps the values' distribution best, by Kullback-Leibler    |
|              | divergence (Migacz 2017, 8-bit inference with TensorRT)                               |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Observer = Literal["minmax", "percentile", "mse", "entropy"]
Floats = npt.NDArray[np.float64]
LEVELS = 256
BINS = 2048
_CUTS = 128
_UNLIKELY = 1e-9


@dataclass(frozen=True, eq=False)
class Histogram:
    """A histogram of values.

    counts: (bins,) of values in bins of equal width between low and high.
    """

    counts: Floats
    low: float
    high: float

    @property
    def edges(self) -> Floats:
        return np.linspace(self.low, self.high, len(self.counts) + 1)


def observe(observer: Observer, seen: Histogram, *, percentile: float = 99.99) -> tuple[float, float]:
    """(low, high) inside the histogram's own range; percentile in (50, 100]."""
    if observer == "minmax" or not seen.high > seen.low:
        return seen.low, seen.high
    if observer == "percentile":
        return _percentiles(seen, percentile)
    return _least_squares(seen) if observer == "mse" else _least_divergence(seen)


def _percentiles(seen: Histogram, percentile: float) -> tuple[float, float]:
    share = np.concatenate([[0.0], np.cumsum(seen.counts)]) / seen.counts.sum()
    low, high = np.interp([1 - percentile / 100, percentile / 100], share, seen.edges)
    return float(low), float(high)


def _least_squares(seen: Histogram) -> tuple[float, float]:
    """The pair of cuts with the least clipping error plus rounding error."""
    low_ends, high_ends = _cuts(seen.low), _cuts(seen.high)
    centres = (seen.edges[1:] + seen.edges[:-1]) / 2
    below, under = _clipping_error(low_ends, centres, seen.counts, side=-1)
    above, over = _clipping_error(high_ends, centres, seen.counts, side=1)
    steps = (high_ends[None, :] - low_ends[:, None]) / (LEVELS - 1)
    inside = seen.counts.sum() - below[:, None] - above[None, :]
    errors = under[:, None] + over[None, :] + inside * steps**2 / 12
    best_low, best_high = np.unravel_index(np.argmin(errors), errors.shape)
    return float(low_ends[best_low]), float(high_ends[best_high])


def _cuts(end: float) -> Floats:
    """Ends of a range, from the whole of it down to nearly nothing; 0 if it does not pass 0."""
    return end * np.arange(_CUTS, 0, -1) / _CUTS if end else np.zeros(1)


def _clipping_error(ends: Floats, centres: Floats, counts: Floats, *, side: int) -> tuple[Floats, Floats]:
    """(how many values lie beyond each end, the sum of their squared distances to it)."""
    beyond = np.clip(side * (centres[None, :] - ends[:, None]), 0, None)
    return (beyond > 0) @ counts, beyond**2 @ counts


def _least_divergence(seen: Histogram) -> tuple[float, float]:
    """The symmetric cut, at about every eighth bin, with the least divergence in 256 levels."""
    largest = max(abs(seen.low), abs(seen.high))
    best: Any = None
    for cut in largest * np.arange(_CUTS, 0, -1) / _CUTS:
        low, high = max(seen.low, -cut), min(seen.high, cut)
        first, last = np.searchsorted(seen.edges, [low, high], side="left")
        if last - first < LEVELS:
            break
        divergence = _divergence(seen.counts, first, last)
        if best is None or divergence < best[0]:
            best = divergence, float(low), float(high)
    return (seen.low, seen.high) if best is None else best[1:]


def _divergence(counts: Floats, first: int, last: int) -> float:
    """KL of the counts from first to last, with clipped counts at the ends, to the same in 256 levels."""
    inside = counts[first:last]
    target = inside.copy()
    target[0] += counts[:first].sum()
    target[-1] += counts[last:].sum()
    level = np.arange(len(inside)) * LEVELS // len(inside)
    filled = inside > 0
    mean = np.bincount(level, inside, LEVELS) / np.maximum(np.bincount(level, filled, LEVELS), 1)
    got = np.where(filled, mean[level], 0)
    p, q = target / target.sum(), np.maximum(got / max(got.sum(), 1), _UNLIKELY)
    some = p > 0
    return float(np.sum(p[some] * np.log(p[some] / q[some])))

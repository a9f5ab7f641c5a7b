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
from typing import Annotated, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, Field, model_validator

from slimgate.plugins.params import Table


def _check_off(value: bool) -> bool:
    if value:
        raise ValueError("true was given, expected a share from 0 to 1, or false")
    return value


Observer = Literal["minmax", "percentile", "mse", "entropy"]
SmoothAlpha = Annotated[float, Field(ge=0, le=1)] | Annotated[bool, AfterValidator(_check_off)]
Floats = npt.NDArray[np.float64]
PERCENTILE = 99.99
LEVELS = 256
BINS = 2048
# How many ends of a range are tried on each side.
_CUTS = 128
# The least probability of a bin after rounding, so that the divergence is finite.
_UNLIKELY = 1e-9


class ObserverParams(Table):
    """The options of the range."""

    observer: Observer = "mse"
    """Range of a layer's inputs that the 256 levels cover: all values ("minmax"), the values between two
    percentiles ("percentile"), the range with the least squared error ("mse"), or the range that changes the
    distribution least ("entropy")."""
    percentile: float | None = Field(default=None, gt=50, le=100)
    """The p of observer = "percentile", whose range goes from the (100 - p)-th to the p-th percentile;
    default: 99.99."""

    @model_validator(mode="after")
    def _check_percentile(self) -> Self:
        if self.percentile is not None and self.observer != "percentile":
            raise ValueError(f'percentile needs observer = "percentile", but "{self.observer}" was given')
        return self


@dataclass(frozen=True, eq=False)
class Histogram:
    """A histogram. counts: (bins,) of values in bins of equal width from low to high, with 0 between them."""

    counts: Floats
    low: float
    high: float

    @property
    def edges(self) -> Floats:
        """(bins + 1,) the ends of the bins."""
        return np.linspace(self.low, self.high, len(self.counts) + 1)


def observe(
    observer: Observer, histogram: Histogram, *, percentile: float = PERCENTILE
) -> tuple[float, float]:
    """(low, high) of the range that the observer chooses. percentile: in (50, 100], for "percentile"."""
    if observer == "minmax" or not histogram.high > histogram.low:
        return histogram.low, histogram.high
    if observer == "percentile":
        return _find_percentiles(histogram, percentile)
    return _find_least_squares(histogram) if observer == "mse" else _find_least_divergence(histogram)


def _find_percentiles(histogram: Histogram, percentile: float) -> tuple[float, float]:
    shares = np.concatenate([[0.0], np.cumsum(histogram.counts)]) / histogram.counts.sum()
    low, high = np.interp([1 - percentile / 100, percentile / 100], shares, histogram.edges)
    return float(low), float(high)


def _find_least_squares(histogram: Histogram) -> tuple[float, float]:
    """The range with the least clipping error plus rounding error."""
    counts, edges = histogram.counts, histogram.edges
    low_ends, high_ends = _list_ends(histogram.low), _list_ends(histogram.high)
    centres = (edges[1:] + edges[:-1]) / 2
    count_below, error_below = _compute_clipping_error(low_ends, centres, counts, side=-1)
    count_above, error_above = _compute_clipping_error(high_ends, centres, counts, side=1)
    steps = (high_ends[None, :] - low_ends[:, None]) / (LEVELS - 1)
    inside = counts.sum() - count_below[:, None] - count_above[None, :]
    errors = error_below[:, None] + error_above[None, :] + inside * steps**2 / 12
    best_low, best_high = np.unravel_index(np.argmin(errors), errors.shape)
    return float(low_ends[best_low]), float(high_ends[best_high])


def _list_ends(end: float) -> Floats:
    """(_CUTS,) ends to try, in equal steps from `end` to nearly 0; 0 alone if `end` is 0."""
    return end * np.arange(_CUTS, 0, -1) / _CUTS if end else np.zeros(1)


def _compute_clipping_error(
    ends: Floats, centres: Floats, counts: Floats, *, side: int
) -> tuple[Floats, Floats]:
    """(ends,) how many values lie beyond each end, and the sums of their squared distances to it.

    side: -1 for low ends, 1 for high ends.
    """
    beyond = np.clip(side * (centres[None, :] - ends[:, None]), 0, None)
    return (beyond > 0) @ counts, beyond**2 @ counts


def _find_least_divergence(histogram: Histogram) -> tuple[float, float]:
    """The range cut at one magnitude on both sides, of _CUTS, with the least divergence in 256 levels."""
    best_divergence, best_range = np.inf, (histogram.low, histogram.high)
    for cut in _list_ends(max(abs(histogram.low), abs(histogram.high))):
        low, high = max(histogram.low, -cut), min(histogram.high, cut)
        first, last = np.searchsorted(histogram.edges, [low, high], side="left")
        if last - first < LEVELS:
            break
        divergence = _compute_divergence(histogram.counts, first, last)
        if divergence < best_divergence:
            best_divergence, best_range = divergence, (float(low), float(high))
    return best_range


def _compute_divergence(counts: Floats, first: int, last: int) -> float:
    """KL of the counts of bins first to last - 1, with clipped counts at the ends, to their 256 levels."""
    inside = counts[first:last]
    target = inside.copy()
    target[0] += counts[:first].sum()
    target[-1] += counts[last:].sum()
    level = np.arange(len(inside)) * LEVELS // len(inside)
    is_filled = inside > 0
    mean = np.bincount(level, inside, LEVELS) / np.maximum(np.bincount(level, is_filled, LEVELS), 1)
    rounded = np.where(is_filled, mean[level], 0)
    p, q = target / target.sum(), np.maximum(rounded / max(rounded.sum(), 1), _UNLIKELY)
    is_positive = p > 0
    return float(np.sum(p[is_positive] * np.log(p[is_positive] / q[is_positive])))

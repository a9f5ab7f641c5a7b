"""Contrasts: linear functions of both models' values, which budgets limit; one resample serves them all."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from typing import Protocol

from slimgate.judge.decision import ALPHA
from slimgate.judge.root import find_root
from slimgate.judge.rows_needed import find_copies_from_interval
from slimgate.outcomes import Floats

Interval = tuple[float, float]

# Beyond this a relative change says nothing; the search for its bounds stops.
_UNBOUNDED = 1e6
# P-values below this are not distinguished.
_SMALLEST_P = 1e-4
_BISECTIONS = 10


@dataclass(frozen=True)
class Contrast:
    """teacher × (the teacher's value) + variant × (the variant's value) + constant."""

    teacher: float
    variant: float
    constant: float = 0.0

    def __call__(self, before: Floats, after: Floats) -> Floats:
        """The contrast of one or many pairs of values."""
        return self.teacher * before + self.variant * after + self.constant


class PairedValues(Protocol):
    """Both models' values at once, as the rows show them: means, resamples, or influence values."""

    def compute_bounds(self, contrast: Contrast, alpha: float) -> Interval:
        """Its bounds, each at a one-sided level `alpha`."""

    def compute_interval(self, contrast: Contrast) -> Interval:
        """Its two-sided 90 % interval."""

    def p_at_least(self, contrast: Contrast, limit: float) -> float:
        """The p-value of "the true contrast is at least `limit`"."""

    def p_at_most(self, contrast: Contrast, limit: float) -> float:
        """The p-value of "the true contrast is at most `limit`"."""

    def compute_upper_sign(self, contrast: Contrast) -> float:
        """A number that has the sign of the interval's upper bound, and moves with it."""

    def compute_lower_sign(self, contrast: Contrast) -> float:
        """A number that has the sign of the interval's lower bound, and moves with it."""

    def compute_copies_needed(self, contrast: Contrast, limit: float) -> float | None:
        """Factor on the rows to decide the side of `limit` 80 % of the time; None at the limit."""

    def compute_standard_error(self, contrast: Contrast) -> float:
        """Its standard error."""


class PairedByInterval(ABC):
    """Tests by intervals alone: a p-value is the level at which a bound meets the limit."""

    @abstractmethod
    def compute_bounds(self, contrast: Contrast, alpha: float) -> Interval:
        """Its bounds, each at a one-sided level `alpha`."""

    @abstractmethod
    def compute_value(self, contrast: Contrast) -> float:
        """The contrast of the rows."""

    def compute_interval(self, contrast: Contrast) -> Interval:
        """Its two-sided 90 % interval."""
        return self.compute_bounds(contrast, ALPHA)

    def compute_upper_sign(self, contrast: Contrast) -> float:
        """The upper bound."""
        return self.compute_interval(contrast)[1]

    def compute_lower_sign(self, contrast: Contrast) -> float:
        """The lower bound."""
        return self.compute_interval(contrast)[0]

    def p_at_least(self, contrast: Contrast, limit: float) -> float:
        """The p-value of "the true contrast is at least `limit`"."""
        return find_smallest_level(lambda alpha: self.compute_bounds(contrast, alpha)[1] < limit)

    def p_at_most(self, contrast: Contrast, limit: float) -> float:
        """The p-value of "the true contrast is at most `limit`"."""
        return find_smallest_level(lambda alpha: self.compute_bounds(contrast, alpha)[0] > limit)

    def compute_copies_needed(self, contrast: Contrast, limit: float) -> float | None:
        """Factor on the rows to decide the side of `limit` 80 % of the time; None at the limit."""
        value, (low, high) = self.compute_value(contrast), self.compute_interval(contrast)
        return find_copies_from_interval(value, high if value < limit else low, limit)


def find_smallest_level(excluded: Callable[[float], bool]) -> float:
    """The smallest one-sided level at which a limit is excluded, to within 1 % of itself; 1 if no level does.

    It is at most ALPHA exactly if the bounds at ALPHA exclude the limit.
    """
    low, high = (_SMALLEST_P, ALPHA) if excluded(ALPHA) else (ALPHA, 0.5)
    if high > ALPHA and not excluded(high):
        return 1.0
    for _ in range(_BISECTIONS):
        middle = (low * high) ** 0.5
        low, high = (low, middle) if excluded(middle) else (middle, high)
    return high


def make_drop_contrast(*, higher_is_better: bool) -> Contrast:
    """The drop: positive if the variant is worse."""
    return Contrast(1.0, -1.0) if higher_is_better else Contrast(-1.0, 1.0)


OWN_VALUE = Contrast(0.0, 1.0)


@dataclass(frozen=True)
class Relative:
    """A drop as a fraction of a base: the teacher's value, its error rate, or its loss.

    base: it reads the teacher's value alone, so its `variant` is 0.
    """

    drop: Contrast
    base: Contrast

    def make_excess_contrast(self, fraction: float) -> Contrast:
        """The drop beyond that fraction of the base: negative inside the budget."""
        return Contrast(
            self.drop.teacher - fraction * self.base.teacher,
            self.drop.variant - fraction * self.base.variant,
            self.drop.constant - fraction * self.base.constant,
        )

    def compute_interval(self, paired: PairedValues, start: float) -> Interval | None:
        """The fractions that the excess's interval does not exclude (Fieller's method); None if unbounded.

        start: the measured fraction, from which the search for both bounds begins.
        """

        def upper_sign(fraction: float) -> float:
            return paired.compute_upper_sign(self.make_excess_contrast(fraction))

        def lower_sign(fraction: float) -> float:
            return paired.compute_lower_sign(self.make_excess_contrast(fraction))

        step = paired.compute_standard_error(self.make_excess_contrast(start)) or 1e-6
        low, high = _find_crossing(lower_sign, start, -step), _find_crossing(upper_sign, start, step)
        return None if low is None or high is None else (low, high)


def make_relative_to_value(*, higher_is_better: bool) -> Relative:
    """The drop as a fraction of the teacher's value."""
    return Relative(make_drop_contrast(higher_is_better=higher_is_better), Contrast(1.0, 0.0))


def make_ratio_excess(limit: float, *, is_minimum: bool) -> Contrast:
    """Positive if variant / teacher is above the limit, or below it if it is a minimum. Values above 0."""
    return Contrast(limit, -1.0) if is_minimum else Contrast(-limit, 1.0)


def make_relative_to_errors() -> Relative:
    """The drop as a fraction of the teacher's error rate, 1 - value."""
    return Relative(make_drop_contrast(higher_is_better=True), Contrast(-1.0, 0.0, 1.0))


def _find_crossing(bound: Callable[[float], float], start: float, step: float) -> float | None:
    """The root of a falling bound of the excess, searched from `start` in growing steps. None beyond 1e6."""
    near, far = start, start + step
    while bound(far) * step > 0:
        step *= 2
        near, far = far, far + step
        if not abs(far) < _UNBOUNDED:
            return None
    if bound(near) * step <= 0:
        # the bound jumps at `start`, as a bootstrap's may
        return near
    root = find_root(bound, near, far, xtol=1e-9, rtol=1e-6)
    return root if isfinite(root) else None

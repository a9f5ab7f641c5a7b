"""Holm's correction: of many tests at once, the chance to reject any true hypothesis stays at its level."""

from __future__ import annotations

import numpy as np

from slimgate.outcomes import Floats


def holm_adjusted(p_values: Floats) -> Floats:
    """Adjusted p-values, in the order given: those at most `level` are rejected at that family-wise level.

    p_values: (tests,) in [0, 1]; tests may depend on each other in any way.
    Source: Holm 1979, Scandinavian Journal of Statistics 6:65-70.
    """
    tests = len(p_values)
    order = np.argsort(p_values, kind="stable")
    stepped = p_values[order] * (tests - np.arange(tests))
    adjusted = np.empty(tests)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(stepped))
    return adjusted

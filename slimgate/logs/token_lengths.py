"""Whether the prompts of two load tests, or their answers, are equally long: on the whole, not one by one."""

from __future__ import annotations

import numpy as np

from slimgate.outcomes import Floats

# Lengths are alike up to this difference.
ALIKE = 0.05


def is_alike(before: Floats, after: Floats, *, median: bool = True) -> bool:
    """Whether the lengths differ by at most ALIKE.

    Both are sorted and compared rank by rank, because half short and half long requests have the mean of
    equal ones. The mean of these differences counts, relative to the longer mean. median: the medians must be
    alike too, because a budget on a median sees only the requests near it.
    """
    if not (len(before) and len(after)):
        return len(before) == len(after)
    if _mean_difference(before, after) > ALIKE * max(before.mean(), after.mean()):
        return False
    medians = np.median(before), np.median(after)
    return not median or bool(abs(medians[1] - medians[0]) <= ALIKE * max(medians))


def describe_lengths(before: Floats, after: Floats) -> str:
    """What to say of lengths that are not alike."""
    medians = f"{np.median(after):g}, {np.median(before):g} in the base"
    return (
        f"{after.mean():.1f} tokens on average, and {before.mean():.1f} in the base (median {medians}; "
        f"sorted by length they differ by {_mean_difference(before, after):.1f})"
    )


def _mean_difference(before: Floats, after: Floats) -> float:
    """The mean distance of two requests of one rank: the area between the two distribution functions."""
    n = max(len(before), len(after))
    shares = (np.arange(n) + 0.5) / n
    ranked = [np.sort(lengths)[(shares * len(lengths)).astype(int)] for lengths in (before, after)]
    return float(np.abs(ranked[1] - ranked[0]).mean())

"""Groups of rows that the sample does not have: their size, and how they are added."""

from __future__ import annotations

import numpy as np

from slimgate.outcomes import Floats, Ints


def estimate_unseen_size(sizes: Floats, repeats: Floats | None = None) -> float:
    """The mean size of the group of a lost row, if groups are lost in proportion to their sizes.

    sizes: (groups,) rows of each; repeats: (groups,) how many equal groups each entry represents.
    """
    weights = np.ones(len(sizes)) if repeats is None else repeats
    scaled = sizes / sizes.max()
    return float(sizes.max() * (weights @ scaled**3) / (weights @ scaled**2))


def add_groups(groups: Ints | None, count: int = 2) -> tuple[Ints | None, int]:
    """Adds made-up groups of the usual size.

    Args:
        groups: (rows,) the group of each row, any numbers; None: each row is a unit, and so are the new ones.
        count: How many to add.

    Returns:
        The groups, numbered from 0, with the rows of the new ones at the end; and the number of rows of each.
    """
    if groups is None:
        return None, 1
    _, numbers, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    size = max(1, round(estimate_unseen_size(sizes.astype(np.float64))))
    return np.append(numbers, len(sizes) + np.repeat(np.arange(count), size)), size

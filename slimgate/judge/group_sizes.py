"""The size of a group of rows that the sample does not have."""

from __future__ import annotations

import numpy as np

from slimgate.outcomes import Floats


def unseen_size(sizes: Floats, repeats: Floats | None = None) -> float:
    """The mean size of the group of a lost row, if groups are lost in proportion to their sizes.

    sizes: (groups,) rows of each; repeats: (groups,) how many equal groups each entry represents.
    """
    weights = np.ones(len(sizes)) if repeats is None else repeats
    scaled = sizes / sizes.max()
    return float(sizes.max() * (weights @ scaled**3) / (weights @ scaled**2))

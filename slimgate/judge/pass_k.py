"""pass@k and pass^k: the chance that at least one of k answers is right, and that all k are.

Of r repeats of a sample of which c are right, the chances without bias are

    pass^k = C(c, k) / C(r, k)        pass@k = 1 - C(r - c, k) / C(r, k)

Each sample's value is a number between 0 and 1, and their mean is judged as that of any score. A run that
moves the sample's chance p by a little moves the mean by k p^(k-1) times as much (for pass@k, 1 - p instead
of p). The estimate is k C(c, k - 1) / C(r - 1, k - 1): for a wrong answer, the chance that k - 1 of the other
answers are right. k (c / r)^(k-1) would count the answer itself among the others. If one answer of three
differs, it is too small: a drop of pass@3 equal to its budget passed in 8 % of simulated runs.

Sources: Chen et al. 2021, arXiv 2107.03374 (pass@k); Yao et al. 2024, arXiv 2406.12045 (pass^k).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np

from slimgate.outcomes import Floats

_NAME = re.compile(r"pass([@^])([1-9]\d{0,3})")


@dataclass(frozen=True)
class PassMetric:
    """The metric pass@k or pass^k.

    kind: "@", at least one of k answers is right, or "^", all of them are.
    """

    kind: Literal["@", "^"]
    k: int

    @classmethod
    def parse(cls, name: str) -> Self | None:
        """Reads `pass@3` or `pass^3`; None for any other text."""
        match = _NAME.fullmatch(name)
        if match is None:
            return None
        return cls("@" if match[1] == "@" else "^", int(match[2]))

    @property
    def name(self) -> str:
        """The name of the figure, such as `pass^3`."""
        return f"pass{self.kind}{self.k}"


def compute_pass_scores(metric: PassMetric, right: Floats, repeats: Floats) -> tuple[Floats, Floats]:
    """The value of each sample, and how much the mean moves with the chance of the sample.

    right, repeats: (samples,) the number of right answers and of all answers; at least k repeats.
    """
    counted = right if metric.kind == "^" else repeats - right
    # the chance that all k answers are right; for pass@k, that all are wrong
    all_alike = np.ones(len(counted))
    for step in range(metric.k):
        all_alike *= np.maximum(counted - step, 0.0) / (repeats - step)
    slopes = np.full(len(counted), float(metric.k))
    for step in range(metric.k - 1):
        slopes *= np.maximum(counted - step, 0.0) / np.maximum(repeats - 1 - step, 1.0)
    return all_alike if metric.kind == "^" else 1 - all_alike, slopes

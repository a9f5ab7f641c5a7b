"""How far a variant's probabilities are from its teacher's."""

from __future__ import annotations

import numpy as np

from slimgate.outcomes import ClassOutcomes, Floats

# A class that a model calls impossible would make the divergence infinite; so it is at most 27.6 nats a row.
_SMALLEST = 1e-12
_ROWS_AT_ONCE = 65_536


def kl_to_teacher(teacher: ClassOutcomes, variant: ClassOutcomes) -> float | None:
    """Mean over the rows of KL(teacher || variant) in nats, 0 or more; None without probabilities of both."""
    if teacher.probabilities is None or variant.probabilities is None:
        return None
    total = 0.0
    for start in range(0, len(teacher), _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        total += float(_divergences(teacher.probabilities[part], variant.probabilities[part]).sum())
    return max(0.0, total / len(teacher))


def _divergences(before: Floats, after: Floats) -> Floats:
    """(rows, classes) twice -> (rows,); a probability of 0 adds nothing on the teacher's side."""
    ratio = np.log(np.maximum(before, _SMALLEST)) - np.log(np.maximum(after, _SMALLEST))
    return np.asarray((before * ratio).sum(axis=1))

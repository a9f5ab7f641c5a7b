from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from slimgate.outcomes import ClassOutcomes, Ints

Pair = tuple[ClassOutcomes, ClassOutcomes]


def outcomes(
    labels: Ints, predictions: Ints, classes: int, sure: float, groups: Ints | None
) -> ClassOutcomes:
    """Rows that give their prediction the probability `sure` and share the rest out."""
    scores = np.full((len(labels), classes), (1 - sure) / (classes - 1))
    scores[np.arange(len(labels)), predictions] = sure
    ids = np.arange(len(labels)).astype(np.str_)
    names = tuple(f"c{k}" for k in range(classes))
    return ClassOutcomes(ids, labels, predictions, names, scores, groups=groups)


@pytest.fixture(scope="session")
def counted() -> Callable[..., Pair]:
    """counted(n, b, c, both_wrong=0): teacher and variant with b rows lost and c won, labels in turn."""

    def make(
        n: int, b: int = 0, c: int = 0, *, both_wrong: int = 0, classes: int = 2, groups: Ints | None = None
    ) -> Pair:
        labels = np.arange(n) % classes
        wrong = (labels + 1) % classes
        teacher, variant = labels.copy(), labels.copy()
        variant[:b] = wrong[:b]
        teacher[b : b + c] = wrong[b : b + c]
        rows = slice(b + c, b + c + both_wrong)
        teacher[rows] = variant[rows] = wrong[rows]
        return outcomes(labels, teacher, classes, 0.8, groups), outcomes(
            labels, variant, classes, 0.8, groups
        )

    return make


@pytest.fixture(scope="session")
def drawn() -> Callable[..., Pair]:
    """drawn(n, prior, lost, won, accuracy): labels by `prior`, the rows' changes at random."""

    def make(
        n: int,
        *,
        prior: Sequence[float],
        lost: float,
        won: float,
        accuracy: float = 0.85,
        seed: int = 0,
        groups: Ints | None = None,
    ) -> Pair:
        rng = np.random.default_rng(seed)
        k = len(prior)
        labels = rng.choice(k, size=n, p=prior)
        wrong = (labels + rng.integers(1, k, n)) % k
        right = rng.random(n) < accuracy
        change = rng.random(n)
        turned = np.where(right, change < lost / accuracy, change < won / (1 - accuracy))
        teacher = np.where(right, labels, wrong)
        variant = np.where(right ^ turned, labels, wrong)
        return outcomes(labels, teacher, k, 0.7, groups), outcomes(labels, variant, k, 0.7, groups)

    return make

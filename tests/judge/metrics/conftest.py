from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from slimgate.outcomes import ClassOutcomes

MakeOutcomes = Callable[..., ClassOutcomes]


@pytest.fixture(scope="session")
def outcomes_of() -> MakeOutcomes:
    """outcomes_of(labels, predictions, scores=None, classes=None): rows as they stand in a test."""

    def make(
        labels: Sequence[int],
        predictions: Sequence[int] | None = None,
        scores: Sequence[Sequence[float]] | None = None,
        *,
        classes: int | None = None,
    ) -> ClassOutcomes:
        probabilities = None if scores is None else np.asarray(scores, dtype=np.float64)
        if predictions is None:
            assert probabilities is not None
            predictions = [int(best) for best in probabilities.argmax(axis=1)] if len(labels) else []
        if classes is None:
            classes = max(*labels, *predictions) + 1 if probabilities is None else probabilities.shape[1]
        return ClassOutcomes(
            ids=np.arange(len(labels)).astype(np.str_),
            labels=np.asarray(labels, dtype=np.int64),
            predictions=np.asarray(predictions, dtype=np.int64),
            classes=tuple(f"c{k}" for k in range(classes)),
            probabilities=probabilities,
        )

    return make


@pytest.fixture(scope="session")
def random_outcomes(outcomes_of: MakeOutcomes) -> MakeOutcomes:
    """random_outcomes(classes, rows=90, seed=0): predictions better than chance, scores with many ties."""

    def make(classes: int, rows: int = 90, seed: int = 0) -> ClassOutcomes:
        rng = np.random.default_rng(seed)
        labels = rng.integers(0, classes, rows)
        scores = rng.integers(1, 6, size=(rows, classes)).astype(np.float64)
        scores[np.arange(rows), labels] += 2
        scores /= scores.sum(axis=1, keepdims=True)
        outcomes: ClassOutcomes = outcomes_of(labels.tolist(), None, scores.tolist())
        return outcomes

    return make

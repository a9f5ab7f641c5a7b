"""Chooses the rows of a pool that a teacher answers: by uncertainty, by coverage, or at random."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

Strategy = Literal["random", "least_confidence", "margin", "entropy", "k_center"]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def compute_uncertainty(logits: npt.NDArray[np.float32], strategy: Strategy) -> Floats:
    """How uncertain the model is of each row; larger is more uncertain. Source: Settles 2009, section 3.1.

    logits: (rows, classes). least_confidence and margin in 0..1, entropy in nats. Raises ValueError for a
    strategy that does not look at probabilities.
    """
    p = _softmax(logits.astype(np.float64))
    if strategy == "entropy":
        return np.asarray(-(p * np.log(np.where(p > 0, p, 1.0))).sum(axis=1))
    ordered = np.sort(p, axis=1)
    if strategy == "least_confidence":
        return np.asarray(1 - ordered[:, -1])
    if strategy == "margin":
        return np.asarray(1 - (ordered[:, -1] - ordered[:, -2]))
    raise ValueError(f"{strategy} is not a measure of uncertainty")


def select_most_uncertain(scores: Floats, free: Ints, count: int) -> Ints:
    """The `count` positions among `free` with the largest scores; of equal ones the first."""
    return free[np.argsort(-scores[free], kind="stable")[:count]]


def select_by_k_center(features: npt.NDArray[np.float32], chosen: Ints, free: Ints, count: int) -> Ints:
    """`count` positions among `free`, each the farthest from all that are chosen so far.

    features: (rows, width); distances are Euclidean. Without a chosen row it starts at the one farthest from
    the mean. Source: Sener & Savarese 2018, algorithm 1 (k-Center-Greedy).
    """
    points = features.astype(np.float64)
    nearest = np.full(len(free), np.inf)
    if not len(chosen):
        nearest = _compute_distances(points[free], points.mean(axis=0))
    for centre in chosen:
        nearest = np.minimum(nearest, _compute_distances(points[free], points[centre]))
    centres: list[int] = []
    for _ in range(count):
        centre = int(nearest.argmax())
        centres.append(centre)
        distances = _compute_distances(points[free], points[free[centre]])
        nearest = distances if len(centres) == 1 and not len(chosen) else np.minimum(nearest, distances)
        nearest[centres] = -1.0  # rows of equal texts have distance 0: no row is taken twice
    return free[centres]


def compute_round_sizes(rows: int, rounds: int) -> list[int]:
    """`rows` in `rounds` parts that differ by at most one, the larger first: 10 in 3 is 4, 3, 3."""
    size, remainder = divmod(rows, rounds)
    return [size + (number < remainder) for number in range(rounds)]


def _softmax(logits: Floats) -> Floats:
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True))


def _compute_distances(rows: Floats, centre: Floats) -> Floats:
    return np.asarray(np.linalg.norm(rows - centre, axis=1))

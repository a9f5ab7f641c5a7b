"""slimgate.steps.finetune._active_choice: uncertainty by hand, coverage by hand, rounds."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from slimgate.steps.finetune._active_choice import (
    compute_round_sizes,
    compute_uncertainty,
    select_by_k_center,
    select_most_uncertain,
)

# probabilities 1/2 1/4 1/4; 4/5 1/5 0; 1/3 each
LOGITS = np.log(np.array([[2, 1, 1], [4, 1, 1e-300], [1, 1, 1]]))


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("least_confidence", [1 / 2, 1 / 5, 2 / 3]),
        ("margin", [3 / 4, 2 / 5, 1]),
        ("entropy", [1.5 * np.log(2), 0.5004, np.log(3)]),
    ],
)
def test_uncertainty_is_what_settles_says(strategy: str, expected: list[float]) -> None:
    assert compute_uncertainty(LOGITS, strategy) == pytest.approx(expected, abs=1e-4)  # type: ignore[arg-type]


def test_entropy_is_scipys_and_ignores_a_shift_of_the_logits() -> None:
    logits = np.random.default_rng(0).normal(scale=5, size=(50, 7)).astype(np.float32)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert compute_uncertainty(logits, "entropy") == pytest.approx(scipy.stats.entropy(p, axis=1), abs=1e-5)
    assert compute_uncertainty(logits + 300, "entropy") == pytest.approx(
        compute_uncertainty(logits, "entropy"), abs=1e-3
    )


def test_with_two_classes_the_three_rank_rows_alike() -> None:
    logits = np.random.default_rng(1).normal(size=(40, 2)).astype(np.float32)
    ranks = [np.argsort(-compute_uncertainty(logits, s)) for s in ("least_confidence", "margin", "entropy")]  # type: ignore[arg-type]
    assert (ranks[0] == ranks[1]).all()
    assert (ranks[0] == ranks[2]).all()


def test_random_is_no_measure() -> None:
    with pytest.raises(ValueError, match="random is not a measure"):
        compute_uncertainty(LOGITS, "random")


def test_the_most_uncertain_free_rows_are_taken_first_of_equals() -> None:
    scores = np.array([0.9, 0.5, 0.7, 0.7, 0.1])
    assert select_most_uncertain(scores, np.array([1, 2, 3, 4]), 2).tolist() == [2, 3]
    assert select_most_uncertain(scores, np.array([1, 3, 4]), 2).tolist() == [3, 1]


def test_k_center_takes_the_farthest_row_from_all_centers_again() -> None:
    line = np.array([[0], [1], [2], [6], [10]], dtype=np.float32)
    # from 0 the farthest is 10; then 6 (4 away from 10); then 2 (2 away from 0)
    assert select_by_k_center(line, np.array([0]), np.array([1, 2, 3, 4]), 3).tolist() == [4, 3, 2]


def test_k_center_without_a_center_starts_far_from_the_mean() -> None:
    line = np.array([[0], [1], [2], [6], [10]], dtype=np.float32)  # mean 3.8
    assert select_by_k_center(line, np.empty(0, np.int64), np.arange(5), 2).tolist() == [4, 0]
    same = np.zeros((4, 2), dtype=np.float32)
    assert sorted(select_by_k_center(same, np.array([0]), np.array([1, 2, 3]), 3)) == [1, 2, 3]


@pytest.mark.parametrize(
    ("rows", "rounds", "sizes"), [(10, 3, [4, 3, 3]), (9, 3, [3, 3, 3]), (2, 2, [1, 1]), (5, 1, [5])]
)
def test_rounds_share_the_rows(rows: int, rounds: int, sizes: list[int]) -> None:
    assert compute_round_sizes(rows, rounds) == sizes

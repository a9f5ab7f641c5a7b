"""Singular values, what a rank keeps, and ranks under one budget: against numpy and by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from slimgate.errors import BuildError
from slimgate.steps.factorize._low_rank import (
    Decomposition,
    allot_ranks,
    choose_even_ranks,
    compute_energy_share,
    decompose,
    find_energy_rank,
    is_factorization_smaller,
)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


@pytest.mark.parametrize("shape", [(12, 8), (8, 12)], ids=["tall", "wide"])
def test_the_error_of_a_rank_is_the_bound_of_eckart_and_young(shape: tuple[int, int]) -> None:
    weight = random(*shape)
    up, down = decompose(weight).make_factors(3)
    error = np.linalg.norm(weight.numpy() - (up @ down).numpy())
    dropped = np.linalg.svd(weight.numpy(), compute_uv=False)[3:]
    assert error == pytest.approx(np.sqrt((dropped**2).sum()), rel=1e-10)


def test_with_moments_dropped_values_are_the_error_of_outputs() -> None:
    weight, inputs = random(12, 8), random(200, 8, seed=1) @ random(8, 8, seed=2)
    decomposition = decompose(weight, inputs.T @ inputs)
    up, down = decomposition.make_factors(3)
    error = np.linalg.norm(inputs.numpy() @ (weight - up @ down).numpy().T)
    assert error == pytest.approx(np.sqrt((decomposition.values[3:] ** 2).sum()), rel=1e-6)
    plain_up, plain_down = decompose(weight).make_factors(3)
    assert error < 0.9 * np.linalg.norm(inputs.numpy() @ (weight - plain_up @ plain_down).numpy().T)


def test_with_gradients_dropped_values_are_what_the_loss_feels() -> None:
    weight, inputs = random(12, 8), random(200, 8, seed=1) @ random(8, 8, seed=2)
    felt = random(300, 12, seed=3) @ random(12, 12, seed=4)
    decomposition = decompose(weight, inputs.T @ inputs, felt.T @ felt)
    up, down = decomposition.make_factors(3)
    error = np.linalg.norm(felt.numpy() @ (weight - up @ down).numpy() @ inputs.numpy().T)
    assert error == pytest.approx(np.sqrt((decomposition.values[3:] ** 2).sum()), rel=1e-4)
    other_up, other_down = decompose(weight, inputs.T @ inputs).make_factors(3)
    assert error < np.linalg.norm(felt.numpy() @ (weight - other_up @ other_down).numpy() @ inputs.numpy().T)


def test_inputs_of_a_subspace_lose_nothing_at_their_rank() -> None:
    weight, inputs = random(12, 8), random(200, 3, seed=1) @ random(3, 8, seed=2)
    up, down = decompose(weight, inputs.T @ inputs / 200).make_factors(3)
    assert np.allclose(inputs @ (up @ down).T, inputs @ weight.T, atol=1e-5)


@pytest.mark.parametrize("number", [float("inf"), float("nan")])
def test_inputs_that_are_not_finite_are_a_clear_error(number: float) -> None:
    moments = torch.eye(3)
    moments[0, 0] = number
    with pytest.raises(BuildError, match="are NaN or infinite"):
        decompose(random(4, 3), moments)


def test_inputs_of_zeros_are_a_clear_error() -> None:
    with pytest.raises(BuildError, match="are only zeros or constants"):
        decompose(random(4, 3), torch.zeros(3, 3, dtype=torch.float64))


def test_a_matrix_of_zeros_gives_factors_of_zeros() -> None:
    up, down = decompose(torch.zeros(4, 3)).make_factors(1)
    assert torch.equal(up @ down, torch.zeros(4, 3, dtype=torch.float64))


def test_energy_and_rank_worked_by_hand() -> None:
    values = np.array([3.0, 2.0, 1.0])  # squares 9, 4, 1 of 14
    assert compute_energy_share(values, 1) == pytest.approx(9 / 14)
    assert [find_energy_rank(values, e) for e in (0.6, 0.65, 0.9, 0.95, 0.9999)] == [1, 2, 2, 3, 3]


def test_factors_pay_below_the_break_even_rank() -> None:
    assert is_factorization_smaller((4, 4), 1)
    assert not is_factorization_smaller((4, 4), 2)  # 2 * (4 + 4) = 16 numbers, as many as the matrix
    assert is_factorization_smaller((1536, 384), 307)
    assert not is_factorization_smaller((1536, 384), 308)


def of_values(values: list[float]) -> Decomposition:
    size = len(values)
    return Decomposition(torch.eye(size), np.array(values), torch.eye(size))


def test_ranks_go_where_they_keep_most_energy() -> None:
    flat, steep = of_values([3.0, 2.9, 2.8, 2.7] + [0.1] * 6), of_values([10.0, 1.0] + [0.1] * 8)
    ranks = allot_ranks({"flat": flat, "steep": steep}, 0.5)  # 100 of 200 numbers: five ranks of 20
    assert ranks == {"flat": 4, "steep": 1}
    assert choose_even_ranks({"flat": flat, "steep": steep}, 0.5) == {"flat": 2, "steep": 2}
    with pytest.raises(BuildError, match=r"parameter_ratio = 0.1 .* expected at least 0.2"):
        allot_ranks({"flat": flat, "steep": steep}, 0.1)


def test_ranks_stay_in_the_budget_and_use_it() -> None:
    decompositions = {str(seed): decompose(random(40, 30, seed=seed)) for seed in range(5)}
    for ratio in (0.2, 0.5, 0.8):
        ranks = allot_ranks(decompositions, ratio)
        spent = sum(min(rank * 70, 1200) for rank in ranks.values())
        assert ratio * 6000 - 70 < spent <= ratio * 6000

"""Matrices as products of two thin ones: singular values, what a rank keeps, and how ranks are shared out.

    decomposition = decompose(layer.weight, moments.covariance)
    up, down = decomposition.make_factors(find_energy_rank(decomposition.values, 0.9))

With second moments of the inputs X, the truncation error is exactly the error of the outputs: for W L = U S
V' with L L' = X'X, dropping the smallest singular values changes X W' by the root of the sum of their squares
(Wang et al. 2025, SVD-LLM, section 3.1; the plain case is Eckart & Young 1936).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from slimgate.errors import BuildError

Values = npt.NDArray[np.float64]
# A share of the mean second moment that makes it invertible if inputs do not span the space.
_DAMPING = 1e-8
_GRADIENT_DAMPING = 1e-6


@dataclass(frozen=True)
class Decomposition:
    """In float64: left (out, k), values (k,), largest first, projected (k, in); left @ projected is W."""

    left: Tensor
    values: Values
    projected: Tensor

    @property
    def shape(self) -> tuple[int, int]:
        return self.left.shape[0], self.projected.shape[1]

    def make_factors(self, rank: int) -> tuple[Tensor, Tensor]:
        """up (out, rank) and down (rank, in); their product is the best of that rank."""
        root = np.sqrt(np.maximum(self.values[:rank], 1e-12 * self.values[0] + 1e-300))
        scale = torch.from_numpy(root).to(self.left)
        return self.left[:, :rank] * scale, self.projected[:rank] / scale.unsqueeze(1)


@torch.no_grad()
def decompose(
    weight: Tensor, moments: Tensor | None = None, gradients: Tensor | None = None
) -> Decomposition:
    """The singular value decomposition of a weight (out, in), or of its effect on outputs, or on the loss.

    moments: (in, in), second moment or covariance of the inputs; gradients: (out, out), second moment of the
    loss's gradients by the outputs. With moments = L L' and gradients = R' R, it decomposes R W L = U S V'.
    The best W of rank r is R⁻¹ U_r U_r' R W, so L need not be inverted.
    """
    weight = weight.detach().double()
    target = weight if moments is None else weight @ _compute_root(moments)
    if gradients is None:
        left, values, _ = torch.linalg.svd(target, full_matrices=False)
        return Decomposition(left, values.cpu().numpy(), left.t() @ weight)
    gradient_root = _compute_root(gradients, _GRADIENT_DAMPING).t()
    left, values, _ = torch.linalg.svd(gradient_root @ target, full_matrices=False)
    left_of_weight = torch.linalg.solve_triangular(gradient_root, left, upper=True)
    return Decomposition(left_of_weight, values.cpu().numpy(), left.t() @ gradient_root @ weight)


def _compute_root(moments: Tensor, damping: float = _DAMPING) -> Tensor:
    """Lower Cholesky factor of moments plus the least damping that makes them positive definite."""
    if not bool(torch.isfinite(moments).all()):
        raise BuildError("the inputs or gradients of a layer are NaN or infinite")
    scale = float(moments.diagonal().mean())
    if not scale > 0:
        raise BuildError("the inputs or gradients of a layer are only zeros or constants")
    while True:
        damped = moments + damping * scale * torch.eye(len(moments)).to(moments)
        lower, failed = torch.linalg.cholesky_ex(damped)
        if not int(failed):
            return lower  # type: ignore[no-any-return]
        damping *= 10


def compute_energy_share(values: Values, rank: int) -> float:
    """Share of the squared singular values among the first `rank`, in [0, 1]."""
    squares = values**2
    return float(squares[:rank].sum() / squares.sum()) if squares.any() else 1.0


def find_energy_rank(values: Values, energy: float) -> int:
    """The smallest rank that keeps this share of the squared singular values."""
    squares = np.cumsum(values**2)
    return min(int(np.searchsorted(squares, energy * squares[-1])) + 1, len(values))


def is_factorization_smaller(shape: tuple[int, int], rank: int) -> bool:
    """Whether two factors of this rank have fewer parameters than the matrix (out, in)."""
    return rank * (shape[0] + shape[1]) < shape[0] * shape[1]


def choose_even_ranks(decompositions: Mapping[str, Decomposition], parameter_ratio: float) -> dict[str, int]:
    """The rank at which each matrix keeps this share of its parameters, at least 1."""
    return {
        name: max(1, int(parameter_ratio * np.prod(each.shape) / sum(each.shape)))
        for name, each in decompositions.items()
    }


def allot_ranks(decompositions: Mapping[str, Decomposition], parameter_ratio: float) -> dict[str, int]:
    """A rank for each matrix so that all together keep this share of their parameters.

    It buys one singular direction after another, the one with the greatest square per number first, so the
    singular values of all matrices must have the same unit, such as the loss. A matrix whose factors would be
    as large as itself costs its own size. Every matrix gets at least rank 1. Raises BuildError if that
    exceeds the share.
    """
    prices = {name: float(sum(each.shape)) for name, each in decompositions.items()}
    sizes = {name: float(np.prod(each.shape)) for name, each in decompositions.items()}
    worth = {name: each.values**2 / prices[name] for name, each in decompositions.items()}
    offers = np.sort(np.concatenate(list(worth.values())))[::-1]

    def ranks(bought: int) -> dict[str, int]:
        least = offers[bought - 1] if bought else np.inf
        return {name: max(1, int((each >= least).sum())) for name, each in worth.items()}

    def cost(bought: int) -> float:
        return sum(min(rank * prices[name], sizes[name]) for name, rank in ranks(bought).items())

    budget = parameter_ratio * sum(sizes.values())
    if cost(0) > budget:
        raise BuildError(
            f"parameter_ratio = {parameter_ratio} leaves less than rank 1 of {len(decompositions)} matrices; "
            f"expected at least {cost(0) / budget * parameter_ratio:.3g}"
        )
    return ranks(bisect_right(range(1, len(offers) + 1), budget, key=cost))

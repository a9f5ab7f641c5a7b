"""Matrices as products of two thin ones: singular values, what a rank keeps, and who gets how many.

    found = decompose(layer.weight, moments.covariance)
    up, down = found.factors(rank_of_energy(found.values, 0.9))

With second moments of the inputs X, what is truncated is exactly the error of the outputs: for W L = U S V'
with L L' = X'X, dropping the smallest singular values changes X W' by the root of their squares' sum
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
# Of the mean second moment: enough to make it invertible where inputs do not span the space.
_DAMPING = 1e-8


@dataclass
class Moments:
    """What a linear layer received: sums over tokens in float64, from which mean and covariance follow.

    Sums are of differences from `shift`, the first tokens' mean: products can then be taken in float32, which
    is twice as fast, though some features' means are far greater than their spread.
    """

    count: int
    shift: Tensor
    total: Tensor
    products: Tensor

    @classmethod
    def empty(cls, features: int, device: torch.device) -> Moments:
        """Of no tokens yet."""
        zeros = torch.zeros(features, dtype=torch.float64, device=device)
        return cls(0, zeros, zeros.clone(), torch.diag(zeros))

    def add_(self, tokens: Tensor) -> None:
        """tokens: (tokens, features)."""
        if not self.count:
            self.shift = tokens.mean(0).double()  # rounded as the tokens are: it is subtracted exactly
        values = tokens - self.shift.to(tokens)
        self.count += len(values)
        self.total += values.sum(0)
        self.products += values.t() @ values

    @property
    def mean(self) -> Tensor:
        """(features,)"""
        return self.shift + self.total / max(self.count, 1)

    @property
    def covariance(self) -> Tensor:
        """(features, features)"""
        apart = self.total / max(self.count, 1)
        return self.products / max(self.count, 1) - torch.outer(apart, apart)

    @property
    def second_moment(self) -> Tensor:
        """X'X / tokens: (features, features)."""
        return self.covariance + torch.outer(self.mean, self.mean)


@dataclass(frozen=True)
class Decomposition:
    """In float64: left (out, k), orthonormal; values (k,), largest first; projected = left' W (k, in)."""

    left: Tensor
    values: Values
    projected: Tensor

    @property
    def shape(self) -> tuple[int, int]:
        return self.left.shape[0], self.projected.shape[1]

    def factors(self, rank: int) -> tuple[Tensor, Tensor]:
        """up (out, rank) and down (rank, in); their product is the best of that rank."""
        root = np.sqrt(np.maximum(self.values[:rank], 1e-12 * self.values[0] + 1e-300))
        scale = torch.from_numpy(root).to(self.left)
        return self.left[:, :rank] * scale, self.projected[:rank] / scale.unsqueeze(1)


@torch.no_grad()
def decompose(weight: Tensor, moments: Tensor | None = None) -> Decomposition:
    """The singular value decomposition of a weight (out, in), or of what it does to inputs of these moments.

    moments: (in, in), the second moment or covariance of the inputs. With W L = U S V', the best U_r S_r V_r'
    of W L comes from U_r U_r' W, so that L need not be inverted.
    """
    weight = weight.detach().double()
    target = weight if moments is None else weight @ _cholesky(moments)
    left, values, _ = torch.linalg.svd(target, full_matrices=False)
    return Decomposition(left, values.cpu().numpy(), left.t() @ weight)


def _cholesky(moments: Tensor) -> Tensor:
    scale = float(moments.diagonal().mean())
    if not scale > 0:
        raise BuildError("a layer received nothing but zeros or constants: its inputs tell no direction")
    damping = _DAMPING
    while True:
        damped = moments + damping * scale * torch.eye(len(moments)).to(moments)
        lower, failed = torch.linalg.cholesky_ex(damped)
        if not int(failed):
            return lower  # type: ignore[no-any-return]
        damping *= 10


def energy_kept(values: Values, rank: int) -> float:
    """Share of the squared singular values among the first `rank`, in [0, 1]."""
    squares = values**2
    return float(squares[:rank].sum() / squares.sum()) if squares.any() else 1.0


def rank_of_energy(values: Values, energy: float) -> int:
    """The smallest rank that keeps this share of the squared singular values."""
    squares = np.cumsum(values**2)
    return min(int(np.searchsorted(squares, energy * squares[-1])) + 1, len(values))


def pays(shape: tuple[int, int], rank: int) -> bool:
    """Whether two factors of this rank hold fewer numbers than the matrix (out, in)."""
    return rank * (shape[0] + shape[1]) < shape[0] * shape[1]


def allot_ranks(found: Mapping[str, Decomposition], parameter_ratio: float) -> dict[str, int]:
    """A rank for each matrix so that all together keep this share of their numbers.

    One singular direction after another is bought, the one that keeps most of its own matrix's energy per
    number first; a matrix whose factors would be as large as itself costs its own size. Every matrix gets
    rank 1 at least. Raises BuildError where that exceeds the share.
    """
    prices = {name: float(sum(each.shape)) for name, each in found.items()}
    worth = {name: _worth(each.values) / prices[name] for name, each in found.items()}
    offers = np.sort(np.concatenate(list(worth.values())))[::-1]

    def ranks(bought: int) -> dict[str, int]:
        least = offers[bought - 1] if bought else np.inf
        return {name: max(1, int((each >= least).sum())) for name, each in worth.items()}

    def cost(bought: int) -> float:
        return sum(
            min(rank * prices[name], float(np.prod(found[name].shape)))
            for name, rank in ranks(bought).items()
        )

    budget = parameter_ratio * sum(float(np.prod(each.shape)) for each in found.values())
    if cost(0) > budget:
        raise BuildError(
            f"parameter_ratio = {parameter_ratio} leaves less than rank 1 of {len(found)} matrices; "
            f"expected at least {cost(0) / budget * parameter_ratio:.3g}"
        )
    return ranks(bisect_right(range(1, len(offers) + 1), budget, key=cost))


def _worth(values: Values) -> Values:
    squares = values**2
    return squares / squares.sum() if squares.any() else squares

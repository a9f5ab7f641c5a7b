"""How large the inputs of linear layers are on real tokens, and how they go together.

    input_norms(model, layers, batches)["…query"]                 (in_features,)
    input_moments(model, layers, batches)["…query"].covariance    (in_features, in_features)

Padding does not count.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from slimgate.compress.calibration import Batch, watch_inputs
from slimgate.errors import BuildError


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


def input_moments(model: Any, layers: Mapping[str, nn.Linear], batches: list[Batch]) -> dict[str, Moments]:
    """What each layer receives from the batches, in the network as it is now."""
    seen = {name: Moments.empty(layer.in_features, layer.weight.device) for name, layer in layers.items()}
    watch_inputs(model, layers, batches, lambda name, tokens: seen[name].add_(tokens))
    return seen


def second_moments(model: Any, layers: Mapping[str, nn.Linear], batches: list[Batch]) -> dict[str, Tensor]:
    """Mean of x xᵀ over the tokens: (in_features, in_features) float64. Raises BuildError."""
    seen = input_moments(model, layers, batches)
    _check_seen({name: moments.count for name, moments in seen.items()})
    return {name: moments.second_moment for name, moments in seen.items()}


def input_norms(model: Any, layers: Mapping[str, nn.Linear], batches: list[Batch]) -> dict[str, Tensor]:
    """Root mean square of each input over the tokens: (in_features,) float64. Raises BuildError.

    Wanda's ‖x‖ but for a factor that a layer's inputs share.
    """
    sums = {
        name: torch.zeros(layer.in_features, dtype=torch.float64, device=layer.weight.device)
        for name, layer in layers.items()
    }
    tokens = dict.fromkeys(layers, 0)

    def see(name: str, inputs: Tensor) -> None:
        sums[name] += inputs.float().square().sum(dim=0)
        tokens[name] += len(inputs)

    watch_inputs(model, layers, batches, see)
    _check_seen(tokens)
    return {name: (sums[name] / tokens[name]).sqrt() for name in layers}


def _check_seen(tokens: Mapping[str, int]) -> None:
    unseen = [name for name, count in tokens.items() if not count]
    if unseen:
        raise BuildError(
            f"{len(unseen)} linear layers received nothing from the calibration rows, first {unseen[0]}: "
            "they cannot be pruned by their inputs; use magnitude_prune"
        )


def inverse_factor(moments: Tensor, damping: float) -> Tensor:
    """The upper Cholesky factor U of the damped inverse: Uᵀ U = (H + λI)⁻¹. float64. Raises BuildError."""
    damped = moments.double().clone()
    diagonal = damped.diagonal()
    diagonal += damping * float(diagonal.mean())
    diagonal[diagonal == 0] = 1.0  # inputs that are always 0, where no damping was asked for
    return _cholesky(torch.cholesky_inverse(_cholesky(damped)), upper=True)


def _cholesky(matrix: Tensor, *, upper: bool = False) -> Tensor:
    factor: Tensor
    factor, failed = torch.linalg.cholesky_ex(matrix, upper=upper)
    if int(failed):
        raise BuildError(
            f"second moments {tuple(matrix.shape)} of a layer's inputs cannot be inverted; raise damping"
        )
    return factor

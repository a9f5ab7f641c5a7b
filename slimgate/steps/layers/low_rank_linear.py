"""A linear layer as the product of two thin ones.

    layer = LowRankLinear.from_factors(up, down, bias)      # (out, rank), (rank, in)

Both halves are plain nn.Linear, so later steps (int8_dynamic, magnitude_prune, distill, LoRA) change them,
too.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class LowRankLinear(nn.Module):
    """y = (x @ down.T) @ up.T + bias, with rank · (in + out) weights instead of in · out.

    forward: (..., in_features) -> (..., out_features).
    """

    def __init__(self, in_features: int, out_features: int, rank: int, bias: bool = True) -> None:
        super().__init__()
        self.down = nn.Linear(in_features, rank, bias=False)
        self.up = nn.Linear(rank, out_features, bias=bias)

    @classmethod
    def from_factors(cls, up: Tensor, down: Tensor, bias: Tensor | None = None) -> LowRankLinear:
        """The float32 layer of weight up @ down. up: (out, rank); down: (rank, in); bias: (out,)."""
        (out_features, rank), in_features = up.shape, down.shape[1]
        layer = cls(in_features, out_features, rank, bias is not None).to(up.device)
        with torch.no_grad():
            layer.up.weight.copy_(up)
            layer.down.weight.copy_(down)
            if bias is not None:
                layer.up.bias.copy_(bias)
        return layer

    @property
    def in_features(self) -> int:
        return self.down.in_features

    @property
    def out_features(self) -> int:
        """The number of outputs; a later step may have put a layer with fewer here."""
        return self.up.out_features

    @property
    def rank(self) -> int:
        return self.up.in_features

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.up(self.down(inputs))
        return outputs

    def list_options(self) -> dict[str, Any]:
        """The arguments of its constructor."""
        shape = {"in_features": self.in_features, "out_features": self.out_features, "rank": self.rank}
        return {**shape, "bias": getattr(self.up, "bias", None) is not None}

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}, rank={self.rank}"

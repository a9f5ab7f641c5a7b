"""Replacements of sublayers that were removed whole: they return zeros, so that only the residual remains.

    NoLinear(384, 0)                                      no intermediate neurons
    NoLinear(0, 384)                                      zeros, of no inputs
    NoAttention({"q_proj": [384, 0], …, "o_proj": [0, 384]}, head_dim=64, output="o_proj")

The parts keep the names that their family gives them (blocks.py), with a width of 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from slimgate.models.cache_argument import CACHE_NAMES
from slimgate.steps.layers.described import DescribedLayer


class NoLinear(DescribedLayer):
    """A linear layer without inputs or without outputs: (..., in_features) -> zeros (..., out_features)."""

    arguments = ("in_features", "out_features")

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        # no numbers and not saved, so that steps which read each linear layer's weight find none here
        self.register_buffer("weight", torch.zeros(out_features, in_features), persistent=False)
        self.bias = None

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs.new_zeros(*inputs.shape[:-1], self.out_features)


class NoAttention(nn.Module):
    """A self-attention without heads, which replaces the module that holds the head counts.

    layers: name -> (in_features, out_features) of its linear layers; output: the layer that gives the result,
    None in BERT, where it is outside. Returns (zeros, None), as attention does with its weights.
    """

    def __init__(
        self,
        layers: Mapping[str, Sequence[int]],
        *,
        head_dim: int,
        output: str | None,
    ) -> None:
        super().__init__()
        self._layers = {name: list(shape) for name, shape in layers.items()}
        self.head_dim, self.output = head_dim, output
        self.layer_idx: int | None = None  # the block's number, set after the replacement
        for name, (inputs, outputs) in layers.items():
            self.add_module(name, NoLinear(inputs, outputs))

    def forward(self, hidden_states: Tensor, *_: object, **arguments: Any) -> tuple[Tensor, None]:
        caches = [arguments[name] for name in CACHE_NAMES if arguments.get(name) is not None]
        if caches and self.layer_idx is not None:
            # a cache counts the earlier tokens by its layers
            unread = hidden_states.new_zeros(len(hidden_states), 1, hidden_states.shape[1], 1)
            caches[0].update(unread, unread, self.layer_idx)
        context = hidden_states.new_zeros(*hidden_states.shape[:-1], 0)
        return (context if self.output is None else self.get_submodule(self.output)(context)), None

    def list_options(self) -> dict[str, Any]:
        """The arguments of its constructor."""
        return {"layers": self._layers, "head_dim": self.head_dim, "output": self.output}

"""Gradients through layers of integers: forward with integers, backward with the floats they represent.

with gradients_through(network):
    train(model, …)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from slimgate.errors import BuildError


@contextmanager
def gradients_through(network: nn.Module) -> Iterator[list[str]]:
    """Lets gradients pass every quantized linear layer of a network; yields the names of these layers."""
    layers = {name: module for name, module in network.named_modules() if is_quantized_linear(module)}
    for layer in layers.values():
        layer.forward = partial(_forward, layer, layer.forward)
    try:
        yield list(layers)
    finally:
        for layer in layers.values():
            del layer.forward


def is_quantized_linear(module: nn.Module) -> bool:
    """Whether a layer multiplies by a matrix that is no parameter."""
    return (
        hasattr(module, "in_features")
        and not isinstance(module, nn.Linear)
        and (hasattr(module, "quantized_weights") or hasattr(module, "weight_numbers"))
    )


def compute_float_weight(layer: nn.Module) -> Tensor:
    """The floats of a quantized layer's weights: (out_features, in_features) float32. Raises BuildError."""
    quantized: Any = layer
    weight: Tensor = (
        quantized.dequantize_weight() if hasattr(layer, "dequantize_weight") else quantized.weight
    )
    if not weight.is_floating_point():
        if not hasattr(layer, "weight_scale"):
            raise BuildError(f"{type(layer).__name__} does not say what its integers stand for")
        weight = weight.float() * quantized.weight_scale.unsqueeze(1)
    # the factor that the weights were multiplied by before
    smoothing: Tensor | None = getattr(layer, "smoothing", None)
    return (weight if smoothing is None else weight / smoothing).detach().float()


def _forward(layer: nn.Module, plain: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
    outputs: Tensor = _StraightThrough.apply(inputs, layer, plain)  # type: ignore[no-untyped-call]
    return outputs


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, layer: nn.Module, plain: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.layer = layer
        return plain(inputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        weight = compute_float_weight(ctx.layer).to(gradients[0].dtype)
        return gradients[0] @ weight, None, None

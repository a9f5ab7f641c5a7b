"""Converts quantized layers to float ones with the same weights, for formats with another packing."""

from __future__ import annotations

import torch
from torch import nn

from slimgate.errors import BuildError
from slimgate.steps.layers.grid import dequantize
from slimgate.steps.layers.int8_linear import Int8Linear
from slimgate.steps.layers.packed import PackedLinear

Quantized = PackedLinear | Int8Linear


def list_quantized_layers(network: nn.Module) -> dict[str, Quantized]:
    """Name -> layer that gptq, weight_only or int8_dynamic has made."""
    return {name: module for name, module in network.named_modules() if isinstance(module, Quantized)}


def check_float_activations(name: str, layer: Quantized) -> None:
    """Raises BuildError for a layer that rounds its weights again when it computes."""
    if isinstance(layer, PackedLinear) and layer.activations != "float32":
        raise BuildError(
            f'{name} computes by activations = "{layer.activations}", which rounds weights once more; leave '
            "activations out, or use int8_dynamic"
        )


@torch.no_grad()
def make_float_layer(layer: Quantized) -> nn.Linear:
    """A float32 layer with the weights that the levels represent."""
    if isinstance(layer, Int8Linear):
        weight = layer.weight.float() * layer.weight_scale.unsqueeze(1)
    else:
        weight = dequantize(layer.unpack_levels(), layer.make_grid())
    linear = nn.Linear(layer.in_features, layer.out_features, bias=layer.bias is not None)
    linear.weight = nn.Parameter(weight, requires_grad=False)
    if layer.bias is not None:
        linear.bias = nn.Parameter(layer.bias.detach(), requires_grad=False)
    return linear.to(weight.device)

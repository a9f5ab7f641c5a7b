"""Int8 layers in ONNX's own operators: the computation of int8_linear, written for the exporter.

    use_integer_operators_(network)     # before slimgate/models/onnx_export.py exports it

A row's activations are rounded and shifted as in `Int8Linear`, step by step in float32, so the levels
are the same to the bit; MatMulInteger sums their products in int32. The weights stay int8 in the file.
On x86 without VNNI, ONNX Runtime's int8 product may saturate. The product of `Int8Linear` never does.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from slimgate.steps.layers.int8_linear import (
    ROUNDING,
    SMALLEST_RANGE,
    STEPS,
    Int8Embedding,
    Int8Linear,
)


class Int8LinearInGraph(nn.Module):
    """The same y = x W' + b; the weight is transposed, as the operator needs it."""

    weight: Tensor
    weight_sums: Tensor
    weight_scale: Tensor
    bias: Tensor | None

    def __init__(self, layer: Int8Linear) -> None:
        super().__init__()
        self.register_buffer("weight", layer.weight.t().contiguous())
        self.register_buffer("weight_sums", layer.weight.sum(1, dtype=torch.int32))
        self.register_buffer("weight_scale", layer.weight_scale)
        self.register_buffer("bias", None if layer.bias is None else layer.bias.detach())

    def forward(self, inputs: Tensor) -> Tensor:
        rows = inputs.float()
        high, low = rows.amax(-1, keepdim=True).clamp_min(0), rows.amin(-1, keepdim=True).clamp_max(0)
        scale = (high - low).clamp_min(SMALLEST_RANGE) * (1 / STEPS)
        offset = (high + low) / scale * -0.5 + ROUNDING
        levels, zero_point = (rows / scale + offset) - ROUNDING, offset - ROUNDING
        sums = torch.onnx.ops.symbolic(
            "MatMulInteger",
            (levels.to(torch.int8), self.weight),
            dtype=torch.int32,
            shape=(*levels.shape[:-1], self.weight.shape[1]),
        )
        shifted = sums - zero_point.to(torch.int32) * self.weight_sums
        outputs = shifted.float() * self.weight_scale * scale
        return (outputs if self.bias is None else outputs + self.bias).to(inputs.dtype)


class Int8EmbeddingInGraph(nn.Module):
    """The same table: a row of int8, times its scale."""

    weight: Tensor
    weight_scale: Tensor

    def __init__(self, table: Int8Embedding) -> None:
        super().__init__()
        self.register_buffer("weight", table.weight)
        self.register_buffer("weight_scale", table.weight_scale)

    def forward(self, ids: Tensor) -> Tensor:
        return self.weight[ids].to(self.weight_scale.dtype) * self.weight_scale[ids].unsqueeze(-1)


IN_GRAPH: dict[type[nn.Module], type[nn.Module]] = {
    Int8Linear: Int8LinearInGraph,
    Int8Embedding: Int8EmbeddingInGraph,
}


def use_integer_operators_(network: nn.Module) -> int:
    """Replaces the int8 layers of a network; returns their number. The network can then only be exported."""
    layers = [(name, module) for name, module in network.named_modules() if type(module) in IN_GRAPH]
    for name, module in layers:
        parent, _, attribute = name.rpartition(".")
        setattr(network.get_submodule(parent), attribute, IN_GRAPH[type(module)](module))
    return len(layers)

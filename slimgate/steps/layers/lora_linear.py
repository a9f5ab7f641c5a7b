"""A layer with a low-rank adapter next to it (Hu et al. 2022, LoRA, section 4.1).

    layer = LoraLinear(nn.Linear(384, 1536), r=8, scaling=2.0)        # y = base(x) + scaling · (x A') B'
    layer.merge_adapter()                                             # the nn.Linear of the same outputs

The base is any layer of slimgate.steps.layers or a plain nn.Linear, and keeps its form: integer weights
stay integers (Dettmers et al. 2023, QLoRA, section 3). A and B are plain tensors, so that it loads without
peft.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from slimgate.errors import BuildError
from slimgate.models.blocks import read_layer_size
from slimgate.models.replace_modules import describe
from slimgate.plugins.loading import load_object


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


class LoraLinear(nn.Module):
    """base(x) + scaling · dropout(x) A' B': A (r, in_features), B (out_features, r) starts at 0.

    base: a layer, or its description by `describe`. dropout acts only in training, and is not in the options.
    """

    def __init__(
        self,
        base: nn.Module | tuple[str, dict[str, object]],
        *,
        r: int,
        scaling: float,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if not isinstance(base, nn.Module):
            kind, options = base
            base = load_object(kind)(**options)
        assert isinstance(base, nn.Module)
        self.base: Any = base
        self.in_features, self.out_features = read_layer_size(base)
        self.r, self.scaling, self.dropout = r, scaling, dropout
        device = next((t.device for t in (*base.parameters(), *base.buffers())), None)
        self.lora_a = nn.Parameter(torch.empty(r, self.in_features, device=device))
        self.lora_b = nn.Parameter(torch.zeros(self.out_features, r, device=device))
        nn.init.kaiming_uniform_(self.lora_a, a=math.sqrt(5))  # peft's initialization

    @property
    def weight(self) -> Tensor:
        """The base's weight. peft's layers have this attribute too, and pruning steps read it."""
        weight: Tensor = self.base.weight
        return weight

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.base(inputs)
        dropped = functional.dropout(inputs, self.dropout, self.training)
        added = functional.linear(functional.linear(dropped, self.lora_a), self.lora_b)
        return outputs + (added * self.scaling).to(outputs.dtype)

    def compute_update(self) -> Tensor:
        """The adapter's addition to the base's weight: (out_features, in_features)."""
        return self.lora_b @ self.lora_a * self.scaling

    def merge_adapter(self) -> nn.Linear:
        """The base with the adapter in its weight. Raises BuildError if the base is no nn.Linear."""
        if type(self.base) is not nn.Linear:
            raise BuildError(
                f"an adapter cannot be merged into {type(self.base).__name__}, whose weights are not float; "
                "set merge = false"
            )
        with torch.no_grad():
            self.base.weight += self.compute_update()
        return self.base

    def list_options(self) -> dict[str, Any]:
        """The arguments of its constructor."""
        return {"base": list(describe(self.base)), "r": self.r, "scaling": self.scaling}

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}, r={self.r}, scaling={self.scaling}"


class SparseLoraLinear(LoraLinear):
    """An adapter of a pruned nn.Linear that leaves zeros at zero, so the merged layer stays as sparse.

    Dropout would act on inputs of the base as well, so there is none.
    """

    def forward(self, inputs: Tensor) -> Tensor:
        return functional.linear(inputs, self.base.weight + self.compute_update(), self.base.bias)

    def compute_update(self) -> Tensor:
        nonzero: Tensor = self.base.weight != 0
        return super().compute_update() * nonzero

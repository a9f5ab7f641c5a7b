"""A linear layer whose weight is one of torchao's tensors. The state holds the plain tensors inside it.

    layer = TorchaoLinear.from_linear(nn.Linear(384, 1536), Int8WeightOnlyConfig(), compute="float32")

torchao's tensors are wrappers around integers and scales. safetensors holds the inner tensors, and the
layer's options the rest (as JSON, by torchao's own encoder); the first call makes the wrapper again.
"""

from __future__ import annotations

import copy
import json
import logging
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from slimgate._system.quiet import silent
from slimgate.errors import BuildError, MissingExtra
from slimgate.plugins.base import Json
from slimgate.steps.layers.described import DerivingLayer, copy_bias, make_frozen_parameter

if TYPE_CHECKING:
    from torchao.core.config import AOBaseConfig

Compute = Literal["float32", "bfloat16"]


def import_torchao_quantization() -> Any:
    """torchao.quantization, imported without its messages about other machines. Raises MissingExtra."""
    with silent(logging.WARNING):
        try:
            import torchao.quantization
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] != "torchao":
                raise _make_import_error(error) from error
            raise MissingExtra('torchao_quantize needs an extra: pip install "slimgate[torchao]"') from error
        except (ImportError, AttributeError) as error:
            raise _make_import_error(error) from error
        return torchao.quantization


def _make_import_error(error: Exception) -> BuildError:
    """The error if torchao is installed but needs a part that this version of PyTorch lacks."""
    versions = f"torchao {version('torchao')} cannot be imported with torch {torch.__version__}"
    return BuildError(f"{versions} ({error}): install a torchao that fits it, or use int8_dynamic")


class TorchaoLinear(DerivingLayer):
    """y = x W' + b by torchao's kernel for W. Output in the input's dtype; gradients stop here.

    tensors: the inner tensors of W, name -> (dtype, shape); wrapper: the rest of it, as torchao writes it in
    JSON; compute: the format of the kernel's inputs.
    """

    arguments = ("in_features", "out_features", "bias", "compute", "wrapper")
    derived = ("_weight",)
    quantized_weights: ClassVar[tuple[str, ...]] = ("qdata",)
    qdata: Tensor
    bias: nn.Parameter | None
    _weight: Any

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool,
        compute: Compute,
        wrapper: Json,
        tensors: dict[str, tuple[str, list[int]]],
    ) -> None:
        super().__init__()
        self.in_features = in_features
        self.out_features = out_features
        self.compute = compute
        self.wrapper = wrapper
        for name, (dtype, shape) in tensors.items():
            self.register_buffer(name, torch.zeros(shape, dtype=getattr(torch, dtype)))
        self.bias = make_frozen_parameter(torch.zeros(out_features)) if bias else None

    @classmethod
    def from_linear(cls, linear: nn.Linear, config: AOBaseConfig, *, compute: Compute) -> TorchaoLinear:
        """The layer of a float one, on its device. Raises BuildError if torchao does not change the layer."""
        ao = import_torchao_quantization()
        inner = copy.deepcopy(linear).to(getattr(torch, compute))
        with silent(logging.WARNING):
            ao.quantize_(inner, config)
        wrapper = _describe_wrapper(inner.weight)
        shape = f"{linear.out_features} x {linear.in_features}"
        if wrapper is None:
            raise BuildError(
                f"{type(config).__name__} does not quantize a weight of {shape}: this shape does not fit "
                "the configuration"
            )
        tensors = {name: getattr(inner.weight, name) for name in wrapper["_tensor_data_names"]}
        descriptions = {
            name: (str(t.dtype).removeprefix("torch."), list(t.shape)) for name, t in tensors.items()
        }
        layer = cls(
            linear.in_features, linear.out_features, linear.bias is not None, compute, wrapper, descriptions
        )
        for name, tensor in tensors.items():
            setattr(layer, name, tensor.detach().contiguous())
        layer.bias = copy_bias(linear.bias)
        return layer.train(linear.training)

    def forward(self, inputs: Tensor) -> Tensor:
        if self._weight is None:
            self._weight = self._wrap_weight()
        dtype = getattr(torch, self.compute)
        bias = None if self.bias is None else self.bias.to(dtype)
        return functional.linear(inputs.to(dtype), self._weight, bias).to(inputs.dtype)

    def dequantize_weight(self) -> Tensor:
        """(out_features, in_features) float32 that W encodes. Raises BuildError if torchao cannot tell."""
        weight = self._wrap_weight()
        if type(weight).dequantize is Tensor.dequantize:
            kind = type(weight).__name__
            raise BuildError(f"torchao's {kind} does not say what its integers stand for")
        floats: Tensor = weight.dequantize()
        return floats.float()

    def _wrap_weight(self) -> Any:
        import_torchao_quantization()
        with silent(logging.WARNING):
            from torchao.prototype.safetensors.safetensors_utils import object_from_dict

        named = {name: getattr(self, name) for name in self.wrapper["_tensor_data_names"]}
        # torchao changes its input
        wrapper = copy.deepcopy(self.wrapper)
        with torch.inference_mode(False):
            return object_from_dict({**wrapper, "_data": {**wrapper["_data"], **named}})

    def list_options(self) -> Json:
        """The arguments of its constructor."""
        names = self.wrapper["_tensor_data_names"]
        tensors = {name: getattr(self, name) for name in names}
        descriptions = {
            name: [str(tensor.dtype).removeprefix("torch."), list(tensor.shape)]
            for name, tensor in tensors.items()
        }
        return {**super().list_options(), "tensors": descriptions}

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}, {self.wrapper['_type']}, {self.compute}"


def _describe_wrapper(weight: Tensor) -> Json | None:
    """A wrapper as JSON, without the tensors in it; None for a plain tensor."""
    with silent(logging.WARNING):
        from torchao.prototype.safetensors.safetensors_utils import (
            ALLOWED_TENSORS_SUBCLASSES,
            TensorSubclassAttributeJSONEncoder,
        )
    if type(weight).__name__ not in ALLOWED_TENSORS_SUBCLASSES:
        return None
    described: Json = json.loads(json.dumps(weight, cls=TensorSubclassAttributeJSONEncoder))
    return described

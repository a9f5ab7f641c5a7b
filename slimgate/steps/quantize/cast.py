"""Keeps weights in 16 bits: half of the bytes.

    { cast = { dtype = "bfloat16" } }

The step casts the embedding tables and the linear layers. It casts the layer that gives the logits only if
that layer is a table too, as in GPT-2. LayerNorms, biases, softmax, residual sums and logits stay in float32,
as with autocast. CPUs with AVX512-BF16 or AMX and newer GPUs compute natively in bfloat16, GPUs also in
float16. Other devices compute in float32, which saves bytes but no time. bfloat16 has 8 significant bits at
any size. float16 has 11 up to 65,504, and larger inputs of a layer overflow. `fine_tune` and `distill` cannot
train the model afterwards.
Source: Kalamkar et al. 2019 (bfloat16); Micikevicius et al. 2018 (float16).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, cast

from pydantic import model_validator

from slimgate.models.precision import resolve_precision
from slimgate.plugins.context import BuildContext
from slimgate.plugins.params import Table
from slimgate.plugins.step import Step

if TYPE_CHECKING:
    from slimgate.models.torch_model import TorchModel


class Params(Table):
    dtype: Literal["bfloat16", "float16"] = "bfloat16"
    """Format in which weights are stored."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Format in which products are computed: "auto" is the format of `dtype` if the device supports it
    natively, else float32."""

    @model_validator(mode="after")
    def _check_precision(self) -> Params:
        if self.precision not in ("auto", "float32", self.dtype):
            raise ValueError(
                f'precision = "{self.precision}" was given, expected "auto", "float32" or "{self.dtype}"'
            )
        return self


class Cast(Step[Params]):
    takes = frozenset({"torch", "torch_quantized"})
    gives = "torch_quantized"
    claims = ("smaller",)

    def apply(self, model: TorchModel, params: Params, context: BuildContext) -> TorchModel:
        """The model with its matrices in 16 bits."""
        from torch import nn

        from slimgate.models.linear_layers import find_linear_layers, find_tied_heads, share_buffers
        from slimgate.models.plain_layers import convert_scaled_tables_
        from slimgate.models.replace_modules import replace_modules_
        from slimgate.steps.layers.half_linear import HalfEmbedding, HalfLinear

        compute = choose_product_format(params, context.device)
        linear = find_linear_layers(model, inside="network", check_reach=False)
        convert_scaled_tables_(model)
        tables = {name: m for name, m in model.network.named_modules() if type(m) is nn.Embedding}
        tied = find_tied_heads(model.network, tables)
        linear |= {name: cast("nn.Linear", model.network.get_submodule(name)) for name in tied}
        cast_layers: dict[str, nn.Module] = {
            name: HalfEmbedding.from_embedding(table, dtype=params.dtype) for name, table in tables.items()
        }
        for name, layer in linear.items():
            cast_layers[name] = HalfLinear.from_linear(layer, dtype=params.dtype, compute=compute)
            if name in tied:
                share_buffers(cast_layers[name], cast_layers[tied[name]], ("weight",))
        replace_modules_(model, "cast", cast_layers)
        context.log.update(
            dtype=params.dtype, computes_in=compute, linear_layers=len(linear), embedding_tables=len(tables)
        )
        return model


step = Cast()


def choose_product_format(params: Params, device: str) -> Any:
    """The format of the products: "bfloat16", "float16" or "float32"."""
    if params.precision != "auto":
        return params.precision
    if params.dtype == "float16":  # CPUs that multiply it natively are rare, and others take minutes
        return "float16" if device.startswith("cuda") else "float32"
    return resolve_precision("auto", device)

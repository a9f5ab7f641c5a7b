"""Quantizes linear layers to int8, activations on the fly.

    { int8_dynamic = { embeddings = true } }

Weights: symmetric int8; one scale per matrix is the default of torch.ao. Activations: int8, a scale and a
zero point per row, measured when the layer is called, so a row's outcome does not depend on the rest of its
batch. The layer that gives the logits stays in float32 by default: it is small, and its errors change the
answer directly. If it is the token table, as in GPT-2, `embeddings` makes one int8 table of both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, cast

from slimgate.plugins.context import BuildContext
from slimgate.plugins.params import Table
from slimgate.plugins.step import Step

if TYPE_CHECKING:
    from torch import nn

    from slimgate.models.torch_model import TorchModel


class Params(Table):
    embeddings: bool = False
    """Also quantize the token embeddings."""
    output_layer: bool = False
    """Also quantize the output layer, which gives the logits."""
    granularity: Literal["channel", "tensor"] = "channel"
    """Which weights share a scale: the weights of an output channel ("channel"), or of the whole matrix
    ("tensor"), which is less accurate."""


class Int8Dynamic(Step[Params]):
    takes = frozenset({"torch", "torch_quantized"})
    gives = "torch_quantized"
    claims = ("smaller", "faster")

    def apply(self, model: TorchModel, params: Params, context: BuildContext) -> TorchModel:
        """The model with int8 layers in place of float ones."""
        from slimgate.models.linear_layers import (
            find_linear_layers,
            find_tied_heads,
            make_plain_embeddings,
            share_buffers,
        )
        from slimgate.models.replace_modules import note_untied_tables, replace_modules_
        from slimgate.steps.layers.int8_linear import Int8Embedding, Int8Linear

        tables = make_plain_embeddings(model) if params.embeddings else {}
        linear = find_linear_layers(model, inside="network", output=params.output_layer, other_changes=tables)
        tied = find_tied_heads(model.network, tables)
        linear |= {name: cast("nn.Linear", model.network.get_submodule(name)) for name in tied}
        layers: dict[str, Any] = {
            name: Int8Embedding.from_embedding(m, granularity=params.granularity)
            for name, m in tables.items()
        }
        for name, layer in linear.items():
            layers[name] = Int8Linear.from_linear(layer, granularity=params.granularity)
            if name in tied:
                share_buffers(layers[name], layers[tied[name]], ("weight", "weight_scale"))
        context.log.update(note_untied_tables(model.network, layers))
        replace_modules_(model, "int8_dynamic", layers)
        context.log.update(
            linear_layers=len(linear), embedding_tables=len(tables), granularity=params.granularity
        )
        return model


step = Int8Dynamic()

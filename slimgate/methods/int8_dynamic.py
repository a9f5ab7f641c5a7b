"""Quantizes linear layers to int8, activations on the fly.

    { int8_dynamic = { embeddings = true } }

Weights: symmetric int8, a scale per output channel (granularity = "tensor": one per matrix, which is what
torch.ao does unless told otherwise, and loses more). Activations: int8, a scale and a zero point per row,
taken when the layer is called, so that a row's outcome does not depend on what else is in its batch. The
layer that gives the logits stays in float32 unless output_layer = true: it is small, and its errors go
straight to the answer.
"""

from __future__ import annotations

from typing import Any, Literal

from slimgate.protocols import BuildContext
from slimgate.tables import Table

takes = frozenset({"torch", "torch_quantized"})
gives = "torch_quantized"
reads: tuple[str, ...] = ()
uses_teacher = False
stochastic = False
claims = ("smaller", "faster")


class Params(Table):
    """What is quantized beside the linear layers inside the model."""

    embeddings: bool = False
    output_layer: bool = False
    granularity: Literal["channel", "tensor"] = "channel"


def apply(model: Any, params: Params, context: BuildContext) -> Any:
    """The model with int8 layers, where it has float ones."""
    from slimgate.linear_layers import linear_layers
    from slimgate.nn.int8_linear import Int8Embedding, Int8Linear
    from slimgate.replacing import replace_modules_
    from slimgate.token_embeddings import token_embeddings

    tables = token_embeddings(model.network) if params.embeddings else {}
    linear = linear_layers(model, inside="network", output=params.output_layer, beside=tables)
    replace_modules_(
        model,
        "int8_dynamic",
        {
            **{name: Int8Linear.from_linear(m, granularity=params.granularity) for name, m in linear.items()},
            **{
                name: Int8Embedding.from_embedding(m, granularity=params.granularity)
                for name, m in tables.items()
            },
        },
    )
    context.log.update(
        linear_layers=len(linear), embedding_tables=len(tables), granularity=params.granularity
    )
    return model


def restore(network: Any, spec: dict[str, Any]) -> None:
    """Puts empty int8 layers where the artifact has them."""
    from slimgate.replacing import restore as again

    again(network, spec)

"""Quantizes linear layers to int8, activations on the fly.

    { int8_dynamic = { embeddings = true } }

Weights: symmetric int8, a scale per output channel. Activations: int8, a scale and a zero point per row,
taken when the layer is called, so that a row's outcome does not depend on what else is in its batch. The
layer that gives the logits stays in float32 unless output_layer = true: it is small, and its errors go
straight to the answer.
"""

from __future__ import annotations

from typing import Any

from slimgate.errors import BuildError
from slimgate.protocols import BuildContext
from slimgate.tables import Table

takes = frozenset({"torch"})
gives = "torch_int8"
reads: tuple[str, ...] = ()
uses_teacher = False
stochastic = False
claims = ("smaller", "faster")


class Params(Table):
    """What is quantized beside the linear layers inside the model."""

    embeddings: bool = False
    output_layer: bool = False


def apply(model: Any, params: Params, context: BuildContext) -> Any:
    """The model with int8 layers."""
    from slimgate.nn.int8_linear import Int8Embedding, Int8Linear
    from slimgate.torch_model import output_layer

    network = model.network
    kept = None if params.output_layer else output_layer(network, network.config.num_labels)
    linear = {n: m for n, m in _linear_layers(network).items() if m is not kept}
    tables = _token_embeddings(network) if params.embeddings else {}
    if not linear:
        raise BuildError(f"int8_dynamic: {type(network).__name__} has no nn.Linear layers to quantize")
    for name, module in linear.items():
        network.set_submodule(name, Int8Linear.from_linear(module))
    for name, table in tables.items():
        network.set_submodule(name, Int8Embedding.from_embedding(table))
    model.note("int8_dynamic", linear=_shapes(linear), embeddings=_tables(tables))
    context.log.update(linear_layers=len(linear), embedding_tables=len(tables))
    return model


def restore(network: Any, spec: dict[str, Any]) -> None:
    """Puts empty int8 layers where the artifact has them."""
    from slimgate.nn.int8_linear import Int8Embedding, Int8Linear

    for name, (inputs, outputs, bias) in spec["linear"].items():
        network.set_submodule(name, Int8Linear(inputs, outputs, bias=bias))
    for name, (rows, width, padding) in spec["embeddings"].items():
        network.set_submodule(name, Int8Embedding(rows, width, padding_idx=padding))


def _linear_layers(network: Any) -> dict[str, Any]:
    from torch import nn

    return {name: m for name, m in network.named_modules() if isinstance(m, nn.Linear)}


def _token_embeddings(network: Any) -> dict[str, Any]:
    """The big tables; position and type embeddings are small and stay."""
    from torch import nn

    found = {name: m for name, m in network.named_modules() if isinstance(m, nn.Embedding)}
    return {name: m for name, m in found.items() if m.num_embeddings == network.config.vocab_size}


def _shapes(linear: dict[str, Any]) -> dict[str, Any]:
    return {name: [m.in_features, m.out_features, m.bias is not None] for name, m in linear.items()}


def _tables(tables: dict[str, Any]) -> dict[str, Any]:
    return {name: [m.num_embeddings, m.embedding_dim, m.padding_idx] for name, m in tables.items()}

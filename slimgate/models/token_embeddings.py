"""The largest tables of a model: a vector for each token, and output layers that share the table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import nn

from slimgate.models.plain_layers import convert_scaled_tables_

if TYPE_CHECKING:
    from slimgate.models.torch_model import TorchModel


def make_plain_embeddings(model: TorchModel) -> dict[str, nn.Embedding]:
    """`find_token_embeddings` for a step that replaces them: makes scaling tables plain first."""
    convert_scaled_tables_(model)
    return find_token_embeddings(model.network)


def find_token_embeddings(network: nn.Module) -> dict[str, nn.Embedding]:
    """Name -> table with as many rows as the vocabulary; tables of positions and types are left out."""
    vocabulary = getattr(network.config, "vocab_size", None)  # models of images have none
    by_name = {name: m for name, m in network.named_modules() if isinstance(m, nn.Embedding)}
    tables = {name: m for name, m in by_name.items() if m.num_embeddings == vocabulary}
    if len(tables) < 2:
        return tables
    # A model may have as many positions as tokens. Then its input embeddings are the tables of tokens.
    input_modules = {id(m) for source in _find_input_tables(network) for m in source.modules()}
    # Marian has one table under three names, and calls two of them its inputs, so the weights are compared.
    weights = {id(m.weight) for m in tables.values() if id(m) in input_modules}
    return {name: m for name, m in tables.items() if id(m.weight) in weights} or tables


def find_tied_heads(network: nn.Module, tables: Mapping[str, nn.Module]) -> dict[str, str]:
    """Name of each linear layer whose weight is one of these tables -> the table's name."""
    owners = {id(table.weight): name for name, table in tables.items()}
    return {
        name: owners[id(module.weight)]
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear) and id(module.weight) in owners
    }


def share_buffers(layer: nn.Module, table: nn.Module, buffers: Sequence[str]) -> nn.Module:
    """Makes a layer share a table's buffers, which are computed from the same weight. Returns the layer."""
    for name in buffers:
        setattr(layer, name, getattr(table, name))
    return layer


def _find_input_tables(network: nn.Module) -> list[nn.Module]:
    tables: list[nn.Module] = []
    for module in network.modules():
        get_table: Any = getattr(module, "get_input_embeddings", None)
        if get_table is not None:
            tables.append(get_table())
    return tables

"""The big tables of a model: a vector for each token of its vocabulary."""

from __future__ import annotations

from typing import Any

from torch import nn


def token_embeddings(network: nn.Module) -> dict[str, nn.Embedding]:
    """Name -> table of as many rows as the vocabulary; those of positions and types are left out."""
    vocabulary = getattr(network.config, "vocab_size", None)  # images have none
    found = {name: m for name, m in network.named_modules() if isinstance(m, nn.Embedding)}
    tables = {name: m for name, m in found.items() if m.num_embeddings == vocabulary}
    if len(tables) < 2:
        return tables
    # A vocabulary may have as many tokens as there are positions: then the model says which table is which.
    inside = {id(m) for source in _inputs(network) for m in source.modules()}
    return {name: m for name, m in tables.items() if id(m) in inside} or tables


def _inputs(network: nn.Module) -> list[nn.Module]:
    found: list[nn.Module] = []
    for module in network.modules():
        get: Any = getattr(module, "get_input_embeddings", None)
        if get is not None:
            found.append(get())
    return found

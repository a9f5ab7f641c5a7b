"""The big tables of a model: a vector for each token of its vocabulary."""

from __future__ import annotations

from torch import nn


def token_embeddings(network: nn.Module) -> dict[str, nn.Embedding]:
    """Name -> table of as many rows as the vocabulary; those of positions and types are left out."""
    vocabulary = int(network.config.vocab_size)  # type: ignore[arg-type, union-attr]
    found = {name: m for name, m in network.named_modules() if isinstance(m, nn.Embedding)}
    return {name: m for name, m in found.items() if m.num_embeddings == vocabulary}

"""An encoder that gives a vector for each text: pooled, of unit length, in the form of an index.

    encoder -> pooling -> dense (from the model's folder, often none) -> reduce -> unit length -> form

`config.sentence` holds a folder's settings for it (SENTENCE below). reduce and form do nothing until a
step replaces them with a projection, or with a form of fewer bits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from slimgate.models.mean_pooling import PooledEncoder, average_tokens

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

    from slimgate.plugins.base import Json

# texts: how many texts a row has; dense: [{in_features, out_features, bias, activation}] after the pooling.
SENTENCE: dict[str, Any] = {"pooling": "mean", "normalize": True, "texts": 1, "dense": []}
ACTIVATIONS: dict[str, type[nn.Module]] = {"Identity": nn.Identity, "Tanh": nn.Tanh}


class SentenceEncoder(PooledEncoder):
    """Turns texts into vectors, which take the place of other models' logits.

    forward: input_ids, attention_mask (texts, tokens) int64 -> logits (rows, dims). If a row has two texts,
    the first texts of all rows come first, and logits are (rows, 2, dims). They have that shape, too, if
    queries and documents have different forms: [:, 0] is the query's, [:, 1] the document's.
    """

    has_logits_layer = False

    def __init__(self, config: PreTrainedConfig, encoder: nn.Module | None = None) -> None:
        super().__init__(config, encoder)
        self.config.sentence = {**SENTENCE, **(getattr(config, "sentence", None) or {})}
        self.dense = nn.Sequential(*_make_dense_layers(self.config.sentence["dense"]))
        self.reduce: nn.Module = nn.Identity()
        self.form: nn.Module = nn.Identity()

    def answer(self, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """The vectors of the texts, in their form."""
        return self.to_embeddings(pool(tokens, mask, self.config.sentence["pooling"]))

    def to_embeddings(self, pooled: torch.Tensor) -> torch.Tensor:
        """Applies the layers after the pooling. pooled: (texts, features) -> (rows, dims)."""
        vectors = self.reduce(self.dense(pooled))
        if self.config.sentence["normalize"]:
            vectors = nn.functional.normalize(vectors, dim=-1)
        texts = self.config.sentence["texts"]
        if texts > 1:
            vectors = vectors.view(texts, -1, vectors.shape[-1]).transpose(0, 1)
        embeddings: torch.Tensor = self.form(vectors)
        return embeddings


@contextmanager
def one_text_a_row(network: nn.Module) -> Iterator[None]:
    """Inside, each text is a row of its own. Does nothing for other networks."""
    if not isinstance(network, SentenceEncoder):
        yield
        return
    before = network.config.sentence
    network.config.sentence = {**before, "texts": 1}
    try:
        yield
    finally:
        network.config.sentence = before


def pool(tokens: torch.Tensor, mask: torch.Tensor, how: str) -> torch.Tensor:
    """(texts, tokens, features) -> (texts, features): the mean, cls, max or last of the unpadded tokens."""
    # Not len(tokens), because an export would fix that number.
    if how == "cls":
        return tokens[torch.arange(tokens.shape[0], device=tokens.device), mask.argmax(1)]
    if how == "last":
        last = mask.shape[1] - 1 - mask.flip(1).argmax(1)
        return tokens[torch.arange(tokens.shape[0], device=tokens.device), last]
    if how == "max":
        return tokens.masked_fill(mask.unsqueeze(-1) == 0, torch.finfo(tokens.dtype).min).amax(1)
    return average_tokens(tokens, mask)


def _make_dense_layers(layers: Sequence[Json]) -> list[nn.Module]:
    dense_layers: list[nn.Module] = []
    for layer in layers:
        dense_layers.append(nn.Linear(layer["in_features"], layer["out_features"], bias=layer["bias"]))
        if layer["activation"] != "Identity":
            dense_layers.append(ACTIVATIONS[layer["activation"]]())
    return dense_layers

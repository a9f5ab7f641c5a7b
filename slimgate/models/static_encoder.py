"""Models without attention: a text's vector is the weighted mean of its tokens' vectors.

    text = sum of w_i x_i / sum of w_i,    w_i = exp(score of token i)
    x_i  = vector of token i; with bigrams, the vector of the bucket of (token i - 1, token i) is added

Padding has no weight, so an answer does not depend on the rest of the batch. Without bigrams, the order of
the words does not matter. `config.static` holds {"dims": …, "bigrams": number of buckets}.
Source: Joulin et al. 2017 (Bag of Tricks for Efficient Text Classification), section 2.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Self

import torch
from torch import nn
from transformers.modeling_outputs import SequenceClassifierOutput

from slimgate.models.sentence_encoder import SentenceEncoder

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase


# Odd numbers that mix two token ids into one bucket; products of ids below 2³¹ stay below 2⁶³.
FIRST, SECOND = 92_821, 68_917


class StaticEncoder(nn.Module):
    """The embedding tables. forward: input_ids, attention_mask (rows, tokens) int64 -> (rows, dims)."""

    def __init__(self, config: PreTrainedConfig) -> None:
        super().__init__()
        self.config = config
        dims, buckets = config.static["dims"], config.static["bigrams"]
        tables = {
            "tokens": nn.Embedding(config.vocab_size, dims),
            "scores": nn.Embedding(config.vocab_size, 1),
        }
        self.embeddings = nn.ModuleDict(tables)
        self.bigrams = nn.Embedding(buckets, dims) if buckets else None

    def get_input_embeddings(self) -> nn.Module:
        """Both tables that have a row for each token."""
        return self.embeddings

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        vectors = self.embeddings["tokens"](input_ids)
        if self.bigrams is not None:
            vectors = vectors + self._look_up_bigrams(input_ids, attention_mask)
        scores = self.embeddings["scores"](input_ids).squeeze(-1)
        weights = scores.masked_fill(attention_mask == 0, torch.finfo(scores.dtype).min).softmax(-1)
        embeddings: torch.Tensor = (weights.unsqueeze(1) @ vectors).squeeze(1)
        return embeddings

    def _look_up_bigrams(self, input_ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """(rows, tokens, dims), zero for a token without a preceding token."""
        assert self.bigrams is not None
        buckets = (input_ids[:, :-1] * FIRST + input_ids[:, 1:] * SECOND) % self.config.static["bigrams"]
        both_present = (mask[:, :-1] * mask[:, 1:]).unsqueeze(-1)
        vectors = self.bigrams(buckets)
        return nn.functional.pad(vectors * both_present.to(vectors.dtype), (0, 0, 1, 0))

    def has_learnt_bigrams(self) -> bool:
        """Whether a bucket has values, so that tokens must keep their ids."""
        return self.bigrams is not None and any(
            bool(values.any()) for values in self.bigrams.state_dict().values()
        )


class StaticClassifier(nn.Module):
    """text vector -> dropout -> linear. forward: input_ids, attention_mask -> logits (rows, outputs)."""

    def __init__(self, config: PreTrainedConfig) -> None:
        super().__init__()
        self.config, self.encoder = config, StaticEncoder(config)
        dropout = getattr(config, "classifier_dropout", None)
        self.dropout = nn.Dropout(getattr(config, "hidden_dropout_prob", 0.1) if dropout is None else dropout)
        self.classifier = nn.Linear(config.static["dims"], config.num_labels)

    @classmethod
    def from_config(cls, config: PreTrainedConfig) -> Self:
        """Random weights in the shape of a configuration."""
        return cls(config)

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, **_: object
    ) -> SequenceClassifierOutput:
        vectors = self.encoder(input_ids, attention_mask)
        return SequenceClassifierOutput(logits=self.classifier(self.dropout(vectors)))


class StaticSentenceEncoder(SentenceEncoder):
    """A SentenceEncoder whose pooled vectors are those of a StaticEncoder."""

    def __init__(self, config: PreTrainedConfig, encoder: nn.Module | None = None) -> None:
        super().__init__(config, encoder if encoder is not None else StaticEncoder(config))

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, *_: object, **__: object
    ) -> SequenceClassifierOutput:
        return SequenceClassifierOutput(logits=self.to_embeddings(self.encoder(input_ids, attention_mask)))


STATIC, NORMALIZE = "0_StaticEmbedding", "1_Normalize"
# Names that old and new releases know.
_TYPES = "sentence_transformers.models"


def compute_weighted_rows(network: nn.Module) -> torch.Tensor | None:
    """(vocabulary, dims) float32: a vector for each token; the direction of their mean is the answer.

    None for another network, and if a mean cannot be the answer: with bigrams, without unit length, or with
    a form or a layer that a step has added.
    """
    if not isinstance(network, StaticSentenceEncoder) or not network.config.sentence["normalize"]:
        return None
    tokens, scores = (network.encoder.embeddings[name] for name in ("tokens", "scores"))
    plain = (network.reduce, network.form)
    if network.encoder.bigrams is not None or any(type(module) is not nn.Identity for module in plain):
        return None
    if type(tokens) is not nn.Embedding or type(scores) is not nn.Embedding:
        return None
    return (tokens.weight * scores.weight.exp()).detach().float().cpu().contiguous()


def save_static_modules(rows: torch.Tensor, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Writes the files next to others. rows: from compute_weighted_rows; tokenizer: a fast one."""
    import safetensors.torch

    for name in (STATIC, NORMALIZE):
        (folder / name).mkdir()
    safetensors.torch.save_file({"embedding.weight": rows}, folder / STATIC / "model.safetensors")
    tokenizer.backend_tokenizer.save(str(folder / STATIC / "tokenizer.json"), pretty=False)
    modules = [
        {"idx": number, "name": str(number), "path": path, "type": f"{_TYPES}.{path.partition('_')[2]}"}
        for number, path in enumerate((STATIC, NORMALIZE))
    ]
    (folder / "modules.json").write_text(json.dumps(modules, indent=2) + "\n", "utf-8")

"""A static sentence encoder in the files of sentence-transformers, whose StaticEmbedding is a plain mean.

    modules.json   0_StaticEmbedding/model.safetensors + tokenizer.json   1_Normalize/

A weighted mean and the mean of weighted vectors have the same direction, hence the same vector of unit
length. StaticEmbedding does not cut texts, and leaves out the special tokens, whose weight is nearly 0.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from slimgate.models.static_encoder import StaticSentenceEncoder

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

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

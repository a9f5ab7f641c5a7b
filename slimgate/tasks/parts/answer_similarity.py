"""The similarity of two answers in meaning: the cosine of their embeddings by an encoder from the user."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from slimgate._system import quiet
from slimgate.errors import MeasureError
from slimgate.models.model_ref import parse_model_ref
from slimgate.models.saved_files import load_tokenizer
from slimgate.outcomes import Floats
from slimgate.plugins.base import iter_batches

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from slimgate.models.sentence_encoder import SentenceEncoder

_BATCH, _MAX_TOKENS = 32, 512


def compute_similarities(folder: Path, answers: Sequence[str], references: Sequence[str]) -> Floats:
    """(answers,) the cosine of each answer and its reference: 1 for equal texts; negative cosines become 0.

    folder: of an encoder. Raises MeasureError if it lacks weights.
    """
    pairs = list(zip(answers, references, strict=True))
    texts = sorted({text for pair in pairs if pair[0] != pair[1] for text in pair}, key=len)
    vectors = dict(zip(texts, _embed_texts(folder, texts), strict=True))
    values = [
        1.0 if answer == reference else float(vectors[answer] @ vectors[reference])
        for answer, reference in pairs
    ]
    return np.clip(np.asarray(values, dtype=np.float64), 0.0, 1.0)


def _embed_texts(folder: Path, texts: Sequence[str]) -> list[Floats]:
    """A vector of unit length for each text.

    The encoder reads a long text in parts. The text's vector is the mean of theirs, weighted by tokens.
    """
    import torch

    from slimgate.models.config import read_max_positions

    if not texts:
        return []
    tokenizer, network = _load_encoder(folder)
    max_tokens = min(_MAX_TOKENS, read_max_positions(network.config.to_dict()) or _MAX_TOKENS)
    embedded: list[Floats] = []
    for batch_texts in iter_batches(texts, _BATCH):
        parts = tokenizer(
            list(batch_texts),
            padding=True,
            truncation=True,
            max_length=max_tokens,
            return_overflowing_tokens=True,
            return_tensors="pt",
        )
        if not tokenizer.is_fast:  # cuts a long text without returning the rest
            if parts["input_ids"].shape[1] >= max_tokens:
                raise MeasureError(
                    f"encoder {folder}: an answer has {max_tokens} tokens or more, and "
                    f"{type(tokenizer).__name__} does not return those after them; use an encoder with a "
                    "fast tokenizer"
                )
            parts["overflow_to_sample_mapping"] = torch.arange(len(batch_texts))
        ids, masks = parts["input_ids"].split(_BATCH), parts["attention_mask"].split(_BATCH)
        with torch.inference_mode():
            vectors = torch.cat([network(*batch).logits.double() for batch in zip(ids, masks, strict=True)])
            vectors *= parts["attention_mask"].sum(-1, keepdim=True)
            sums = torch.zeros(len(batch_texts), vectors.shape[-1], dtype=vectors.dtype)
            sums.index_add_(0, parts["overflow_to_sample_mapping"], vectors)
        embedded += list(torch.nn.functional.normalize(sums, dim=-1).numpy())
    return embedded


@lru_cache(maxsize=1)
def _load_encoder(folder: Path) -> tuple[PreTrainedTokenizerBase, SentenceEncoder]:
    """The tokenizer and the encoder of a folder, with the folder's pooling, else the mean."""
    from slimgate.models.pretrained import load_config
    from slimgate.models.seeding import isolated_seed
    from slimgate.tasks.parts.sentence_models import load_encoder

    ref = parse_model_ref(str(folder))
    with quiet.silent(), isolated_seed(0):
        config = load_config(ref)
        weights, network = load_encoder(ref, config, {})
        tokenizer = load_tokenizer(folder)
    if weights.missing:
        raise MeasureError(
            f"encoder {folder}: no weights of {weights.missing[0]}; expected a trained encoder"
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer, network.eval()

"""How alike two answers are in meaning: the cosine of their embeddings, by an encoder of the user's."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from slimgate._system import quiet
from slimgate.errors import MeasureError

Floats = npt.NDArray[np.float64]
_BATCH, _MOST_TOKENS = 32, 512


def similarities(folder: Path, answers: Sequence[str], references: Sequence[str]) -> Floats:
    """(answers,) cosines, those below 0 as 0; equal texts have 1. folder: of an encoder.

    Raises MeasureError for a folder whose model gives no embeddings.
    """
    pairs = list(zip(answers, references, strict=True))
    texts = sorted({text for pair in pairs if pair[0] != pair[1] for text in pair}, key=len)
    vectors = dict(zip(texts, _embed(folder, texts), strict=True))
    values = [1.0 if answer == other else float(vectors[answer] @ vectors[other]) for answer, other in pairs]
    return np.clip(np.asarray(values, dtype=np.float64), 0.0, 1.0)


def _embed(folder: Path, texts: Sequence[str]) -> list[Floats]:
    """A vector of unit length for each text."""
    import torch

    if not texts:
        return []
    tokenizer, network = _load(folder)
    embedded: list[Floats] = []
    for start in range(0, len(texts), _BATCH):
        some = list(texts[start : start + _BATCH])
        batch = tokenizer(
            some, padding=True, truncation=True, max_length=_most_tokens(network), return_tensors="pt"
        )
        names = ("input_ids", "attention_mask")
        with torch.inference_mode():
            vectors = network(**{name: batch[name] for name in names}).logits
        unit = torch.nn.functional.normalize(vectors.double(), dim=-1).numpy()
        embedded += list(unit)
    return embedded


@lru_cache(maxsize=1)
def _load(folder: Path) -> tuple[Any, Any]:
    """The tokenizer and the encoder of a folder, pooled as it says, else by the mean."""
    from transformers import AutoConfig, AutoTokenizer

    from slimgate.models.model_ref import parse_model_ref
    from slimgate.models.seeding import isolated_seed
    from slimgate.tasks.parts.sentence_models import load_encoder

    ref = parse_model_ref(str(folder))
    with quiet.silent(), isolated_seed(0):
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        weights, network = load_encoder(ref, config, {})
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    if weights.missing:
        raise MeasureError(
            f"encoder {folder}: no weights of {weights.missing[0]}; expected a trained encoder"
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer, network.eval()


def _most_tokens(network: Any) -> int:
    from slimgate.models.config import longest_text

    return min(_MOST_TOKENS, longest_text(network.config.to_dict()) or _MOST_TOKENS)

"""The similarity of two answers in meaning: the cosine of their embeddings by an encoder from the user."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from slimgate._system import quiet
from slimgate.errors import MeasureError
from slimgate.models.model_ref import parse_model_ref

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from slimgate.models.sentence_encoder import SentenceEncoder

Floats = npt.NDArray[np.float64]
_BATCH, _MOST_TOKENS = 32, 512


def similarities(folder: Path, answers: Sequence[str], references: Sequence[str]) -> Floats:
    """(answers,) the cosine of each answer and its reference: 1 for equal texts; negative cosines become 0.

    folder: of an encoder. Raises MeasureError if it lacks weights.
    """
    pairs = list(zip(answers, references, strict=True))
    texts = sorted({text for pair in pairs if pair[0] != pair[1] for text in pair}, key=len)
    vectors = dict(zip(texts, _embed_texts(folder, texts), strict=True))
    values = [1.0 if answer == other else float(vectors[answer] @ vectors[other]) for answer, other in pairs]
    return np.clip(np.asarray(values, dtype=np.float64), 0.0, 1.0)


def _embed_texts(folder: Path, texts: Sequence[str]) -> list[Floats]:
    """A vector of unit length for each text."""
    import torch

    from slimgate.models.config import longest_text

    if not texts:
        return []
    tokenizer, network = _load_encoder(folder)
    most_tokens = min(_MOST_TOKENS, longest_text(network.config.to_dict()) or _MOST_TOKENS)
    embedded: list[Floats] = []
    for start in range(0, len(texts), _BATCH):
        some = list(texts[start : start + _BATCH])
        batch = tokenizer(some, padding=True, truncation=True, max_length=most_tokens, return_tensors="pt")
        names = ("input_ids", "attention_mask")
        with torch.inference_mode():
            vectors = network(**{name: batch[name] for name in names}).logits
        unit = torch.nn.functional.normalize(vectors.double(), dim=-1).numpy()
        embedded += list(unit)
    return embedded


@lru_cache(maxsize=1)
def _load_encoder(folder: Path) -> tuple[PreTrainedTokenizerBase, SentenceEncoder]:
    """The tokenizer and the encoder of a folder, with the folder's pooling, else the mean."""
    from transformers import AutoConfig, AutoTokenizer

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

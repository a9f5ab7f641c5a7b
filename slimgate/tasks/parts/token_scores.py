"""What a language model's logits say of the tokens that came: nats, and whether they were the likeliest."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

# Logits looked at at a time: a window of 1,024 tokens of GPT-2's vocabulary has 51 million.
CHUNK = 2**24


def window_sums(
    logits: npt.NDArray[np.float32], ids: npt.NDArray[np.int64], counted: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    """(windows, 3) float64: nats, tokens and right tokens, of the tokens that count.

    logits: (windows, tokens, vocabulary), of which those at a place predict the next; ids, counted:
    (windows, tokens).
    """
    found = np.zeros((len(ids), 3))
    for row, (scores, tokens, counts) in enumerate(zip(logits, ids, counted, strict=True)):
        places = np.flatnonzero(counts[1:])
        nats, right = token_nats(torch.from_numpy(scores), torch.from_numpy(tokens), torch.from_numpy(places))
        found[row] = nats, len(places), right
    return found


def token_nats(logits: torch.Tensor, ids: torch.Tensor, places: torch.Tensor) -> tuple[float, float]:
    """Sum of the nats of the tokens behind these places, and how many of them are the likeliest.

    logits: (tokens, vocabulary); ids: (tokens,).
    """
    nats = right = 0.0
    step = at_once(logits)
    for start in range(0, len(places), step):
        some = places[start : start + step]
        scores, following = logits[some].float(), ids[some + 1]
        nats += float(torch.nn.functional.cross_entropy(scores, following, reduction="none").double().sum())
        right += float((scores.argmax(-1) == following).sum())
    return nats, right


def at_once(logits: torch.Tensor) -> int:
    """How many tokens' logits to look at at a time."""
    return max(1, CHUNK // logits.shape[-1])

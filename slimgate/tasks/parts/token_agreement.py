"""How far a variant's next-token distributions are from its teacher's, on gate documents."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from slimgate.protocols import Compared, iter_batches
from slimgate.tasks.parts.token_scores import at_once

# More tokens hardly change their mean, and each takes two models' whole vocabularies.
TOKENS = 20_000
WINDOWS_AT_ONCE = 4


def token_agreement(teacher: Compared, variant: Compared) -> dict[str, Any]:
    """kl_to_teacher, KL(teacher ‖ variant) in nats, and agreement, the share of equal likeliest tokens.

    Means over the counted tokens of windows spread evenly over the gate, some 20,000 tokens at most. Nothing
    where the two read other tokens, so that their places do not correspond.
    """
    kl = same = 0.0
    tokens = 0
    for mine, theirs in _answers(teacher, variant):
        if mine.shape != theirs.shape:
            return {}
        kl += float(_kl(theirs, mine))
        same += float((theirs.argmax(-1) == mine.argmax(-1)).sum())
        tokens += len(mine)
    return {"kl_to_teacher": kl / tokens, "agreement": same / tokens} if tokens else {}


def _answers(teacher: Compared, variant: Compared) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """(tokens, vocabulary) logits of variant and teacher at the same places, a few windows at a time."""
    ours: Any = variant.encoded
    theirs: Any = teacher.encoded
    if list(map(list, ours.columns["input_ids"])) != list(map(list, theirs.columns["input_ids"])):
        return
    for positions in iter_batches(_windows(ours), WINDOWS_AT_ONCE):
        counted = torch.from_numpy(ours.beside(positions)["counted"])[:, 1:]
        logits = [_logits(one, positions)[:, :-1][counted] for one in (variant, teacher)]
        for places in iter_batches(range(len(logits[0])), at_once(logits[0])):
            yield logits[0][places], logits[1][places]


def _windows(encoded: Any) -> list[int]:
    """The windows that are compared."""
    count = max(1, int(TOKENS / encoded.lengths.mean()))
    places = np.linspace(0, len(encoded.lengths) - 1, min(count, len(encoded.lengths)))
    return [int(place) for place in np.unique(places.round())]


def _logits(model: Compared, positions: Any) -> torch.Tensor:
    predictor = model.predictor
    output = predictor.forward(predictor.prepare(model.encoded.batch(positions)))
    return torch.from_numpy(predictor.fetch(output))


def _kl(teacher: torch.Tensor, variant: torch.Tensor) -> torch.Tensor:
    """Sum over tokens."""
    log_p, log_q = teacher.log_softmax(-1), variant.log_softmax(-1)
    return (log_p.exp() * (log_p - log_q)).sum(-1).double().sum()

"""The next-token probabilities of a teacher, kept as its likeliest tokens, and KL of another model from them.

Of each place the TOP likeliest tokens are kept with their log-probabilities, and what is left as one number.
KL over these TOP + 1 classes is at most the KL over the whole vocabulary (the log-sum inequality), and equal
to it for vocabularies of up to TOP tokens.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from slimgate.outcomes import Floats, Ints
from slimgate.protocols import Encoded, Predictor
from slimgate.tasks.parts.language_model import at_once

# Kept of each place. More take more of the store: 8 bytes each.
TOP = 256


@dataclass(frozen=True, eq=False)
class TopTokens:
    """A model's probabilities at every counted place, in the order of the windows.

    ids, log_p: (places, top) the likeliest tokens, the likeliest first, and their log-probabilities; rest:
    (places,) the probability of all others; vocabulary: tokens that were scored.
    """

    ids: npt.NDArray[np.int32]
    log_p: npt.NDArray[np.float32]
    rest: npt.NDArray[np.float32]
    vocabulary: int


def top_tokens(predictor: Predictor, encoded: Encoded, batches: Iterator[list[int]]) -> TopTokens:
    """batches: positions of windows, each once."""
    found: dict[int, tuple[torch.Tensor, ...]] = {}
    vocabulary = 0
    for position, logits in _logits(predictor, encoded, batches):
        vocabulary = logits.shape[-1]
        parts = [_top(logits[some]) for some in _chunks(logits)]
        found[position] = tuple(torch.cat(part) for part in zip(*parts, strict=True))
    ids, log_p, rest = (torch.cat([found[at][part] for at in sorted(found)]).numpy() for part in range(3))
    return TopTokens(ids, log_p, rest, vocabulary)


def kl_from(
    teacher: TopTokens, predictor: Predictor, encoded: Encoded, batches: Iterator[list[int]]
) -> tuple[Floats, npt.NDArray[np.bool_]] | None:
    """KL(teacher || model) in nats at every place, and whether the model finds the teacher's token likeliest.

    None where the model scores another vocabulary.
    """
    begins = np.concatenate([[0], np.cumsum(place_counts(encoded))])
    kl, same = np.zeros(len(teacher.rest)), np.zeros(len(teacher.rest), dtype=np.bool_)
    for position, logits in _logits(predictor, encoded, batches):
        if logits.shape[-1] != teacher.vocabulary:
            return None
        for some in _chunks(logits):
            places = slice(begins[position] + some.start, begins[position] + some.stop)
            kl[places], same[places] = _kl(teacher, places, logits[some])
    return kl, same


def place_counts(encoded: Encoded) -> Ints:
    """(windows,) the places of each window at which a counted token is predicted."""
    every = range(len(encoded.lengths))
    counts = [encoded.extra_arrays([one])["counted"][:, 1:].sum() for one in every]
    return np.asarray(counts, dtype=np.int64)


def _logits(
    predictor: Predictor, encoded: Encoded, batches: Iterator[list[int]]
) -> Iterator[tuple[int, torch.Tensor]]:
    """The position of each window, and (places, vocabulary) logits at its counted places."""
    for positions in batches:
        counted = encoded.extra_arrays(positions)["counted"][:, 1:]
        output = predictor.fetch(predictor.forward(predictor.prepare(encoded.batch(positions))))
        for position, logits, counts in zip(positions, output, counted, strict=True):
            yield position, torch.from_numpy(logits[: counts.shape[0]][counts]).float()


def _chunks(logits: torch.Tensor) -> Iterator[slice]:
    step = at_once(logits)
    for start in range(0, len(logits), step):
        yield slice(start, min(start + step, len(logits)))


def _top(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    log_p = logits.log_softmax(-1)
    top = log_p.topk(min(TOP, log_p.shape[-1]), dim=-1)
    return top.indices.int(), top.values, _rest(log_p, top.indices)


def _rest(log_p: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """The probability of all tokens but these, summed itself: 1 - the others' would round it away."""
    return log_p.exp().scatter_(-1, ids, 0.0).sum(-1)


def _kl(teacher: TopTokens, places: slice, logits: torch.Tensor) -> tuple[Floats, npt.NDArray[np.bool_]]:
    ids = torch.from_numpy(np.ascontiguousarray(teacher.ids[places])).long()
    log_p = torch.from_numpy(np.ascontiguousarray(teacher.log_p[places])).double()
    rest = torch.from_numpy(np.ascontiguousarray(teacher.rest[places])).double()
    log_q = logits.log_softmax(-1)
    of_top = log_q.gather(-1, ids).double()
    others = _rest(log_q, ids).double().clamp_min(torch.finfo(torch.float32).tiny)
    found = (log_p.exp() * (log_p - of_top)).sum(-1)
    found += torch.where(
        rest > 0, rest * (rest.clamp_min(torch.finfo(torch.float32).tiny) / others).log(), 0.0
    )
    # a tie counts as the same; rounding may leave a KL of 0 a little below it
    same = logits.gather(-1, ids[:, :1])[:, 0] == logits.max(-1).values
    return found.clamp_min(0.0).numpy(), same.numpy()

"""Stores a teacher's next-token probabilities in few numbers, and computes the KL of another model from them.

At each position it keeps the TOP likeliest tokens, the probability r of all others, and DRAWN of these
others, drawn by their probabilities p / r. With the other model's q, and its probability s of the same
others:

    KL = sum over the top of p log(p / q)  +  r log(r / s)  +  r KL(p / r || q / s among the others)

The first two terms are exact. They alone are a lower bound, which lacks about the share r of the whole. The
last term is estimated by the mean of log(x) - 1 + 1 / x, x = (p / r) / (q / s), over the drawn tokens: it has
no bias, is never below 0, and is 0 if the models agree (Schulman 2020, Approximating KL divergence).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from slimgate.outcomes import Floats, Ints
from slimgate.plugins.base import Progress, no_progress
from slimgate.plugins.models import Predictor
from slimgate.plugins.rows import Encoded
from slimgate.tasks.parts.language_model import choose_chunk_size

# Tokens that are stored at each position, in 8 bytes each: the likeliest, and drawn ones.
TOP, DRAWN = 128, 128
_TINY = torch.finfo(torch.float32).tiny


@dataclass(frozen=True, eq=False)
class TopTokens:
    """A model's probabilities at every counted position, in the order of the windows.

    ids, log_p: (positions, top + drawn) the likeliest tokens, the likeliest first, then the tokens drawn from
    the others, and their log-probabilities; rest: (positions,) the probability of all tokens except the top;
    vocabulary: the number of scored tokens.
    """

    ids: npt.NDArray[np.int32]
    log_p: npt.NDArray[np.float32]
    rest: npt.NDArray[np.float32]
    vocabulary: int


def find_top_tokens(
    predictor: Predictor,
    encoded: Encoded,
    batches: Iterator[list[int]],
    progress: Progress = no_progress,
) -> TopTokens:
    """The stored probabilities of a model. batches: positions of windows, each once."""
    tops: dict[int, tuple[torch.Tensor, ...]] = {}
    vocabulary, generator = 0, torch.Generator().manual_seed(0)
    for position, logits in _compute_window_logits(predictor, encoded, batches, progress):
        vocabulary = logits.shape[-1]
        chunks = [_select_tokens(logits[chunk], generator) for chunk in _split_places(logits)]
        tops[position] = tuple(torch.cat(tensors) for tensors in zip(*chunks, strict=True))
    in_order = [tops[position] for position in sorted(tops)]
    ids, log_p, rest = (torch.cat(tensors).numpy() for tensors in zip(*in_order, strict=True))
    return TopTokens(ids, log_p, rest, vocabulary)


def compute_kl(
    teacher: TopTokens,
    predictor: Predictor,
    encoded: Encoded,
    batches: Iterator[list[int]],
    progress: Progress = no_progress,
) -> tuple[Floats, npt.NDArray[np.bool_]] | None:
    """KL(teacher || model) in nats at every position, and whether both models find the same token likeliest.

    NaN at a position that no batch has. None if the model scores another vocabulary.
    """
    begins = np.concatenate([[0], np.cumsum(count_places(encoded))])
    kl, same = np.full(len(teacher.rest), np.nan), np.zeros(len(teacher.rest), dtype=np.bool_)
    for position, logits in _compute_window_logits(predictor, encoded, batches, progress):
        if logits.shape[-1] != teacher.vocabulary:
            return None
        for chunk in _split_places(logits):
            places = slice(begins[position] + chunk.start, begins[position] + chunk.stop)
            kl[places], same[places] = _compute_chunk_kl(teacher, places, logits[chunk])
    return kl, same


def count_places(encoded: Encoded) -> Ints:
    """(windows,) the number of positions in each window at which a counted token is predicted."""
    windows = range(len(encoded.lengths))
    counts = [encoded.extra_arrays([window])["counted"][:, 1:].sum() for window in windows]
    return np.asarray(counts, dtype=np.int64)


def _compute_window_logits(
    predictor: Predictor, encoded: Encoded, batches: Iterator[list[int]], progress: Progress
) -> Iterator[tuple[int, torch.Tensor]]:
    """The position of each window, and (places, vocabulary) logits at its counted places."""
    done = 0
    for positions in batches:
        counted = encoded.extra_arrays(positions)["counted"][:, 1:]
        output = predictor.fetch(predictor.forward(predictor.prepare(encoded.batch(positions))))
        for position, logits, counts in zip(positions, output, counted, strict=True):
            yield position, torch.from_numpy(logits[: counts.shape[0]][counts]).float()
        done += len(positions)
        progress("predict", done, len(encoded.lengths))


def _split_places(logits: torch.Tensor) -> Iterator[slice]:
    """Slices of the places, each with as many logits as are processed at a time."""
    step = choose_chunk_size(logits)
    for start in range(0, len(logits), step):
        yield slice(start, min(start + step, len(logits)))


def _select_tokens(
    logits: torch.Tensor, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(ids, log_p, rest) as in TopTokens. logits: (places, vocabulary)."""
    log_p = logits.log_softmax(-1)
    ids = log_p.topk(min(TOP, log_p.shape[-1]), dim=-1).indices
    other_p = log_p.exp().scatter_(-1, ids, 0.0)
    rest = other_p.sum(-1)
    # If no other token is left, any token will do, because its weight is 0.
    other_p[rest <= _TINY] = 1.0
    ids = torch.cat([ids, torch.multinomial(other_p, DRAWN, replacement=True, generator=generator)], dim=-1)
    return ids.int(), log_p.gather(-1, ids), rest


def _compute_chunk_kl(
    teacher: TopTokens, places: slice, logits: torch.Tensor
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """(KL, whether the likeliest token is the same) at some places. logits: (places, vocabulary)."""
    ids, log_p, rest = (
        torch.from_numpy(np.ascontiguousarray(tensor[places]))
        for tensor in (teacher.ids, teacher.log_p, teacher.rest)
    )
    ids, top = ids.long(), min(TOP, teacher.vocabulary)
    log_q = logits.log_softmax(-1)
    other_q = log_q.exp().scatter_(-1, ids[:, :top], 0.0).sum(-1)
    ratios = log_p.double() - log_q.gather(-1, ids).double()
    # For the others: log(r / s), and log of (p / r) / (q / s) at the drawn tokens.
    shift = (rest.double().clamp_min(_TINY) / other_q.double().clamp_min(_TINY)).log()
    drawn = ratios[:, top:] - shift[:, None]
    kl_of_others = (drawn - 1 + (-drawn).exp()).mean(-1)
    likeliest = log_p[:, :top].double().exp()
    # A token that both models exclude has the ratio -inf - -inf.
    divergences = torch.where(likeliest > 0, likeliest * ratios[:, :top], 0.0).sum(-1)
    divergences += torch.where(rest > _TINY, rest.double() * (shift + kl_of_others), 0.0)
    # A tie counts as the same token; rounding may leave a KL of 0 a little below 0.
    same = logits.gather(-1, ids[:, :1])[:, 0] == logits.max(-1).values
    return divergences.clamp_min(0.0).numpy(), same.numpy()

"""Greedy writing with a key-value cache, in two calls: the first token, and all later ones.

Every answer gets as many tokens as the caller asks for: end tokens are ignored. All rows of a batch have the
same length, so nothing is padded and the network needs no mask.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from inspect import signature
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from slimgate.errors import BuildError, MeasureError
from slimgate.models.cache_argument import CACHE_NAMES, make_cache_keyword
from slimgate.models.divergence import Divergence, find_divergence
from slimgate.models.write_answers import is_encoder_decoder, read_decoder_start

if TYPE_CHECKING:
    from transformers import Cache, PreTrainedModel
    from transformers.utils import ModelOutput

# Computes one more token of each row: (rows, 1) tokens and the cache -> (rows, 1) tokens.
NextToken = Callable[[torch.Tensor, Any], torch.Tensor]


@dataclass
class BegunAnswer:
    """An answer after its first token. token: (rows, 1); remaining: how many tokens follow.

    encoded: the encoder's output for the texts; None for a decoder.
    """

    token: torch.Tensor
    cache: Cache
    remaining: int
    encoded: ModelOutput | None = None


def make_cache(network: PreTrainedModel) -> Cache:
    """A cache that grows with each token."""
    from transformers import DynamicCache, EncoderDecoderCache

    if is_encoder_decoder(network):
        return EncoderDecoderCache(DynamicCache(), DynamicCache())
    return DynamicCache(config=network.config)


@torch.inference_mode()
def begin_answer(
    network: PreTrainedModel, input_ids: torch.Tensor, new_tokens: int, cache: Cache
) -> BegunAnswer:
    """The first token after each prompt, or of the answer to each text. cache: empty.

    Raises MeasureError for a network that keeps no cache.
    """
    if not is_encoder_decoder(network):
        token = find_next_token(network, input_ids, cache)
        return BegunAnswer(token, cache, new_tokens - 1)
    encoded = network.get_encoder()(input_ids=input_ids)
    start = torch.full((len(input_ids), 1), read_decoder_start(network), device=input_ids.device)
    token = find_next_token(network, start, cache, encoded)
    return BegunAnswer(token, cache, new_tokens - 1, encoded)


@torch.inference_mode()
def finish_answer(
    network: PreTrainedModel, begun: BegunAnswer, step: NextToken | None = None
) -> torch.Tensor:
    """(rows, new tokens) ids: the first token and later ones. step: computes them; None: the network does."""
    written = [begun.token]
    for _ in range(begun.remaining):
        if step is None:
            token = find_next_token(network, written[-1], begun.cache, begun.encoded)
        else:
            token = step(written[-1], begun.cache).clone()  # a CUDA graph overwrites its earlier output
        written.append(token)
    return torch.cat(written, dim=1)


class StaticCaches:
    """Caches with room for a whole answer from the start, one for each shape; they are reused."""

    def __init__(self, network: PreTrainedModel) -> None:
        """Raises BuildError for an encoder-decoder."""
        if is_encoder_decoder(network):
            raise BuildError(
                f"{type(network).__name__} is an encoder-decoder, and a static cache is for decoders; use "
                'runtime eager with cache = "dynamic"'
            )
        self._network, self._caches = network, dict[tuple[int, int], Any]()

    @torch.inference_mode()
    def make_empty(self, rows: int, tokens: int) -> Cache:
        """An empty cache for this many rows and tokens, prompt and answer together."""
        from transformers import StaticCache

        shape = rows, tokens
        if shape not in self._caches:
            self._caches[shape] = StaticCache(self._network.config, max_cache_len=tokens)
        self._caches[shape].reset()
        return self._caches[shape]


@torch.inference_mode()
def check_answers(
    network: PreTrainedModel, input_ids: torch.Tensor, written: torch.Tensor, writer: str, *, tolerance: float
) -> list[Divergence]:
    """Compares greedy answers with those of the network with a growing cache.

    written: (rows, new tokens); writer: what wrote them, for the error. Returns the first divergent token of
    each row that diverges. Raises BuildError if its score is lower than the expected one's by more than
    `tolerance`, as a share of the scores' root mean square: then it is no rounding of a near tie.
    """
    expected = finish_answer(network, begin_answer(network, input_ids, written.shape[1], make_cache(network)))

    def find_in_row(row: int) -> Divergence | None:
        def score_after(place: int) -> npt.NDArray[np.float32]:
            text = torch.cat([input_ids[row], expected[row, :place]])[None]
            logits: npt.NDArray[np.float32] = network(input_ids=text).logits[0, -1].float().cpu().numpy()
            return logits

        return find_divergence(
            str(row + 1),
            expected[row].tolist(),
            written[row].tolist(),
            score_after,
            scale="root mean square",
        )

    divergences = [divergence for row in range(len(written)) if (divergence := find_in_row(row))]
    worst = max(divergences, key=lambda divergence: divergence.gap, default=None)
    if worst is not None and not worst.gap <= tolerance:
        raise BuildError(
            f"{writer} writes a different answer than the network with a growing cache: "
            f"{worst.describe('row', tolerance)}. Use runtime eager without options"
        )
    return divergences


def find_next_token(
    network: PreTrainedModel, ids: torch.Tensor, cache: Cache, encoded: ModelOutput | None = None
) -> torch.Tensor:
    """(rows, 1) the likeliest tokens after the cached tokens and `ids`, which are added to the cache.

    ids: (rows, tokens). encoded: the output of the encoder, for an encoder-decoder. Raises MeasureError
    if the network returns no cache.
    """
    if encoded is not None:
        inputs = {"decoder_input_ids": ids, "encoder_outputs": encoded}
    else:
        inputs = {"input_ids": ids}
        if "logits_to_keep" in signature(network.forward).parameters:
            inputs["logits_to_keep"] = 1
    output = network(**inputs, **make_cache_keyword(network, cache), use_cache=True)
    if all(getattr(output, name, None) is None for name in CACHE_NAMES):
        raise MeasureError(
            f"{type(network).__name__} keeps no key-value cache, so the time of a token cannot be measured"
        )
    token: torch.Tensor = output.logits[:, -1:].argmax(-1)
    return token


def count_cache_bytes(cache: Cache) -> int:
    """Bytes of all tensors of a cache, including those that are allocated ahead."""
    return sum(tensor.numel() * tensor.element_size() for tensor in _list_cache_tensors(cache))


def _list_cache_tensors(cache: Cache) -> Iterator[torch.Tensor]:
    for part in (getattr(cache, "self_attention_cache", None), getattr(cache, "cross_attention_cache", None)):
        if part is not None:
            yield from _list_cache_tensors(part)
    for layer in getattr(cache, "layers", ()):
        yield from (
            tensor for tensor in vars(layer).values() if isinstance(tensor, torch.Tensor) and tensor.dim() > 1
        )

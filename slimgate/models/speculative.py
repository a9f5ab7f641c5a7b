"""Speculative decoding: a small draft model proposes tokens, and one pass of the main model verifies them.

Decoding is greedy, so the answer is the main model's own. A proposed token is kept if the main model would
have written it. The pass also gives the token after the last one that was kept, so each pass writes at least
one token, and at most one more than were proposed. Tokens that were not kept are removed from the key-value
caches.

A pass over several tokens adds in another order than a pass over one token. So an answer may differ from that
of the main model alone, at a near tie only (slimgate/models/divergence.py).

Sources: Leviathan et al. 2023 (Fast Inference from Transformers via Speculative Decoding); Chen et al. 2023
(Accelerating Large Language Model Decoding with Speculative Sampling).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import TYPE_CHECKING, Any

import torch

from slimgate.errors import MeasureError
from slimgate.models.write_by_length import has_ended

if TYPE_CHECKING:
    from transformers import DynamicCache, PreTrainedModel, PreTrainedTokenizerBase

    from slimgate.models.write_answers import Writing


@dataclass(frozen=True)
class Draft:
    """The model that proposes tokens, and how many it proposes for each pass of the main model."""

    network: PreTrainedModel
    tokens: int


class SpeculativeAnswer:
    """A greedy answer to one prompt, which `begin` and `extend` write.

    count: how many tokens it gets; ends: end tokens, after which nothing is proposed. passes: how many passes
    of the main model verified proposed tokens, without the first pass over the prompt.
    """

    def __init__(
        self,
        network: PreTrainedModel,
        draft: Draft,
        prompt: Sequence[int],
        count: int,
        ends: Collection[int] = (),
    ) -> None:
        from transformers import DynamicCache

        self._network, self._draft = network, draft
        # Without the configuration, layers with a sliding window keep all tokens, so that some can be
        # removed.
        self._cache, self._draft_cache = DynamicCache(), DynamicCache()
        self._text, self._prompt_tokens = list(prompt), len(prompt)
        self._count, self._ends = count, ends
        self.passes = 0

    @property
    def written(self) -> list[int]:
        """The tokens so far."""
        return self._text[self._prompt_tokens :]

    @property
    def remaining(self) -> int:
        """How many tokens are still to be written."""
        return self._prompt_tokens + self._count - len(self._text)

    @property
    def caches(self) -> tuple[DynamicCache, DynamicCache]:
        """The key-value caches of the main model and of the draft."""
        return self._cache, self._draft_cache

    @torch.inference_mode()
    def begin(self) -> int:
        """Writes the first token. Raises MeasureError for a main model that keeps no key-value cache."""
        [token] = _predict(self._network, self._text, self._cache, 1)
        if self._cache.get_seq_length() != len(self._text):
            raise MeasureError(
                f"{type(self._network).__name__} keeps no key-value cache, so a draft cannot speed it up"
            )
        self._text.append(token)
        return token

    @torch.inference_mode()
    def extend(self) -> list[int]:
        """Writes the tokens of one more pass, and returns them: at least one, at most `remaining`."""
        proposed = self._propose(min(self._draft.tokens, self.remaining - 1))
        predicted = _predict(self._network, [self._text[-1], *proposed], self._cache, len(proposed) + 1)
        accepted = _count_equal(proposed, predicted)
        _remove_last(self._cache, len(proposed) - accepted)
        _remove_last(self._draft_cache, len(proposed) - 1 - accepted)  # the draft has not read its last token
        self._text += predicted[: accepted + 1]
        self.passes += 1
        return predicted[: accepted + 1]

    def _propose(self, count: int) -> list[int]:
        proposed: list[int] = []
        unread = self._text[self._draft_cache.get_seq_length() :]
        while len(proposed) < count and (not proposed or proposed[-1] not in self._ends):
            proposed += _predict(self._draft.network, unread, self._draft_cache, 1)
            unread = proposed[-1:]
        return proposed


def write_with_draft(
    network: PreTrainedModel,
    draft: Draft,
    tokenizer: PreTrainedTokenizerBase,
    prompt: Sequence[int],
    how: Writing,
    ends: Collection[int],
) -> tuple[list[int], int]:
    """The tokens of the answer to one prompt, with its end token, and the passes that verified them.

    Raises MeasureError if `how` draws, and for a main model without a key-value cache.
    """
    if how.temperature:
        raise MeasureError("a draft model proposes the likeliest tokens; set temperature = 0")
    answer = SpeculativeAnswer(network, draft, prompt, how.max_new_tokens, ends)
    written, fresh = list[int](), [answer.begin()]
    while True:
        for token in fresh:
            written.append(token)
            if has_ended(tokenizer, written, ends, how.stop):
                return written, answer.passes
        if not answer.remaining:
            return written, answer.passes
        fresh = answer.extend()


def _predict(network: PreTrainedModel, ids: Sequence[int], cache: DynamicCache, count: int) -> list[int]:
    """The likeliest token after each of the last `count` ids.

    ids: they follow the cached tokens, and join the cache.
    """
    inputs: dict[str, Any] = {"input_ids": torch.tensor([ids], device=next(network.parameters()).device)}
    if "logits_to_keep" in signature(network.forward).parameters:
        inputs["logits_to_keep"] = count
    output = network(**inputs, past_key_values=cache, use_cache=True)
    tokens: list[int] = output.logits[0, -count:].argmax(-1).tolist()
    return tokens


def _count_equal(proposed: Sequence[int], predicted: Sequence[int]) -> int:
    """How many equal tokens both begin with."""
    pairs = enumerate(zip(proposed, predicted, strict=False))
    return next((place for place, (token, other) in pairs if token != other), len(proposed))


def _remove_last(cache: DynamicCache, count: int) -> None:
    if count > 0:
        cache.crop(-count)

"""Speculative decoding: a small draft model proposes tokens, and one pass of the main model verifies them.

Decoding is greedy, so the answer is the main model's own. A proposed token is kept if the main model would
have written it. The pass also gives the token after the last one that was kept, so each pass writes at least
one token, and at most one more than were proposed. Tokens that were not kept are removed from the key-value
caches.

A pass over several tokens adds numbers in another order than a pass over one token. So the answer may differ
from that of the main model alone, but only at a near tie (slimgate/models/divergence.py).

Both models are one artifact of kind speculative. Its folder is that of the main model
(slimgate/models/torch_model.py), and also has:

    draft/            the files of the draft, without a tokenizer: both models have the same
    slimgate.json     also "draft": {"folder": "draft", "tokens": 4}

Sources: Leviathan et al. 2023 (Fast Inference from Transformers via Speculative Decoding); Chen et al. 2023
(Accelerating Large Language Model Decoding with Speculative Sampling).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import torch

from slimgate.errors import MeasureError
from slimgate.models.cache_argument import make_cache_keyword
from slimgate.models.divergence import count_common_prefix
from slimgate.models.saved_files import DESCRIPTION, SPECULATIVE, read_description
from slimgate.models.torch_model import TorchModel, load_torch_model
from slimgate.models.write_by_length import has_ended

if TYPE_CHECKING:
    from transformers import DynamicCache, PreTrainedModel, PreTrainedTokenizerBase

    from slimgate.models.write_answers import SamplingParams

NOTE = FOLDER = "draft"


class CachedText(Protocol):
    """The text that a model has read so far, in its key-value cache. length: its number of tokens."""

    length: int

    def predict(self, ids: Sequence[int], count: int) -> list[int]:
        """Reads further tokens, and returns the likeliest token after each of the last `count` of them."""

    def remove_last(self, count: int) -> None:
        """Removes the last tokens from the cache."""


@dataclass(frozen=True)
class Draft:
    """The model that proposes tokens. tokens: the number that it proposes for each pass of the main model."""

    network: PreTrainedModel
    tokens: int


class SpeculativeAnswer:
    """A greedy answer to one prompt, which `begin` and `extend` write.

    main, draft: empty texts of the main model and of the draft. draft_tokens: the number of tokens that the
    draft proposes for each pass. count: the number of tokens of the answer. ends: end tokens; the draft
    proposes nothing after them. passes: the number of passes of the main model, without the first one over
    the prompt.
    """

    def __init__(
        self,
        main: CachedText,
        draft: CachedText,
        draft_tokens: int,
        prompt: Sequence[int],
        count: int,
        ends: Collection[int] = (),
    ) -> None:
        self.main, self.draft, self._draft_tokens = main, draft, draft_tokens
        self._text, self._prompt_tokens = list(prompt), len(prompt)
        self._count, self.ends = count, ends
        self.passes = 0

    @property
    def written(self) -> list[int]:
        """The tokens that are written so far."""
        return self._text[self._prompt_tokens :]

    @property
    def remaining(self) -> int:
        """The number of tokens that are not written yet."""
        return self._prompt_tokens + self._count - len(self._text)

    def begin(self) -> int:
        """Writes the first token. Raises MeasureError for a main model that keeps no key-value cache."""
        [token] = self.main.predict(self._text, 1)
        self._text.append(token)
        return token

    def extend(self) -> list[int]:
        """Writes the tokens of one more pass, and returns them: at least one, at most `remaining`."""
        proposed = self._propose(min(self._draft_tokens, self.remaining - 1))
        predicted = self.main.predict([self._text[-1], *proposed], len(proposed) + 1)
        accepted = count_common_prefix(proposed, predicted)
        self.main.remove_last(len(proposed) - accepted)
        self.draft.remove_last(max(0, len(proposed) - 1 - accepted))  # the draft has not read its last token
        self._text += predicted[: accepted + 1]
        self.passes += 1
        return predicted[: accepted + 1]

    def _propose(self, count: int) -> list[int]:
        proposed: list[int] = []
        unread = self._text[self.draft.length :]
        while len(proposed) < count and (not proposed or proposed[-1] not in self.ends):
            proposed += self.draft.predict(unread, 1)
            unread = proposed[-1:]
        return proposed


def write_with_draft(
    answer: SpeculativeAnswer, tokenizer: PreTrainedTokenizerBase, sampling: SamplingParams
) -> tuple[list[int], int]:
    """Writes an answer. Returns its tokens, with the end token, and the number of passes after the first.

    Raises MeasureError for a temperature above 0, and for a main model without a key-value cache.
    """
    if sampling.temperature:
        raise MeasureError("a draft model proposes the likeliest tokens; set temperature = 0")
    written, new_tokens = list[int](), [answer.begin()]
    while True:
        for token in new_tokens:
            written.append(token)
            if has_ended(tokenizer, written, answer.ends, sampling.stop):
                return written, answer.passes
        if not answer.remaining:
            return written, answer.passes
        new_tokens = answer.extend()


class NetworkText:
    """A CachedText for a network of transformers."""

    def __init__(self, network: PreTrainedModel) -> None:
        from transformers import DynamicCache

        self._network = network
        # Made without the configuration, the cache keeps all tokens in layers with a sliding window, so that
        # tokens can be removed.
        self.cache: DynamicCache = DynamicCache()
        self.length = 0

    @torch.inference_mode()
    def predict(self, ids: Sequence[int], count: int) -> list[int]:
        """See CachedText. Raises MeasureError for a network that keeps no key-value cache."""
        inputs: dict[str, Any] = {
            "input_ids": torch.tensor([ids], device=next(self._network.parameters()).device)
        }
        if "logits_to_keep" in signature(self._network.forward).parameters:
            inputs["logits_to_keep"] = count
        output = self._network(**inputs, **make_cache_keyword(self._network, self.cache), use_cache=True)
        self.length += len(ids)
        if self.cache.get_seq_length() != self.length:
            raise MeasureError(
                f"{type(self._network).__name__} keeps no key-value cache, so a draft cannot speed it up"
            )
        tokens: list[int] = output.logits[0, -count:].argmax(-1).tolist()
        return tokens

    def remove_last(self, count: int) -> None:
        """See CachedText."""
        if count:
            self.cache.crop(-count)
            self.length -= count


def make_network_answer(
    network: PreTrainedModel, draft: Draft, prompt: Sequence[int], count: int, ends: Collection[int] = ()
) -> SpeculativeAnswer:
    """Makes a SpeculativeAnswer for a network and a draft of transformers."""
    return SpeculativeAnswer(
        NetworkText(network), NetworkText(draft.network), draft.tokens, prompt, count, ends
    )


@dataclass
class SpeculativeModel(TorchModel):
    """The main model, and its draft. draft_tokens: how many the draft proposes for each pass."""

    draft: TorchModel = field(kw_only=True)
    draft_tokens: int = field(kw_only=True)

    def code_modules(self) -> list[str]:
        """The modules of both models."""
        return sorted({*super().code_modules(), *self.draft.code_modules()})

    def measure_size(self) -> dict[str, int]:
        """The sums over both models."""
        main, draft = super().measure_size(), self.draft.measure_size()
        return {name: main[name] + draft[name] for name in main}

    def save(self, folder: Path) -> None:
        """Writes the files of both models.

        Args:
            folder: a folder that exists.

        Raises:
            BuildError: if weights are NaN or infinite.
        """
        super().save(folder)
        (folder / FOLDER).mkdir()
        self.draft.save_network(folder / FOLDER)
        description = {**read_description(folder), NOTE: {"folder": FOLDER, "tokens": self.draft_tokens}}
        (folder / DESCRIPTION).write_text(json.dumps(description, indent=1), "utf-8")


def load_speculative(folder: Path, *, device: str) -> SpeculativeModel:
    """Loads what `SpeculativeModel.save` wrote, in evaluation mode.

    Args:
        folder: the artifact's folder.
        device: to load both models on.
    """
    note = read_description(folder)[NOTE]
    main = load_torch_model(folder, device=device)
    draft = load_torch_model(folder / note["folder"], device=device, tokenizer=main.tokenizer)
    return add_draft(main, draft, note["tokens"])


def add_draft(main: TorchModel, draft: TorchModel, tokens: int) -> SpeculativeModel:
    """A main model with its draft. tokens: how many the draft proposes for each pass."""
    return SpeculativeModel(
        main.network,
        main.tokenizer,
        main.architecture,
        SPECULATIVE,
        main.modifications,
        draft=draft,
        draft_tokens=tokens,
    )


def find_draft(model: object) -> Draft | None:
    """The model that proposes tokens; None if the model writes alone."""
    if not isinstance(model, SpeculativeModel):
        return None
    return Draft(cast("PreTrainedModel", model.draft.network), model.draft_tokens)

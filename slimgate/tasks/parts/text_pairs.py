"""Texts with the answers that an encoder-decoder learns to write.

    input_ids           the text, padded on the right
    decoder_input_ids   the start token, and the answer without its last token
    labels              the answer with its end token

The start token belongs to the model. Its tokenizer stores it, because rows are encoded by a tokenizer alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

import numpy as np

from slimgate.errors import BuildError, DataError
from slimgate.models.torch_model import TorchModel
from slimgate.plugins.base import Arrays
from slimgate.plugins.context import BuildContext
from slimgate.plugins.models import NEW_TOKENS, ModelRef
from slimgate.tasks.parts.encoding import keep_truncation, make_encoded_fields
from slimgate.tasks.parts.language_model import load_text_model
from slimgate.tasks.parts.prompts import Prompts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TEXT_TO_TEXT = "transformers:AutoModelForSeq2SeqLM"
DECODER_INPUTS = "decoder_input_ids"
# A setting that is saved with the tokenizer: the token with which its model begins an answer.
START = "decoder_start"
_START_ID = "decoder_start_token_id"


def load_encoder_decoder(
    ref: ModelRef, context: BuildContext, texts: Callable[[], Sequence[str]]
) -> TorchModel:
    """The TorchModel of a ref. texts(): the texts for the tokenizer of a fresh model.

    Raises BuildError if weights are missing, or its files do not say how an answer begins.
    """
    model = load_text_model(TEXT_TO_TEXT, ref, context, texts)
    places = (model.network.generation_config, model.config)
    start = next((token for place in places if (token := getattr(place, _START_ID, None)) is not None), None)
    if start is None:
        raise BuildError(
            f"{ref.text}: neither config.json nor generation_config.json has {_START_ID}, the token that an "
            "answer begins with; set it in config.json"
        )
    model.tokenizer.init_kwargs[START] = model.tokenizer.convert_ids_to_tokens(int(start))
    return model


@dataclass(frozen=True, eq=False)
class TextPairs(Prompts):
    """Tokenised texts. answers: for each text the tokens of its answer with the end token; empty if unknown.

    start: the token before each answer. new_tokens: how many tokens a timed call writes if no answer is
    known.
    """

    answers: Sequence[Sequence[int]] = ()
    start: int = 0
    new_tokens: int = 1

    @property
    def tokens(self) -> int:
        """The number of tokens of all texts and answers."""
        return int(self.lengths.sum()) + sum(map(len, self.answers))

    def batch(self, positions: Sequence[int], tokens: int | None = None) -> Arrays:
        """Texts (rows, tokens) int64, and the decoder's inputs: (rows, tokens of the longest answer)."""
        shifted = [[self.start, *self.answers[i][:-1]] for i in positions]
        width = max(map(len, shifted))
        padded = np.full((len(shifted), width), self.padding["input_ids"], dtype=np.int64)
        for line, ids in zip(padded, shifted, strict=True):
            line[: len(ids)] = ids
        return {**super().batch(positions, tokens), DECODER_INPUTS: padded}

    def timed_batch(self, positions: Sequence[int], tokens: int | None = None) -> Arrays:
        """Inputs of a call that writes as many tokens to each text as the batch's longest answer has."""
        max_tokens = max((len(self.answers[i]) for i in positions), default=0) or self.new_tokens
        inputs = dict(self.batch(positions, tokens))
        del inputs[DECODER_INPUTS]
        return {**inputs, NEW_TOKENS: np.asarray([max_tokens], dtype=np.int64)}

    def take(self, positions: Sequence[int]) -> Self:
        """Some of the rows, in that order."""
        return replace(super().take(positions), answers=[self.answers[i] for i in positions])

    def join(self, more: Self) -> Self:
        """These rows, followed by more rows of the same tokenizer."""
        return replace(super().join(more), answers=[*self.answers, *more.answers])

    def list_labels(self) -> list[list[int]]:
        """The tokens that the decoder learns to write. Raises DataError for a row without an answer."""
        for key, answer in zip(self.keys, self.answers, strict=True):
            if not answer:
                raise DataError(
                    f"row {key} has no reference to learn from; add a reference, leave the row out, or use "
                    "the step sequence_distill, which learns from the teacher's answers"
                )
        return [list(answer) for answer in self.answers]


def encode_pairs(
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    answers: Sequence[str | None],
    keys: Sequence[str],
    *,
    max_tokens: int,
    new_tokens: int,
) -> TextPairs:
    """Texts and answers, each cut to `max_tokens`. Raises DataError for a text without a token."""
    with keep_truncation(tokenizer):
        columns = dict(tokenizer(list(texts), truncation=True, max_length=max_tokens))
        known = [answer or "" for answer in answers]
        targets = tokenizer(text_target=known, truncation=True, max_length=max_tokens)["input_ids"]
    for key, ids in zip(keys, columns["input_ids"], strict=True):
        if not ids:
            raise DataError(f"row {key}: the text has no tokens")
    columns = {name: columns[name] for name in ("input_ids", "attention_mask")}
    return TextPairs(
        **{**make_encoded_fields(tokenizer, columns), "side": "right"},
        texts=list(texts),
        keys=list(keys),
        answers=[
            _append_end(ids, tokenizer) if answer else []
            for ids, answer in zip(targets, answers, strict=True)
        ],
        start=read_start_token(tokenizer),
        new_tokens=new_tokens,
    )


def _append_end(ids: list[int], tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The ids with an end token, which not every tokenizer appends."""
    end = tokenizer.eos_token_id
    return ids if end is None or end in ids else [*ids, end]


def read_start_token(tokenizer: PreTrainedTokenizerBase) -> int:
    """The id of the token that an answer begins with. Raises BuildError if the tokenizer does not say."""
    token = tokenizer.init_kwargs.get(START)
    if token is None:
        raise BuildError(
            f"the tokenizer does not say with which token an answer begins ({START} in "
            "tokenizer_config.json): a step has replaced the tokenizer"
        )
    return int(tokenizer.convert_tokens_to_ids(token))

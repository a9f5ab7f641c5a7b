"""Prompts as token ids, the answers that a model writes to them, and the common prefix of two answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

from slimgate.errors import DataError
from slimgate.models.predict import split_into_batches
from slimgate.models.special_tokens import decode_answer
from slimgate.models.write_answers import SamplingParams, Written, write_answers
from slimgate.plugins.base import Arrays, Json
from slimgate.plugins.models import NEW_TOKENS, Predictor
from slimgate.plugins.task import AnswerPlan
from slimgate.tasks.parts.encoding import EncodedTexts, keep_truncation, make_encoded_fields
from slimgate.tasks.parts.language_model import Windows, split_into_windows

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# An answer loops if a run of tokens occurs at least LOOP_REPEATS times at its end, and if these runs have at
# least LOOP_TOKENS tokens in all.
LOOP_REPEATS, LOOP_TOKENS = 3, 8


@dataclass(frozen=True, eq=False)
class Prompts(EncodedTexts):
    """Tokenised prompts. texts: as the model reads them, with its chat template; keys: the rows' ids."""

    texts: Sequence[str] = ()
    keys: Sequence[str] = ()

    def take(self, positions: Sequence[int]) -> Self:
        """Some of the prompts, in that order."""
        texts, keys = ([values[i] for i in positions] for values in (self.texts, self.keys))
        return replace(super().take(positions), texts=texts, keys=keys)

    def writing_batch(self, positions: Sequence[int], prompt_tokens: int, new_tokens: int) -> Arrays:
        """Inputs (rows, prompt_tokens) int64 of a call that writes: each prompt cut, or repeated.

        No row has padding, so that each has exactly the stated length.
        """
        columns = self.columns["input_ids"]
        ids = np.asarray([np.resize(columns[i], prompt_tokens) for i in positions], dtype=np.int64)
        new = np.asarray([new_tokens], dtype=np.int64)
        return {"input_ids": ids, "attention_mask": np.ones_like(ids), NEW_TOKENS: new}

    def join(self, more: Self) -> Self:
        """These prompts, followed by more prompts of the same tokenizer."""
        texts, keys = [*self.texts, *more.texts], [*self.keys, *more.keys]
        return replace(super().join(more), texts=texts, keys=keys)


def format_prompts(
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str | Sequence[Json]],
    *,
    chat: bool,
    tools: Sequence[Sequence[Json]] | None,
) -> list[str]:
    """Prompts as the model reads them. The chat template formats messages and, with `chat`, texts of a user.

    tools: the tools of each prompt. Raises DataError for a tokenizer without a template, for messages that
    the template refuses, and for a template that ignores tools.
    """
    if tools is None:
        return [_format_model_prompt(tokenizer, prompt, chat=chat) for prompt in prompts]
    check_template_shows_tools(tokenizer)
    return [
        _format_model_prompt(tokenizer, prompt, chat=chat, tools=list(row_tools))
        for prompt, row_tools in zip(prompts, tools, strict=True)
    ]


def check_template_shows_tools(tokenizer: PreTrainedTokenizerBase) -> None:
    """Raises DataError for a chat template that makes the same prompt with and without tools."""
    function = {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {}}}
    texts = [
        _format_model_prompt(tokenizer, "x", chat=True, tools=tools)
        for tools in (None, [{"type": "function", "function": function}])
    ]
    if texts[0] == texts[1]:
        raise DataError(
            "the chat template makes the same prompt with and without tools; expected a model with a "
            "chat_template that reads tools"
        )


def _format_model_prompt(
    tokenizer: PreTrainedTokenizerBase,
    prompt: str | Sequence[Json],
    *,
    chat: bool,
    tools: list[Json] | None = None,
) -> str:
    if isinstance(prompt, str) and not chat:
        return prompt
    if not getattr(tokenizer, "chat_template", None):
        raise DataError(
            f"the rows are chat messages, but {type(tokenizer).__name__} has no chat template; give prompts "
            "as text, or a model whose tokenizer has a chat_template"
        )
    messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
    try:
        return str(
            tokenizer.apply_chat_template(messages, tools=tools, tokenize=False, add_generation_prompt=True)
        )
    except Exception as error:  # a template is a program, which may raise anything
        raise DataError(f"the chat template refuses a row: {type(error).__name__}: {error}") from error


def tokenize_prompts(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], *, templated: bool
) -> list[list[int]]:
    """The ids of each prompt, without an end token. templated: the text has its special tokens already."""
    with keep_truncation(tokenizer):
        encoded = tokenizer(list(texts), add_special_tokens=not templated, truncation=False, verbose=False)
    ends = {tokenizer.eos_token_id, tokenizer.sep_token_id} - {None, tokenizer.bos_token_id}
    return [
        ids[:-1] if not templated and len(ids) > 1 and ids[-1] in ends else ids
        for ids in encoded["input_ids"]
    ]


def encode_prompts(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], keys: Sequence[str], *, templated: bool
) -> Prompts:
    """Tokenises prompts. Raises DataError for a prompt without a token."""
    ids = tokenize_prompts(tokenizer, texts, templated=templated)
    for key, row in zip(keys, ids, strict=True):
        if not row:
            raise DataError(f"row {key}: the prompt has no tokens")
    columns = {"input_ids": ids, "attention_mask": [[1] * len(row) for row in ids]}
    fields = {**make_encoded_fields(tokenizer, columns), "side": "left"}
    return Prompts(**fields, texts=list(texts), keys=list(keys))


def make_training_windows(
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    answers: Sequence[str | None],
    *,
    templated: bool,
) -> Windows:
    """Prompts with their answers and an end token, for training: only the answers count.

    A prompt without an answer is learnt as a whole.
    """
    prompts, end = tokenize_prompts(tokenizer, texts, templated=templated), tokenizer.eos_token_id
    with keep_truncation(tokenizer):
        encoded = tokenizer([answer or "" for answer in answers], add_special_tokens=False, truncation=False)
    documents, starts = [], []
    for prompt, ids, answer in zip(prompts, encoded["input_ids"], answers, strict=True):
        documents.append(prompt if answer is None else [*prompt, *ids, *(() if end is None else (end,))])
        starts.append(1 if answer is None else len(prompt))
    return _make_answer_windows(tokenizer, documents, starts)


def make_written_windows(
    tokenizer: PreTrainedTokenizerBase, prompts: Sequence[Sequence[int]], answers: Sequence[Written]
) -> Windows:
    """Prompts followed by a model's answers, token by token: only the answers count.

    An answer that was cut, or that a stop text ended, has no end token to learn.
    """
    documents = []
    for prompt, answer in zip(prompts, answers, strict=True):
        is_round_trip = answer.text == decode_answer(tokenizer, answer.ids)
        ends = answer.ended and is_round_trip and tokenizer.eos_token_id is not None
        documents.append([*prompt, *answer.ids, *([tokenizer.eos_token_id] if ends else ())])
    return _make_answer_windows(tokenizer, documents, list(map(len, prompts)))


def _make_answer_windows(
    tokenizer: PreTrainedTokenizerBase, documents: Sequence[Sequence[int]], starts: Sequence[int]
) -> Windows:
    """One window for each document, of which the tokens from `starts` on count."""
    longest = max(map(len, documents))
    padding = tokenizer.pad_token_id or 0
    windows = split_into_windows(documents, max_tokens=longest, stride=longest, padding=padding)
    return replace(windows, context=np.asarray(starts, dtype=np.int64))


def write_to_prompts(
    predictor: Predictor, prompts: Prompts, sampling: SamplingParams, plan: AnswerPlan, *, repeats: int
) -> npt.NDArray[np.object_]:
    """(rows, repeats) Written, in the order of the rows; batches are filled longest prompt first."""
    order = np.argsort(-prompts.lengths, kind="stable") if plan.order is None else plan.order
    answers = np.empty((len(prompts), repeats), dtype=np.object_)
    done = 0
    for positions in split_into_batches(prompts.lengths, order.tolist(), plan.batch_size, plan.batch_tokens):
        ids = [list(prompts.columns["input_ids"][place]) for place in positions]
        for repeat in range(repeats):
            keys = [f"{prompts.keys[place]}#{repeat}" for place in positions]
            written = write_answers(predictor, prompts.tokenizer, ids, keys, sampling)
            for place, answer in zip(positions, written, strict=True):
                answers[place, repeat] = answer
        done += len(positions)
        plan.progress("write", done, len(prompts))
    return answers


def is_loop(answer: Written) -> bool:
    """Whether an answer ends with one run of tokens LOOP_REPEATS times or more, LOOP_TOKENS tokens in all."""
    ids = answer.ids
    for period in range(1, len(ids) // LOOP_REPEATS + 1):
        tail = max(LOOP_REPEATS * period, LOOP_TOKENS)
        if tail <= len(ids) and ids[-tail:-period] == ids[-tail + period :]:
            return True
    return False

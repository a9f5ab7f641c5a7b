"""Writes answers with a library that reads prompts of one length at a time, grouped by length.

So nothing is padded, and an answer does not depend on the other prompts.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from slimgate.errors import MeasureError
from slimgate.plugins.base import Arrays
from slimgate.plugins.models import NEW_TOKENS

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from slimgate.models.write_answers import SamplingParams

Ids = npt.NDArray[np.int64]
Tokens = npt.NDArray[Any]
# The reasons for a longest text; {} is its number of tokens.
POSITIONS = "the model has positions for {}"


@dataclass(frozen=True)
class PromptIds:
    """(rows, tokens) ids, and how many tokens must follow; 0 if scores are wanted."""

    ids: Ids
    count: int


def read_prompts(batch: Arrays, longest: int | None, limit: str = POSITIONS) -> PromptIds:
    """The ids of a batch. A row's padding follows its text, where a causal model ignores it.

    limit: the reason for the longest text, for the error. Raises MeasureError if a text and its answer are
    longer than that.
    """
    ids = np.ascontiguousarray(batch["input_ids"], dtype=np.int64)
    count = int(batch[NEW_TOKENS][0]) if NEW_TOKENS in batch else 0
    check_length(ids.shape[1], count, longest, limit)
    return PromptIds(ids, count)


@dataclass(frozen=True)
class Greedy:
    """How answers of a runtime end. longest: the longest text in tokens, or None; ends: the end tokens.

    limit: the reason for the longest text, for the error.
    """

    runtime: str
    tokenizer: PreTrainedTokenizerBase
    longest: int | None
    ends: Collection[int]
    limit: str = POSITIONS

    def write(
        self,
        prompts: Sequence[Sequence[int]],
        sampling: SamplingParams,
        generate_tokens: Callable[[Ids], Iterable[Tokens]],
        *,
        max_rows: int | None = None,
    ) -> list[list[int]]:
        """The ids of the answers in the order of the prompts, each with its end token.

        generate_tokens: (rows, tokens) ids of one length -> the next token of each row, repeatedly, until no
        more are wanted. max_rows: how many prompts it takes at once. Raises MeasureError if the temperature
        is above 0, or if an answer may get longer than the longest text.
        """
        return self.write_complete(
            prompts,
            sampling,
            lambda ids: self._collect(generate_tokens(ids), len(ids), sampling),
            max_rows=max_rows,
        )

    def write_complete(
        self,
        prompts: Sequence[Sequence[int]],
        sampling: SamplingParams,
        generate_answers: Callable[[Ids], Iterable[list[int]]],
        *,
        max_rows: int | None = None,
    ) -> list[list[int]]:
        """As `write`, for a library that ends the answers itself.

        generate_answers: (rows, tokens) ids of one length -> the answer to each.
        """
        if sampling.temperature:
            raise MeasureError(
                f"runtime {self.runtime} can only choose the most likely token; set temperature = 0"
            )
        check_length(max(map(len, prompts)), sampling.max_new_tokens, self.longest, self.limit)
        answers: list[list[int]] = [[] for _ in prompts]
        by_length: dict[int, list[int]] = {}
        for row, prompt in enumerate(prompts):
            by_length.setdefault(len(prompt), []).append(row)
        for rows in by_length.values():
            step = max_rows or len(rows)
            for part in (rows[start : start + step] for start in range(0, len(rows), step)):
                ids = np.asarray([prompts[row] for row in part], dtype=np.int64)
                for row, answer in zip(part, generate_answers(ids), strict=True):
                    answers[row] = answer
        return answers

    def _collect(self, tokens: Iterable[Tokens], rows: int, sampling: SamplingParams) -> list[list[int]]:
        """Collects tokens until each answer has ended; later tokens of a row are not part of its answer."""
        answers: list[list[int]] = [[] for _ in range(rows)]
        unfinished = list(range(rows))
        for next_tokens in islice(tokens, sampling.max_new_tokens):
            for row in unfinished:
                answers[row].append(int(next_tokens[row]))
            unfinished = [
                row
                for row in unfinished
                if not has_ended(self.tokenizer, answers[row], self.ends, sampling.stop)
            ]
            if not unfinished:
                break
        return answers


def has_ended(
    tokenizer: PreTrainedTokenizerBase, ids: Sequence[int], ends: Collection[int], stop: Sequence[str]
) -> bool:
    """Whether an answer ends with its last token: an end token, or one that completes a stop string."""
    if ids[-1] in ends:
        return True
    text = tokenizer.decode(ids, skip_special_tokens=True) if stop else ""
    return any(ending in text for ending in stop)


def check_length(text: int, answer: int, longest: int | None, limit: str = POSITIONS) -> None:
    """Raises MeasureError if a text and its answer, in tokens, are longer than the longest text.

    answer: 0 if the scores of the text are wanted.
    """
    if longest is None or text + answer <= longest:
        return
    if answer:
        actual, advice = (
            f"a text and its answer have {text + answer}",
            "lower max_new_tokens, or leave long prompts out",
        )
    else:
        actual, advice = f"a text has {text}", "shorten the texts, or leave long ones out"
    raise MeasureError(f"{actual} tokens, but {limit.format(longest)}; {advice}")

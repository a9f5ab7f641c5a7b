"""Questions as inputs of a language model, and how likely the model finds each choice.

The tokens of a choice are the tokens that its text adds to the prompt's, as in lm-evaluation-harness
(`_encode_pair`): blanks at the end of a prompt belong to the choice. The last token is never an input,
because nothing is predicted after it. So choices of one token (letters) share a single input.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from slimgate.errors import DataError
from slimgate.plugins.base import Arrays
from slimgate.tasks.parts.encoding import EncodedTexts, make_right_padded_fields
from slimgate.tasks.parts.language_model import Windows, choose_chunk_size

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Ids = list[int]


@dataclass(frozen=True)
class EncodedQuestion:
    """A question with choices, as tokens.

    inputs: the distinct inputs of the choices. input_of: for each choice, the position of its input. targets:
    the tokens of each choice. cut: how many tokens of the prompt did not fit.
    """

    inputs: list[Ids]
    input_of: list[int]
    targets: list[Ids]
    cut: int


@dataclass(frozen=True, eq=False)
class EncodedQuestions:
    """Rows of questions; a batch holds all inputs of its rows. max_choices: of a row."""

    questions: Sequence[EncodedQuestion]
    padding: int
    max_choices: int

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """(rows,) the number of tokens of a row's inputs, padded to the longest of them."""
        token_counts = [max(map(len, encoded.inputs)) * len(encoded.inputs) for encoded in self.questions]
        return np.asarray(token_counts, dtype=np.int64)

    @property
    def row_of(self) -> None:
        """None: no row is split."""

    @property
    def cut(self) -> npt.NDArray[np.int64]:
        """(rows,) how many tokens of each prompt were cut off, on its left."""
        return np.asarray([question.cut for question in self.questions], dtype=np.int64)

    def take(self, positions: Sequence[int]) -> EncodedQuestions:
        """Some of the rows, in that order."""
        return replace(self, questions=[self.questions[i] for i in positions])

    def join(self, more: EncodedQuestions) -> EncodedQuestions:
        """These rows, followed by more rows."""
        max_choices = max(self.max_choices, more.max_choices)
        return replace(self, questions=[*self.questions, *more.questions], max_choices=max_choices)

    def batch(self, positions: Sequence[int], tokens: int | None = None) -> Arrays:
        """input_ids, attention_mask (inputs, tokens) int64, padded on the right."""
        ids = [ids_of_input for i in positions for ids_of_input in self.questions[i].inputs]
        encoded = EncodedTexts(**make_right_padded_fields(ids, padding=self.padding))
        return encoded.batch(range(len(ids)), tokens)

    def extra_arrays(self, positions: Sequence[int]) -> Arrays:
        """For all choices of these rows: row, choice, input, start (choices,), targets (choices, tokens).

        start: the position in the input that predicts the choice's first token; targets are padded with -1.
        """
        choices: list[tuple[int, int, int, int]] = []  # row, choice, input, start
        answers: list[Ids] = []
        inputs_before = 0
        for row, position in enumerate(positions):
            question = self.questions[position]
            for choice, (number, answer) in enumerate(zip(question.input_of, question.targets, strict=True)):
                start = len(question.inputs[number]) - len(answer)
                choices.append((row, choice, inputs_before + number, start))
                answers.append(answer)
            inputs_before += len(question.inputs)
        targets = np.full((len(answers), max(map(len, answers))), -1, dtype=np.int64)
        for line, ids in zip(targets, answers, strict=True):
            line[: len(ids)] = ids
        arrays = dict(zip(("row", "choice", "input", "start"), np.asarray(choices, np.int64).T, strict=True))
        max_choices = np.asarray([self.max_choices], dtype=np.int64)
        return {**arrays, "targets": targets, "max_choices": max_choices}


def compute_choice_scores(logits: npt.NDArray[np.float32], batch: Arrays) -> npt.NDArray[np.float64]:
    """(rows, max_choices, 2): the log-probability of each choice, and its number of tokens.

    Both are 0 if a row has no such choice.

    logits: (inputs, tokens, vocabulary); batch: as from EncodedQuestions.
    """
    by_row = np.zeros((int(batch["row"][-1]) + 1, int(batch["max_choices"][0]), 2))
    choices = zip(
        batch["row"], batch["choice"], batch["input"], batch["start"], batch["targets"], strict=True
    )
    for row, choice, number, start, padded in choices:
        targets = torch.from_numpy(padded[padded >= 0])
        scores = torch.from_numpy(logits[number, start : start + len(targets)])
        by_row[row, choice] = float(compute_log_likelihoods(scores, targets).sum()), len(targets)
    return by_row


def compute_log_likelihoods(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """(tokens,) float32 log-probability of each target. logits: (tokens, vocabulary)."""
    step = choose_chunk_size(logits)
    parts = [
        logits[start : start + step].float().log_softmax(-1).gather(-1, targets[start : start + step, None])
        for start in range(0, len(targets), step)
    ]
    return torch.cat(parts)[:, 0]


def tokenize_pairs(
    tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str], answers: Sequence[str]
) -> list[tuple[Ids, Ids]]:
    """The tokens of each prompt, and the tokens that its answer adds.

    An empty prompt becomes the start token, or the end token if there is no start token. Raises DataError
    for an answer that adds no token.
    """
    moved = [_move_blanks(prompt, answer) for prompt, answer in zip(prompts, answers, strict=True)]
    first = _choose_first_token(tokenizer) if any(not prompt for prompt, _ in moved) else []
    joined_ids = _tokenize_texts(tokenizer, [prompt + answer for prompt, answer in moved])
    distinct = sorted({prompt for prompt, _ in moved})
    prompt_ids = dict(zip(distinct, _tokenize_texts(tokenizer, distinct), strict=True))
    pairs = []
    for (prompt, answer), ids in zip(moved, joined_ids, strict=True):
        start = prompt_ids[prompt] if prompt else []
        added = ids[len(start) :]
        if not prompt and added[: len(first)] == first:  # the tokenizer has added the first token
            added = added[len(first) :]
        if not added:
            raise DataError(f"the answer {answer!r} adds no token to the prompt {prompt[-40:]!r}")
        pairs.append((start or first, added))
    return pairs


def _tokenize_texts(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[Ids]:
    """Token ids of texts, without the end token that some tokenizers append."""
    tokenized = tokenizer(list(texts), truncation=False, verbose=False)["input_ids"] if texts else []
    stop = -1 if _is_end_appended(tokenizer) else None
    return [list(ids[:stop]) for ids in tokenized]


def _is_end_appended(tokenizer: PreTrainedTokenizerBase) -> bool:
    added = list(tokenizer("")["input_ids"])
    ends = {tokenizer.eos_token_id, tokenizer.sep_token_id} - {None}
    # GPT-2 has one token for start and end.
    return bool(added) and added[-1] in ends and added != [tokenizer.bos_token_id]


def _move_blanks(prompt: str, answer: str) -> tuple[str, str]:
    bare = prompt.rstrip()
    return bare, prompt[len(bare) :] + answer


def _choose_first_token(tokenizer: PreTrainedTokenizerBase) -> Ids:
    for token in (tokenizer.bos_token_id, tokenizer.eos_token_id):
        if token is not None:
            return [int(token)]
    raise DataError(
        f"a prompt is empty, and {type(tokenizer).__name__} has no start or end token that could be its "
        "first token"
    )


def encode_question(pairs: Sequence[tuple[Ids, Ids]], *, max_tokens: int, name: str) -> EncodedQuestion:
    """The inputs of a question's choices, cut on the left to max_tokens. name: of the row, for errors.

    pairs: prompt and answer of each choice. Raises DataError if a choice alone has more tokens.
    """
    numbers: dict[tuple[int, ...], int] = {}  # the tokens of an input -> its number
    input_of, cut = [], 0
    for prompt, answer in pairs:
        if len(answer) > max_tokens:
            raise DataError(f"row {name}: a choice has {len(answer)} tokens, and max_tokens is {max_tokens}")
        tokens = (*prompt, *answer[:-1])
        cut = max(cut, len(tokens) - max_tokens)
        input_of.append(numbers.setdefault(tokens[-max_tokens:], len(numbers)))
    return EncodedQuestion([list(ids) for ids in numbers], input_of, [answer for _, answer in pairs], cut)


def make_pair_windows(pairs: Sequence[tuple[Ids, Ids]], *, max_tokens: int, padding: int) -> Windows:
    """Prompts with their answers, for training on the answers; prompts are cut on the left."""
    cut_pairs = [
        (prompt[max(0, len(prompt) + len(answer) - max_tokens) :], answer) for prompt, answer in pairs
    ]
    ids = [[*prompt, *answer][:max_tokens] for prompt, answer in cut_pairs]
    return Windows(
        **make_right_padded_fields(ids, padding=padding),
        row_of=np.arange(len(ids)),
        context=np.asarray([max(1, len(prompt)) for prompt, _ in cut_pairs], dtype=np.int64),
    )

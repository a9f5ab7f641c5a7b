"""Causal language models: how well they predict the next token of documents.

[task]
kind = "causal_lm"
text = ["page"]      # a row is a document, or a sentence
max_tokens = 1024    # tokens of a window; longer documents become several windows
stride = 512         # tokens between the starts of two gate windows; default half a window
add_bos = true       # a start token before each document, so that its first token is predicted too
add_eos = true       # an end token after it, predicted like any other token

A row's outcome is the sum of nats over its tokens. Perplexity uses sliding windows: every token counts once,
in the window that gives it the most context. The first token of a document counts only after a start token.
A model learns from windows that overlap by a single token. Perplexity and token accuracy are per token, so
they compare models with one tokenizer; bits_per_byte compares any (judge/metrics/language_model.py), with
add_bos = true and a stride below max_tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from slimgate.errors import DataError
from slimgate.judge.metrics.language_model import SKIPPED
from slimgate.models.config import check_positions
from slimgate.models.saved_files import check_language_model, load_tokenizer
from slimgate.models.special_tokens import find_start_token
from slimgate.outcomes import Ints, Outcomes
from slimgate.plugins.base import Arrays
from slimgate.plugins.models import ComparedModel, ModelRef
from slimgate.plugins.params import Table
from slimgate.plugins.rows import Rows, TaskFacts, number_groups
from slimgate.tasks.parts.token_task import TokenTask

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from slimgate.data.guess_input import ExaminedRows
    from slimgate.plugins.base import Json
    from slimgate.tasks.parts.language_model import Windows

VALUES = ("nats", "tokens", "right_tokens", "bytes")
# What a planted fault adds to a token's nats: it multiplies the perplexity of a row by 7.4.
_FAULT_NATS = 2.0


class Params(Table):
    """[task] of a causal language model."""

    text: tuple[str, ...] = Field(min_length=1, max_length=1)
    """The column of documents or sentences, as a list with one name."""
    max_tokens: int = Field(default=128, ge=2)
    """Number of tokens of a window; longer documents become several windows."""
    stride: int | None = Field(default=None, ge=1)
    """Number of tokens between the starts of two neighbouring windows of a gate document; default: half of
    max_tokens."""
    add_bos: bool = False
    """Put a start token before each document, so that the first token of the document is also predicted. A
    tokenizer without a start token uses its end token."""
    add_eos: bool = False
    """Put an end token after each document. The end token is also predicted."""

    @model_validator(mode="after")
    def _check_stride(self) -> Self:
        if self.stride is not None and self.stride > self.max_tokens:
            raise ValueError(
                f"stride = {self.stride} skips tokens between windows of max_tokens = {self.max_tokens}"
            )
        return self


class CausalLM(TokenTask[Params]):
    default_metrics = ("perplexity", "token_accuracy", "bits_per_byte")
    also_called = ("language_modeling", "language_model")
    next_token = True
    snippet_tail = (
        "for text, mask, row in zip(texts, batch['attention_mask'], scores):\n"
        "    print(text, repr(tokenizer.decode(row[int(mask.sum()) - 1].argmax())))"
    )
    guess_rank = 60

    def guess(self, sample: ExaminedRows) -> tuple[dict[str, Any], str] | None:
        """Guesses text alone, for a language model, or if the user asks for this task."""
        if sample.stated.label or not (sample.stated.task or sample.causal):
            return None
        return {"text": sample.texts()[:1]}, "text alone"

    def columns(self, params: Params) -> tuple[str, ...]:
        """The text column."""
        return params.text

    def text_columns(self, params: Params) -> tuple[str, ...]:
        """The text: it must not occur in two splits."""
        return params.text

    def provides(self) -> frozenset[str]:
        """The names of a row's values that depend on the model."""
        return frozenset(VALUES)

    def facts(self, params: Params, splits: Mapping[str, Rows]) -> TaskFacts:
        """No facts: nothing is learnt from the rows. Raises DataError if a gate row has no text."""
        if (gate := splits.get("gate")) is None:
            return TaskFacts(())
        for row, text in zip(gate.ids, _read_row_texts(params, gate), strict=True):
            if not text.strip():
                raise DataError(
                    f'gate row {row} has no text in column "{params.text[0]}"; '
                    "leave such rows out of the source"
                )
        return TaskFacts(())

    def check_model(self, params: Params, ref: ModelRef, config: Json, facts: TaskFacts | None) -> None:
        """Raises SuiteError if the model of a config.json cannot serve this task."""
        check_positions(params.max_tokens, ref, config)
        check_language_model(ref, config)

    def list_texts(self, params: Params, rows: Rows) -> list[str]:
        """The text of each row."""
        return _read_row_texts(params, rows)

    def encode_rows(self, params: Params, rows: Rows, tokenizer: PreTrainedTokenizerBase) -> Windows:
        """Windows for training. Each token except the first is predicted once.

        Leaves out rows of one token. Raises DataError if no row is left.
        """
        from slimgate.tasks.parts.language_model import split_into_windows

        documents = [ids for ids in tokenize_rows(params, rows, tokenizer) if len(ids) > 1]
        if not documents:
            raise DataError("no row has two tokens, and so none has a next token to learn")
        stride, padding = params.max_tokens - 1, tokenizer.pad_token_id or 0
        return split_into_windows(documents, max_tokens=params.max_tokens, stride=stride, padding=padding)

    def row_encoder(self, params: Params, folder: Path) -> Callable[[Rows], Windows]:
        """Returns a function that cuts rows into windows. The artifact's tokenizer is loaded once."""
        tokenizer = load_tokenizer(folder)
        return lambda rows: make_judged_windows(params, rows, tokenizer)

    def read_output(
        self, params: Params, output: npt.NDArray[np.float32], batch: Arrays
    ) -> npt.NDArray[np.float64]:
        """(windows, 4): nats, tokens, right and skipped tokens of each window; training windows skip none."""
        from slimgate.tasks.parts.language_model import compute_window_sums

        sums = compute_window_sums(output, batch["input_ids"], batch["counted"])
        return np.column_stack([sums, batch.get("skipped", np.zeros(len(sums)))])

    def outcomes(
        self, facts: TaskFacts, rows: Rows, scores: npt.NDArray[np.float64], params: Params, group: str | None
    ) -> Outcomes:
        """Sums over each row's tokens; bytes: the length of its text in UTF-8, for any tokenizer."""
        texts = _read_row_texts(params, rows)
        return Outcomes(
            np.asarray(rows.ids, dtype=np.str_),
            values={
                "nats": scores[:, 0],
                "tokens": scores[:, 1],
                "right_tokens": scores[:, 2],
                SKIPPED: scores[:, 3],
                "bytes": np.asarray([len(text.encode()) for text in texts], dtype=np.float64),
            },
            given=("bytes",),
            groups=number_groups(rows, group),
        )

    def with_planted_fault(self, outcomes: Outcomes, rows: Ints) -> Outcomes:
        """The outcomes with every token of the given rows less likely, and none of these tokens right."""
        nats, right = outcomes.column("nats").copy(), outcomes.column("right_tokens").copy()
        nats[rows] += _FAULT_NATS * outcomes.column("tokens")[rows]
        right[rows] = 0.0
        return replace(outcomes, values={**outcomes.values, "nats": nats, "right_tokens": right})

    def compare(self, params: Params, teacher: ComparedModel, variant: ComparedModel) -> dict[str, Any]:
        """Figures of how varied the texts are that each model writes."""
        from slimgate.tasks.parts.text_diversity import compute_written_figures

        return {"figures": compute_written_figures(teacher, variant)}


task = CausalLM()


def make_judged_windows(params: Params, rows: Rows, tokenizer: PreTrainedTokenizerBase) -> Windows:
    """Windows that start `stride` tokens apart. Raises DataError for a row in which no token is predicted."""
    from slimgate.tasks.parts.language_model import split_into_windows

    documents = tokenize_rows(params, rows, tokenizer)
    for row, ids in zip(rows.ids, documents, strict=True):
        if len(ids) < 2:
            raise DataError(
                f"row {row} has {len(ids)} tokens, none of which has a token before it; set add_bos = "
                "true, or leave such rows out of the source"
            )
    stride = params.stride or max(1, params.max_tokens // 2)
    padding = tokenizer.pad_token_id or 0
    cut = split_into_windows(documents, max_tokens=params.max_tokens, stride=stride, padding=padding)
    assert cut.row_of is not None
    # skipped: 1 if a window has a token of text that no window predicts. That is the first token of a
    # document without a start token and, if windows do not overlap, the first token of each later window.
    starts = {
        tokenizer.bos_token_id,
        tokenizer.cls_token_id,
        *_list_boundary_tokens(params, tokenizer)[0],
    } - {None}
    begins_with_text = np.asarray([ids[0] not in starts for ids in documents])
    is_first = np.diff(cut.row_of, prepend=-1) > 0
    skipped = np.where(is_first, begins_with_text[cut.row_of], stride == params.max_tokens)
    return replace(cut, skipped=skipped.astype(np.int64))


def tokenize_rows(params: Params, rows: Rows, tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
    """The ids of each row's text, between a start and an end token if the options ask for them."""
    texts = _read_row_texts(params, rows)
    documents = tokenizer(texts, truncation=False, verbose=False)["input_ids"] if texts else []
    start, end = _list_boundary_tokens(params, tokenizer)
    rows_ids: list[list[int]] = []
    for ids in documents:
        missing_start = [] if ids[:1] == start else start
        missing_end = [] if ids[-1:] == end else end
        rows_ids.append([*missing_start, *ids, *missing_end])
    return rows_ids


def _list_boundary_tokens(params: Params, tokenizer: PreTrainedTokenizerBase) -> tuple[list[int], list[int]]:
    """The tokens before and after each document; GPT-2 has one token for both."""
    start = find_start_token(tokenizer) if params.add_bos else None
    end = tokenizer.eos_token_id if params.add_eos else None
    for name, is_added, token in (("bos", params.add_bos, start), ("eos", params.add_eos, end)):
        if is_added and token is None:
            raise DataError(f"add_{name} = true, but {type(tokenizer).__name__} has no {name} token")
    return [] if start is None else [int(start)], [] if end is None else [int(end)]


def _read_row_texts(params: Params, rows: Rows) -> list[str]:
    return [str(value or "") for value in rows.table[params.text[0]].to_pylist()]

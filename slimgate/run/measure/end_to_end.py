"""A call from text to answer: the time that a user waits who sends texts and gets labels, scores or vectors.

    (texts,) = read_texts([make_texts(task, folder, rows, lengths=[23], tokens=25)])
    texts.answer(predictor)

The time includes the artifact's tokenizer, padding, conversion to the runtime's tensors, the forward pass,
conversion of its output to an array, and what the task reads from it. Loading the tokenizer is not included.
In a cascade each tokenizer reads only the rows that reach its model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from slimgate.plugins.base import Arrays
from slimgate.plugins.loading import load
from slimgate.plugins.models import Predictor
from slimgate.plugins.rows import Encoded, Rows
from slimgate.run.measure.row_encoders import make_row_encoders
from slimgate.runtimes.cascade import CascadePredictor, Places
from slimgate.suite.named_plugin import Plugin, SuiteTask

MAX_TOKENS = "max_tokens"
# Special tokens of a row, which are not words. A pair of texts has three.
_SPECIAL_TOKENS = 3


@dataclass(frozen=True)
class Texts:
    """The rows of one call, in a form that can be sent to another process.

    tokens: the length that rows are padded or cut to; None: rows keep their own lengths and are padded to the
        longest.
    task: the name of the task; params: its options.
    folder: of the artifact, whose tokenizer reads the rows.
    """

    rows: Rows
    tokens: int | None
    task: str
    params: Any
    folder: Path

    @property
    def plugin(self) -> SuiteTask:
        """The task with its options."""
        return Plugin(self.task, load("task", self.task), self.params)


@dataclass(frozen=True)
class ReadTexts:
    """Texts with their tokenizers. encoders: the artifact's tokenizer, or those of a cascade's models."""

    texts: Texts
    task: SuiteTask
    encoders: Sequence[Callable[[Rows], Encoded]]

    def answer(self, predictor: Predictor) -> npt.NDArray[Any]:
        """(rows, …) what the task reads from the model's scores. This is the timed call."""
        if isinstance(predictor, CascadePredictor):
            return predictor.answer(self._make_cascade_inputs())
        rows = self.texts.rows
        encoded, positions = self.encoders[0](rows), range(len(rows))
        batch = encoded.batch(positions, self.texts.tokens)
        output = predictor.fetch(predictor.forward(predictor.prepare(batch)))
        return self.task.object.read_output(
            self.task.params, output, {**batch, **encoded.extra_arrays(positions)}
        )

    def _make_cascade_inputs(self) -> Callable[[int, Places | None], Arrays]:
        """The function that gives `CascadePredictor.answer` its inputs; no tokenizer reads a row twice."""
        rows = self.texts.rows
        # By the number of a model in the cascade: the rows that reached it first, and the same rows encoded.
        encoded_rows: dict[int, tuple[Places, Encoded]] = {}

        def read_inputs(model: int, places: Places | None) -> Arrays:
            positions = np.arange(len(rows)) if places is None else places
            if model not in encoded_rows:
                table = rows.table if places is None else rows.table.take(places)
                encoded_rows[model] = positions, self.encoders[model](Rows(table))
            first_positions, encoded = encoded_rows[model]
            return encoded.batch(np.searchsorted(first_positions, positions).tolist(), self.texts.tokens)

        return read_inputs


def read_texts(texts: Sequence[Texts]) -> list[ReadTexts]:
    """Makes texts of one artifact ready for calls; its tokenizers are loaded once."""
    task = texts[0].plugin
    encoders = make_row_encoders(task, texts[0].folder)
    return [ReadTexts(call_texts, task, encoders) for call_texts in texts]


def make_texts(
    task: SuiteTask, folder: Path, rows: Rows, *, lengths: Sequence[int], tokens: int | None
) -> Texts:
    """The rows of one call. lengths: the tokens of each row; tokens: the tokens that each row should have.

    If `tokens` is None, the rows stay as they are. Otherwise a shorter row is repeated until it has enough
    tokens. A row with more words than `tokens` is cut, and the tokenizer truncates the rest, so that each row
    keeps its special tokens.
    """
    params = task.params
    if tokens is None:
        return Texts(rows, None, task.name, params, folder)
    table = rows.table
    for column in task.object.text_columns(params):
        index, column_type = table.schema.get_field_index(column), table.schema.field(column).type
        pairs = zip(table[column].to_pylist(), lengths, strict=True)
        fitted = [_fit_words(value, length, tokens) for value, length in pairs]
        table = table.set_column(index, column, pa.array(fitted, type=column_type))
    if MAX_TOKENS in type(params).model_fields:
        params = params.model_copy(update={MAX_TOKENS: tokens})
    return Texts(Rows(table), tokens, task.name, params, folder)


def _fit_words(value: object, length: int, tokens: int) -> Any:
    """Repeats or cuts a text, or a list of words, of about `length` tokens to words for at least `tokens`.

    A word has at least one token, so a long text is cut to `tokens` words. The text may be much longer than
    `length`, if the task truncates the row.
    """
    words = value.split() if isinstance(value, str) else value
    if not isinstance(words, list) or not words:
        return value
    words_needed = (
        ceil(len(words) * tokens / max(length - _SPECIAL_TOKENS, 1)) if length < tokens else len(words)
    )
    count = min(words_needed, tokens)
    if count == len(words):
        return value
    fitted = (words * ceil(count / len(words)))[:count]
    return " ".join(fitted) if isinstance(value, str) else fitted

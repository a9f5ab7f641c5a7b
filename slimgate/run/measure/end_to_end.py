"""A call from text to answer: what users wait for who send texts and want labels, scores or vectors.

    (texts,) = read_texts([texts_of(task, folder, rows, lengths=[23], tokens=25)])
    texts.answer(predictor)

Timed are the tokenizer of the artifact, padding, the runtime's own tensors, the forward pass, its output as
an array, and what the task reads of it. Loading the tokenizer is not. In a cascade each tokenizer reads only
the rows that reach its model.
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

from slimgate.loading import load
from slimgate.protocols import Arrays, Encoded, Predictor, Rows
from slimgate.run.measure.row_encoders import row_encoders
from slimgate.runtimes.cascade import CascadePredictor, Places
from slimgate.suite.suite import Plugin, SuiteTask

MAX_TOKENS = "max_tokens"
# Tokens of a row that stand for no word: of a pair of texts three.
_SPECIAL = 3


@dataclass(frozen=True)
class Texts:
    """The rows of one call, on their way into any process. task: its name; params: its options.

    folder: of the artifact, whose tokenizer reads the rows. tokens: that rows are padded or cut to; None: the
    rows keep their own lengths, and are padded to the longest.
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
    """Texts with what reads them. encoders: the artifact's tokenizer, or those of a cascade's models."""

    texts: Texts
    task: SuiteTask
    encoders: Sequence[Callable[[Rows], Encoded]]

    def answer(self, predictor: Predictor) -> npt.NDArray[Any]:
        """(rows, …) what the task reads of the model's scores: the timed call."""
        if isinstance(predictor, CascadePredictor):
            return predictor.answer(self._inputs_of_cascade())
        rows = self.texts.rows
        encoded, places = self.encoders[0](rows), range(len(rows))
        batch = encoded.batch(places, self.texts.tokens)
        output = predictor.fetch(predictor.forward(predictor.prepare(batch)))
        return self.task.object.read_output(
            self.task.params, output, {**batch, **encoded.extra_arrays(places)}
        )

    def _inputs_of_cascade(self) -> Callable[[int, Places | None], Arrays]:
        """What `CascadePredictor.answer` asks for: no tokenizer reads a row twice."""
        rows, known = self.texts.rows, dict[int, tuple[Places, Encoded]]()

        def inputs(number: int, places: Places | None) -> Arrays:
            wanted = np.arange(len(rows)) if places is None else places
            if number not in known:
                table = rows.table if places is None else rows.table.take(places)
                known[number] = wanted, self.encoders[number](Rows(table))
            read, encoded = known[number]
            return encoded.batch(np.searchsorted(read, wanted).tolist(), self.texts.tokens)

        return inputs


def read_texts(texts: Sequence[Texts]) -> list[ReadTexts]:
    """Texts of one artifact, ready to be answered: its tokenizers are loaded once."""
    task = texts[0].plugin
    encoders = row_encoders(task, texts[0].folder)
    return [ReadTexts(one, task, encoders) for one in texts]


def texts_of(
    task: SuiteTask, folder: Path, rows: Rows, *, lengths: Sequence[int], tokens: int | None
) -> Texts:
    """The rows of one call. lengths: of each row in tokens; tokens: that each shall have.

    A row with fewer tokens begins again until it has as many. One with more words than that is cut; of the
    tokens the tokenizer cuts the rest, so that each row has its special tokens.
    """
    params = task.params
    if tokens is None:
        return Texts(rows, None, task.name, params, folder)
    table = rows.table
    for column in task.object.text_columns(params):
        place, kind = table.schema.get_field_index(column), table.schema.field(column).type
        pairs = zip(table[column].to_pylist(), lengths, strict=True)
        fitted = [_fit_words(value, length, tokens) for value, length in pairs]
        table = table.set_column(place, column, pa.array(fitted, type=kind))
    if MAX_TOKENS in type(params).model_fields:
        params = params.model_copy(update={MAX_TOKENS: tokens})
    return Texts(Rows(table), tokens, task.name, params, folder)


def _fit_words(value: Any, length: int, tokens: int) -> Any:
    """A text, or a list of words, of about `length` tokens with the words for at least `tokens`.

    A short one is repeated word by word. A word has a token or more, so a long one is cut to `tokens` words:
    `length` may be that of a row that the task cuts, and the text much longer.
    """
    words = value.split() if isinstance(value, str) else value
    if not isinstance(words, list) or not words:
        return value
    wanted = ceil(len(words) * tokens / max(length - _SPECIAL, 1)) if length < tokens else len(words)
    count = min(wanted, tokens)
    if count == len(words):
        return value
    fitted = (words * ceil(count / len(words)))[:count]
    return " ".join(fitted) if isinstance(value, str) else fitted

"""What a task's `guess` gets: the rows for which `slimgate init` writes a suite.

    def guess(self, sample):
        if "stars" not in sample.columns:
            return None
        return {"text": sample.texts(), "score": "stars"}, 'numbers in "stars"'

This module has the types, and the usual names of columns of labels and of pairs of texts.
slimgate/cli/init/guessing.py guesses the role of each column.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import pyarrow as pa

Kind = Literal["text", "number", "flag", "list", "other"]
# Usual names of columns with labels.
LABELS = (
    *("label", "class", "category", "intent", "target", "topic", "sentiment", "polarity", "gold", "answer"),
    *("same", "is_duplicate", "duplicate", "paraphrase", "entailment", "y"),
)
# Usual names of two columns of text that are one input.
PAIRS = (
    *(("question1", "question2"), ("sentence1", "sentence2"), ("premise", "hypothesis")),
    *(("text1", "text2"), ("text_a", "text_b"), ("query", "document"), ("query", "passage")),
    *(("anchor", "positive"), ("summary", "body"), ("question", "answer")),
)


@dataclass(frozen=True)
class Column:
    """A column of the rows.

    kind: "number" also for strings that are all numbers, as in a csv; "flag" for true and false.
    distinct: how many different values there are, without empty values. missing: how many values are null or
    empty. mean_words: the mean number of words of a value. whole_numbers: whether all numbers are whole.
    """

    name: str
    rows: int
    kind: Kind
    distinct: int
    missing: int
    mean_words: float
    whole_numbers: bool = False

    @property
    def has_few_values(self) -> bool:
        """Whether the column has few values for many rows, as labels do."""
        return 2 <= self.distinct <= min(1000, self.rows // 2)


@dataclass(frozen=True)
class UserColumns:
    """The task and the columns that the user stated. names: a name for each label, if labels are numbers."""

    task: str | None = None
    text: tuple[str, ...] = ()
    label: str | None = None
    group: str | None = None
    names: tuple[str, ...] = ()


class ExaminedRows(Protocol):
    """The rows, what the user stated about them, and a guess about each column, which may be wrong."""

    @property
    def table(self) -> pa.Table:
        """All rows."""

    @property
    def columns(self) -> Mapping[str, Column]:
        """Every column by name, without `id`, which numbers the rows."""

    @property
    def stated(self) -> UserColumns:
        """What the user stated. `stated.task` is the task of --task, or None."""

    @property
    def causal(self) -> bool:
        """Whether the model is a language model, which predicts next tokens."""

    @property
    def encoder_decoder(self) -> bool:
        """Whether the model reads a text and writes another one, as T5 does."""

    def texts(self, used: Iterable[str] = ()) -> tuple[str, ...]:
        """One or two columns of text, none of them in `used`. Raises DataError if there is none."""

    def label(self) -> str | None:
        """The column of classes: the stated one, else found by name, else by values; None if there is none.

        Raises DataError if its values are lists or objects.
        """

    def score(self) -> str | None:
        """A column of measured numbers; None if there is none, or if a column has a usual name of classes.

        If the user stated a task, it is the stated column, or a column of numbers, also of whole ones.
        """

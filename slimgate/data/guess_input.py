"""Rows that `slimgate init` writes a suite for, as it shows them to the tasks that it knows.

    def guess(self, found):
        texts = found.texts()
        return ({"text": texts, "score": "stars"}, "stars") if "stars" in found.columns else None

What is here are types alone: how columns are told apart is in slimgate/cli/init/look.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import pyarrow as pa

Kind = Literal["text", "number", "flag", "list", "other"]
# What columns of labels are called.
LABELS = (
    *("label", "class", "category", "intent", "target", "topic", "sentiment", "polarity", "gold", "answer"),
    *("same", "is_duplicate", "duplicate", "paraphrase", "entailment", "y"),
)


@dataclass(frozen=True)
class Column:
    """A column of the rows.

    kind: "number" also of strings that are all numbers, as csv has them; "flag" of true and false.
    distinct: of values that are not empty; missing: null and empty ones. mean_words: of a value's text.
    whole: every number is a whole one.
    """

    name: str
    rows: int
    kind: Kind
    distinct: int
    missing: int
    mean_words: float
    whole: bool = False

    @property
    def repeats(self) -> bool:
        """Whether few values stand for many rows, as labels do."""
        return 2 <= self.distinct <= min(1000, self.rows // 2)


@dataclass(frozen=True)
class Stated:
    """What somebody said; the rest is guessed. names: what numbers of tags or labels stand for."""

    task: str | None = None
    text: tuple[str, ...] = ()
    label: str | None = None
    group: str | None = None
    names: tuple[str, ...] = ()


class FoundRows(Protocol):
    """The rows, what was said of them, and what each column looks like. A column may be guessed wrongly."""

    @property
    def table(self) -> pa.Table:
        """All rows."""

    @property
    def columns(self) -> Mapping[str, Column]:
        """Every column by name, but for `id`, which numbers rows."""

    @property
    def stated(self) -> Stated:
        """said.task is the task that is asked, or None."""

    @property
    def causal(self) -> bool:
        """Whether the model is a language model, which predicts next tokens."""

    @property
    def encoder_decoder(self) -> bool:
        """Whether the model reads a text and writes another one, as T5 does."""

    def texts(self, used: Iterable[str] = ()) -> tuple[str, ...]:
        """One column of text or two, none of those taken. Raises DataError where there is none."""

    def label(self) -> str | None:
        """The column of classes: that said, else by its name, else by its values.

        Raises DataError for one that has no plain values.
        """

    def score(self) -> str | None:
        """The column of a measured number, unless a column is called as classes are.

        Where a task is asked for: that said, or one of whole numbers too, such as stars.
        """

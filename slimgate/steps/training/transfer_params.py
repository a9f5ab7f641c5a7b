"""Options of a step that learns from rows without labels (a transfer set), or from text of the teacher."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema, model_validator

from slimgate.data.row_files import SUFFIXES, RowFile, describe_unknown_suffix
from slimgate.plugins.params import SuitePath, Table


class Generate(Table):
    """Rows that the teacher, a causal language model, writes after the first tokens of train rows."""

    rows: int = Field(default=2000, ge=1)
    """Number of rows that the teacher writes."""
    tokens: int = Field(default=50, ge=1)
    """Largest number of new tokens in a row."""
    prompt_tokens: int = Field(default=4, ge=0)
    """Number of tokens at the beginning of a train row that the teacher continues; 0: only the start
    token."""
    temperature: float = Field(default=1.0, gt=0)
    """Sampling temperature; a higher temperature makes the text more varied."""
    top_k: int = Field(default=50, ge=0)
    """Number of most likely tokens from which each token is drawn; 0: the whole vocabulary."""


def _make_tuple(value: object) -> object:
    return (value,) if isinstance(value, str | Path) else value


def _list_file_names(paths: Sequence[Path]) -> list[str]:
    """File names without folders, which differ between machines; the store's key has their digests."""
    return [path.name for path in paths]


TransferFiles = Annotated[
    tuple[SuitePath, ...],
    BeforeValidator(_make_tuple),
    PlainSerializer(_list_file_names),
    WithJsonSchema(
        {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}
    ),
]
Share = Annotated[float, Field(ge=0, lt=1)]


class Augment(Table):
    """Changed copies of rows; each word of a copy is changed with these chances, one after another."""

    copies: int = Field(default=1, ge=1, le=100)
    """Number of copies, with changed words, of each row."""
    word_dropout: Share = 0.0
    """Probability that a word is left out (Wei & Zou 2019, EDA)."""
    word_swap: Share = 0.0
    """Probability that a word changes places with another word of the row (Wei & Zou 2019, EDA)."""
    word_mask: Share = 0.0
    """Probability that a word is replaced by the tokenizer's mask token (Tang et al. 2019)."""
    word_replace: Share = 0.0
    """Probability that a word is replaced by another word of the train rows, drawn by frequency (Xie et al.
    2020, UDA)."""
    translator: str | None = None
    """Your own function, "package.module:function", from a list of texts to a list of the same length, such
    as a translation to another language and back (Sennrich et al. 2016; Xie et al. 2020). The function gets
    the unchanged train texts and adds one copy of each text."""
    unlabelled: bool = False
    """true: also copy and translate the rows of the split unlabelled; word_replace then also uses the words
    of these rows."""

    @property
    def changes_words(self) -> bool:
        """Whether a word of a copy has any chance to change."""
        return bool(self.word_dropout or self.word_swap or self.word_mask or self.word_replace)

    @model_validator(mode="after")
    def _check_changes(self) -> Augment:
        if not (self.changes_words or self.translator):
            raise ValueError(
                "expected a chance above 0 of word_dropout, word_swap, word_mask or word_replace, "
                "as in { copies = 2, word_dropout = 0.1 }, or a translator"
            )
        if "copies" in self.model_fields_set and not self.changes_words:
            raise ValueError(
                "copies is the number of copies with changed words; a translator gives one copy of each row"
            )
        return self


class TransferParams(Table):
    """Rows to learn from in addition to `train`, or instead of it."""

    transfer: TransferFiles = ()
    """Files of rows without labels, with the task's text columns."""
    augment: Augment | None = None
    """Changed copies of rows, as further rows to learn from."""
    unlabelled: bool = False
    """Also learn from the split unlabelled, whose size is `[task] splits.unlabelled`."""
    generate: Generate | None = None
    """Further rows, which the teacher writes if the teacher is a causal language model (Kim & Rush 2016)."""
    only_transfer: bool = False
    """true: learn only from the rows that transfer, augment, unlabelled or generate adds, not from
    `train`."""

    @model_validator(mode="after")
    def _check_suffixes(self) -> TransferParams:
        for path in self.transfer:
            if problem := describe_unknown_suffix(path):
                raise ValueError(problem)
        return self

    @property
    def adds_rows(self) -> bool:
        """Whether there are rows in addition to the train split's."""
        return bool(self.transfer or self.augment or self.unlabelled or self.generate)

    @model_validator(mode="after")
    def _check_rows(self) -> TransferParams:
        if self.only_transfer and not self.adds_rows:
            raise ValueError("only_transfer leaves no rows: give transfer, unlabelled, augment or generate")
        return self


def make_row_file(path: Path) -> RowFile:
    """How a transfer file is read: by its suffix, as UTF-8."""
    return RowFile(path=path, format=SUFFIXES[path.suffix.lower()])


def choose_text_columns(columns: Sequence[str], chosen: Sequence[str], path: Path) -> dict[str, str]:
    """The task's text column -> the file's. Lines of text serve a task of one text column.

    Raises ValueError for a column that the file does not have.
    """
    if SUFFIXES[path.suffix.lower()] == "text" and len(chosen) == 1:
        return {chosen[0]: "text"}
    for name in chosen:
        if name not in columns:
            raise ValueError(f'{path.name} has no column "{name}"; it has {", ".join(columns)}')
    return {name: name for name in chosen}

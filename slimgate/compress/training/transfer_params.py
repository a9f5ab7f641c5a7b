"""Options of a step that learns from rows without labels: a transfer set.

Options of learning from text that the teacher writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema, model_validator

from slimgate.data.row_files import SUFFIXES, RowFile
from slimgate.params import SuitePath, Table


class Generate(Table):
    """Rows that the teacher, a causal language model, writes behind the first tokens of train rows.

    rows, tokens: how many, and of how many new tokens at most; prompt_tokens = 0: behind its start token
    alone. top_k = 0: drawn from the whole vocabulary.
    """

    rows: int = Field(default=2000, ge=1)
    tokens: int = Field(default=50, ge=1)
    prompt_tokens: int = Field(default=4, ge=0)
    temperature: float = Field(default=1.0, gt=0)
    top_k: int = Field(default=50, ge=0)


def _as_tuple(value: Any) -> Any:
    return (value,) if isinstance(value, str | Path) else value


def _names(paths: Sequence[Path]) -> list[str]:
    """The record tells names, not where a machine keeps its files; the store's key has their digests."""
    return [path.name for path in paths]


TransferFiles = Annotated[
    tuple[SuitePath, ...],
    BeforeValidator(_as_tuple),
    PlainSerializer(_names),
    WithJsonSchema(
        {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}
    ),
]
Share = Annotated[float, Field(ge=0, lt=1)]


class Augment(Table):
    """Changed copies of rows; each word of a copy is changed with these chances, one after another.

    word_replace: by another word of the train rows, drawn as often as they hold it (Xie et al. 2020, UDA);
    word_mask: by the tokenizer's mask (Tang et al. 2019); word_dropout: left out, word_swap: exchanged with
    another word of the row (both Wei & Zou 2019, EDA).

    translator: a function of one's own, "package.module:function", from a list of texts to a list of as many,
    such as there and back through another language (Sennrich et al. 2016; Xie et al. 2020). It is given the
    train texts as they are; one copy more of each.

    unlabelled: copies of the rows of the split unlabelled too, which then also count among the rows whose
    words replace others and that are translated.
    """

    copies: int = Field(default=1, ge=1, le=100)
    word_dropout: Share = 0.0
    word_swap: Share = 0.0
    word_mask: Share = 0.0
    word_replace: Share = 0.0
    translator: str | None = None
    unlabelled: bool = False

    @property
    def changes_words(self) -> bool:
        """Whether a word of a copy has any chance to change."""
        return bool(self.word_dropout or self.word_swap or self.word_mask or self.word_replace)

    @model_validator(mode="after")
    def _changes_something(self) -> Augment:
        if not (self.changes_words or self.translator):
            raise ValueError(
                "expected a chance above 0 of word_dropout, word_swap, word_mask or word_replace, "
                "as in { copies = 2, word_dropout = 0.1 }, or a translator"
            )
        if "copies" in self.model_fields_set and not self.changes_words:
            raise ValueError("copies counts copies with changed words, and a translator gives one a row")
        return self


class TransferParams(Table):
    """transfer: files of rows without labels, with the task's text columns; augment: copies.

    unlabelled: the rows of the split unlabelled, which `[task] splits.unlabelled` cuts. generate: rows that
    the teacher writes. only_transfer: learn from all these alone, and not from `train`.
    """

    transfer: TransferFiles = ()
    augment: Augment | None = None
    unlabelled: bool = False
    generate: Generate | None = None
    only_transfer: bool = False

    @model_validator(mode="after")
    def _readable(self) -> TransferParams:
        for path in self.transfer:
            if path.suffix.lower() not in SUFFIXES:
                told = f"suffix {path.suffix or 'none'} does not tell a format"
                raise ValueError(f"{path.name}: {told}; known: {' '.join(SUFFIXES)}")
        return self

    @property
    def adds_rows(self) -> bool:
        """Whether there are rows beside the train split's."""
        return bool(self.transfer or self.augment or self.unlabelled or self.generate)

    @model_validator(mode="after")
    def _something_to_learn_from(self) -> TransferParams:
        if self.only_transfer and not self.adds_rows:
            raise ValueError("only_transfer leaves no rows: give transfer, unlabelled, augment or generate")
        return self


def row_file(path: Path) -> RowFile:
    """How a transfer file is read: by its suffix, as UTF-8."""
    return RowFile(path=path, format=SUFFIXES[path.suffix.lower()])


def text_columns_of(columns: Sequence[str], wanted: Sequence[str], path: Path) -> dict[str, str]:
    """The task's text column -> the file's. Lines of text serve a task of one text column.

    Raises ValueError for a column that the file has not.
    """
    if SUFFIXES[path.suffix.lower()] == "text" and len(wanted) == 1:
        return {wanted[0]: "text"}
    for name in wanted:
        if name not in columns:
            raise ValueError(f'{path.name} has no column "{name}"; it has {", ".join(columns)}')
    return {name: name for name in wanted}

"""Reads words and their BIO tags from rows, and the spans that the tags mark.

seqeval finds the spans, by the rules of conlleval: an I- without a span of its type before it begins one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from slimgate.errors import DataError, MissingExtra
from slimgate.plugins.rows import Rows

OUTSIDE = "O"
TAG = re.compile(r"^(O|[BIES]-.+)$")

Span = tuple[str, int, int]  # type, first word, last word
ReadSpans = Callable[[Sequence[str]], frozenset[Span]]


def list_words(rows: Rows, column: str) -> list[list[str]]:
    """The words of each row. The column has lists of words, or texts that are split at white space."""
    return [split_parts(value) for value in rows.table[column].to_pylist()]


def read_tags(rows: Rows, *, words: str, tags: str, names: Sequence[str] | None) -> list[list[str]]:
    """The tag of each word of each row. names: the tag of each number, for columns of numbers.

    Raises DataError for a row with more or fewer tags than words, or with a tag that is not BIO.
    """
    tags_of_rows = []
    words_and_tags = zip(rows.ids, list_words(rows, words), rows.table[tags].to_pylist(), strict=True)
    for row, row_words, value in words_and_tags:
        where = f"column {tags}, row {row}"
        row_tags = [_parse_tag(tag, names, where) for tag in split_parts(value)]
        if len(row_tags) != len(row_words):
            raise DataError(
                f"{where}: {len(row_tags)} tags for {len(row_words)} words, expected one per word"
            )
        tags_of_rows.append(row_tags)
    return tags_of_rows


def load_span_reader() -> ReadSpans:
    """Returns a function from the tags of a row to its spans.

    Raises MissingExtra without seqeval.
    """
    try:
        from seqeval.metrics.sequence_labeling import get_entities
    except ImportError as error:
        raise MissingExtra('spans of tags need an extra: pip install "slimgate[ner]"') from error
    return lambda tags: frozenset(get_entities(list(tags)))


def split_parts(value: object) -> list[str]:
    """The items of a list as text, "" for null; or the words of a text."""
    if isinstance(value, list):
        return ["" if part is None else str(part) for part in value]
    return str(value or "").split()


def _parse_tag(tag: str, names: Sequence[str] | None, where: str) -> str:
    if tag.isdecimal() and names is not None and int(tag) < len(names):
        tag = names[int(tag)]
    if TAG.match(tag):
        return tag
    hint = ""
    if tag.isdecimal() and names:
        hint = f"; [task] names has only {len(names)} entries, counted from 0"
    elif tag.isdecimal():
        hint = '; [task] name it by names = ["O", …]'
    raise DataError(f'{where}: tag "{tag}", expected O, B-TYPE or I-TYPE{hint}')

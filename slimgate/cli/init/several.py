"""Rows with more than one label: sets of labels, or a tag for each word."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from slimgate.cli.init.guess import Guess
from slimgate.cli.init.roles import LABELS, Columns, Said, texts_among
from slimgate.data.tagged_words import TAG
from slimgate.errors import DataError

SETS = ("labels", "topics", "genres", "categories", "emotions", "tags", "classes")
SEPARATORS = (",", ";", "|")
TRIED = 500


def multi_label(table: pa.Table, columns: Columns, said: Said) -> Guess | None:
    """Lists of labels, names joined by a sign, or a column of 0 and 1 for each; None where there are none."""
    lists = [n for n, c in columns.items() if c.kind == "list" and n not in said.text]
    if said.label is not None:
        lists = [n for n in lists if n == said.label]
    if lists:
        return _sets(columns, said, {"label": lists[-1]}, f'lists of labels in "{lists[-1]}"')
    for name in [said.label] if said.label else [n for n in columns if n.lower() in SETS]:
        separator = _separator(table[name].to_pylist()) if columns[name].kind == "text" else None
        if separator is not None:
            options = {"label": name, "separator": separator}
            return _sets(columns, said, options, f'labels joined by "{separator}" in "{name}"')
    marked = [n for n, c in columns.items() if c.kind in ("number", "flag") and c.distinct <= 2 and c.whole]
    marked = [n for n in marked if _yes_or_no(table[n].to_pylist())]
    if len(marked) >= 3 and said.label is None and not any(n.lower() in LABELS for n in columns):
        return _sets(columns, said, {"label": marked}, f"{len(marked)} columns of 0 and 1")
    return None


def _sets(columns: Columns, said: Said, options: dict[str, Any], why: str) -> Guess:
    label = options["label"]
    texts = texts_among(columns, said, (label,) if isinstance(label, str) else label)
    names = {"names": said.names} if said.names else {}
    return Guess("multi_label", {"text": texts, **options, **names}, why)


def _separator(values: list[Any]) -> str | None:
    """What joins labels: parts of joined values recur, and are fewer than the values."""
    texts = [value for value in values if isinstance(value, str) and value.strip()]
    for separator in SEPARATORS:
        parts = [part.strip() for text in texts for part in text.split(separator)]
        joined = len(parts) > len(texts)
        if joined and len(set(parts)) * 5 <= len(parts) and max(len(p.split()) for p in parts) <= 4:
            return separator
    return None


def _yes_or_no(values: list[Any]) -> bool:
    return {str(value) for value in values} <= {"0", "1"}


def tagged(table: pa.Table, columns: Columns, said: Said) -> Guess | None:
    """Lists of words beside as many tags, or texts of both with blanks between."""
    tags = [said.label] if said.label else [n for n, c in columns.items() if c.kind in ("list", "text")]
    words = said.text or tuple(n for n, c in columns.items() if c.kind in ("list", "text"))
    head = {n: [_parts(v) for v in table[n].slice(0, TRIED).to_pylist()] for n in {*tags, *words}}
    for tag in tags:
        numbers = columns[tag].kind == "list" and all(p.isdecimal() for row in head[tag] for p in row)
        if not numbers and not all(TAG.match(part) for row in head[tag] for part in row):
            continue
        for word in words:
            if word != tag and any(head[tag]) and _as_many(head[word], head[tag]):
                return _tagging(columns, said, word, tag, numbers=numbers)
    return None


def _as_many(words: list[list[str]], tags: list[list[str]]) -> bool:
    return all(len(one) == len(other) for one, other in zip(words, tags, strict=True))


def _tagging(columns: Columns, said: Said, words: str, tags: str, *, numbers: bool) -> Guess | None:
    if numbers and not said.names:
        if columns[words].kind != "list" and said.task is None:
            return None
        raise DataError(
            f'column "{tags}" holds numbers for words: say what they stand for by --names O,B-PER,I-PER'
        )
    options: dict[str, Any] = {"words": words, "tags": tags}
    if said.names:
        options["names"] = said.names
    return Guess("token_classification", options, f'a tag in "{tags}" for each word of "{words}"')


def _parts(value: Any) -> list[str]:
    return [str(part) for part in value] if isinstance(value, list) else str(value or "").split()

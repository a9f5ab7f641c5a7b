"""Which column is what: texts, label, score, group, by what was said, by names, by looks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from slimgate.cli.init.columns import Column
from slimgate.errors import DataError

LABELS = (
    *("label", "class", "category", "intent", "target", "topic", "sentiment", "polarity", "gold", "answer"),
    *("same", "is_duplicate", "duplicate", "paraphrase", "entailment", "y"),
)
SCORES = ("score", "similarity", "rating", "similarity_score", "relatedness", "stars", "target", "label")
GROUPS = ("group", "file", "document", "doc", "doc_id", "document_id", "user", "user_id", "author", "session")
TEXTS = ("text", "sentence", "content", "body", "review", "question", "comment", "message", "document")
PAIRS = (
    *(("question1", "question2"), ("sentence1", "sentence2"), ("premise", "hypothesis")),
    *(("text1", "text2"), ("text_a", "text_b"), ("query", "document"), ("query", "passage")),
    *(("anchor", "positive"), ("summary", "body"), ("question", "answer")),
)

Columns = Mapping[str, Column]


@dataclass(frozen=True)
class Said:
    """What somebody said; the rest is guessed. names: what numbers of tags or labels stand for."""

    task: str | None = None
    text: tuple[str, ...] = ()
    label: str | None = None
    group: str | None = None
    names: tuple[str, ...] = ()


def texts_among(columns: Columns, said: Said, taken: Iterable[str]) -> tuple[str, ...]:
    """One column of text or two: those said, else a pair known by its names, else by looks."""
    if said.text:
        return said.text
    known = {n: c for n, c in columns.items() if n not in taken and c.kind == "text"}
    free = {n: c for n, c in known.items() if n.lower() not in GROUPS or c.mean_words >= 3}
    for pair in PAIRS:
        if set(pair) <= set(free):
            return pair
    looks = [n for n, c in free.items() if c.mean_words >= 3 and c.distinct * 20 >= c.rows]
    if len(looks) > 2:
        looks = [next((n for n in TEXTS if n in looks), max(looks, key=lambda n: free[n].mean_words))]
    if not looks and free:
        looks = [max(free, key=lambda n: free[n].mean_words)]
    if not looks:
        raise DataError(f"no column holds text: there are {', '.join(columns)}; name it by --text")
    return tuple(looks)


def measured(columns: Columns) -> list[str]:
    """Columns of numbers that measure something: not whole ones, and many different ones."""
    return [
        name
        for name, column in columns.items()
        if column.kind == "number" and not column.whole and not column.missing and column.distinct > 10
    ]


def label_among(columns: Columns, said: Said) -> str | None:
    """The column of classes: that said, else by its name, else the last of few short values that recur."""
    if said.label is not None:
        return said.label
    no_class = {*said.text, *measured(columns)}
    free = {n: c for n, c in columns.items() if n not in no_class and c.repeats and c.kind != "list"}
    lower = {name.lower(): name for name in free}
    for name in LABELS:
        if name in lower:
            return lower[name]
    constant = next((n for n, c in columns.items() if n.lower() == "label" and c.distinct == 1), None)
    if constant is not None and constant not in said.text:
        raise DataError(
            f'column "{constant}" has one value in all rows; name the column of labels by --label'
        )
    looks = [
        n
        for n, c in free.items()
        if n.lower() not in GROUPS and c.mean_words <= 3 and c.distinct * 5 <= c.rows
    ]
    return looks[-1] if looks else None  # labels stand last more often than not


def score_among(columns: Columns, said: Said) -> str | None:
    """The column of a measured number, unless a column is called as classes are."""
    found = measured(columns)
    if said.label is not None:
        return said.label if said.label in found else None
    label = label_among(columns, said)
    if not found or (label is not None and label.lower() in LABELS):
        return None
    named = next((name for name in found if name.lower() in SCORES), None)
    return named or (found[-1] if label is None else None)


def group_among(columns: Columns, used: Iterable[str]) -> str | None:
    """A column of documents, users or files, each of which has several rows."""
    for name, column in columns.items():
        fits = name.lower() in GROUPS and name not in used and not column.missing
        if fits and 10 <= column.distinct < column.rows:
            return name
    return None

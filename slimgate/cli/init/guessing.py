"""Which task rows are for: guessed from the columns' names and looks, after what was said.

guess(table, Said(label="intent"), causal=False) -> Guess("text_classification", {"text": …}, …)
"""

from __future__ import annotations

import pyarrow as pa

from slimgate.cli.init.columns import look_at
from slimgate.cli.init.guess import Guess
from slimgate.cli.init.roles import Columns, Said, group_among, label_among, score_among, texts_among
from slimgate.cli.init.several import multi_label, tagged
from slimgate.errors import DataError, nearest

TASKS = (
    *("text_classification", "text_regression", "multi_label", "token_classification", "causal_lm"),
    *("sentence_embedding", "sentence_similarity"),
)
MEASURED = ("text_regression", "sentence_similarity")


def guess(table: pa.Table, said: Said, *, causal: bool) -> Guess:
    """The task. causal: the model is a language model. Raises DataError where nothing fits."""
    columns = look_at(table)
    for name in (*said.text, *filter(None, (said.label, said.group))):
        if name not in columns:
            raise DataError(f'the rows have no column "{name}"{nearest(name, columns)}')
    if said.label is not None and said.label in said.text:
        raise DataError(f'column "{said.label}" is named by --text and by --label, expected two columns')
    if said.task is not None and said.task not in TASKS:
        raise DataError(f'--task "{said.task}": init knows no such task{nearest(said.task, TASKS)}')
    found = _guessed(table, columns, said, causal)
    if said.task is not None and found.kind != said.task:
        raise DataError(
            f"--task {said.task}: the columns look like {found.kind} ({found.why}); say which is which by "
            f"--text and --label; there are {', '.join(columns)}"
        )
    if said.group in found.columns:
        raise DataError(f"--group {said.group}: the task reads that column, expected another")
    if found.kind == "text_classification":
        _has_header(table, found.options["label"])
    group = said.group or group_among(columns, found.columns)
    used = {*found.columns, group}
    left = tuple(name for name in columns if name not in used)
    return Guess(found.kind, found.options, found.why, group, left)


def _has_header(table: pa.Table, label: str) -> None:
    if label in map(str, table[label].unique().to_pylist()):
        raise DataError(
            f'"{label}" is the name of a column and a label of its rows: the first row is taken for '
            "its header; give it one, and take a repeated one out"
        )


def _guessed(table: pa.Table, columns: Columns, said: Said, causal: bool) -> Guess:
    task = said.task
    if task in (None, "token_classification") and (words := tagged(table, columns, said)):
        return words
    if task in (None, "multi_label") and (several := multi_label(table, columns, said)):
        return several
    if task in MEASURED:
        score = said.label or score_among(columns, said) or _any_number(columns)
    else:
        score = score_among(columns, said) if task is None else None
    if score is not None:
        return _scored(columns, said, score)
    by_label = said.label is not None or task in (None, "text_classification")
    label = label_among(columns, said) if by_label else None
    return _text_alone(columns, said, causal) if label is None else _labelled(columns, said, label)


def _any_number(columns: Columns) -> str | None:
    """Whole numbers, such as stars, are classes unless a regression is asked for."""
    numbers = [name for name, column in columns.items() if column.kind == "number"]
    return numbers[-1] if numbers else None


def _labelled(columns: Columns, said: Said, label: str) -> Guess:
    texts = texts_among(columns, said, (label,))
    if columns[label].kind in ("list", "other"):
        raise DataError(f'column "{label}" holds no plain values, expected a class in every row')
    if said.task == "sentence_embedding":
        options = {"text": texts[0], "label": label}
        return Guess("sentence_embedding", options, f'texts of one value of "{label}" belong together')
    pair = "two columns of text" if len(texts) == 2 else "text"
    why = f'{pair} and {columns[label].distinct} different values of "{label}"'
    return Guess("text_classification", {"text": texts, "label": label}, why)


def _scored(columns: Columns, said: Said, score: str) -> Guess:
    texts = texts_among(columns, said, (score,))
    if said.task == "sentence_similarity":
        if len(texts) != 2:
            raise DataError("--task sentence_similarity compares two texts; name both columns by --text")
        return Guess("sentence_similarity", {"pair": texts, "score": score}, f'the score "{score}"')
    return Guess("text_regression", {"text": texts, "score": score}, f'numbers in "{score}"')


def _text_alone(columns: Columns, said: Said, causal: bool) -> Guess:
    texts = texts_among(columns, said, ())
    if len(texts) == 2 and said.task in (None, "sentence_embedding"):
        return Guess("sentence_embedding", {"pair": texts}, "two columns of text and no label")
    if said.task == "causal_lm" or (said.task is None and causal):
        return Guess("causal_lm", {"text": texts[:1]}, "text alone")
    raise DataError(
        f"no column looks like the label of a {said.task or 'task'}: there are {', '.join(columns)}; name it "
        "by --label (text alone is for a causal language model)"
    )

"""Rows without labels that a student learns from: files, the split unlabelled, changed copies,
text that its teacher writes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from slimgate.compress.training.augmentation import augmented
from slimgate.compress.training.generation import written_texts
from slimgate.compress.training.transfer_params import Augment, TransferParams, row_file, text_columns_of
from slimgate.compress.training.translation import translated
from slimgate.data.pools import collapsed, collapsed_texts
from slimgate.data.row_files import columns_of, rows_of
from slimgate.data.same_texts import BETWEEN_TEXTS
from slimgate.errors import BuildError, DataError
from slimgate.protocols import UNLABELLED, BuildContext, Rows

Columns = dict[str, list[str]]


def transfer_rows(
    params: TransferParams, context: BuildContext, *, tokenizer: Any, teacher: Any = None
) -> Rows | None:
    """The rows of `transfer`, `unlabelled`, `augment` and `generate`, each text once; None without any.

    None of their texts stands in calibration, selection or gate, nor in `train`: such rows are dropped, and
    counted in context.log. tokenizer: whose mask token stands for a masked word; teacher: who writes.
    Raises DataError where no row is left.
    """
    names = context.task.text_columns(context.task_params)
    if params.transfer or params.augment is not None:
        _check_text(context, names)
    parts = dict(_parts(params, context, names, tokenizer))
    if params.generate is not None:
        parts["written"] = {names[0]: written_texts(teacher, params.generate, context)}
    if not parts:
        return None
    log = {origin: len(columns[names[0]]) for origin, columns in parts.items()}
    read = {name: [text for columns in parts.values() for text in columns[name]] for name in names}
    kept, counts = _unseen(read, context)
    context.log["transfer"] = {**log, **counts, "rows": len(kept)}
    if not len(kept):
        raise DataError(f"the transfer set has no row left: {context.log['transfer']}")
    return kept


def _check_text(context: BuildContext, names: Sequence[str]) -> None:
    table = context.rows("train").table
    for name in names:
        if not (pa.types.is_string(table[name].type) or pa.types.is_large_string(table[name].type)):
            raise BuildError(f"transfer and augment make rows of text, and {name} is none; leave them out")


def _parts(
    params: TransferParams, context: BuildContext, names: Sequence[str], tokenizer: Any
) -> Iterator[tuple[str, Columns]]:
    """Where rows come from, as the log names it, and their texts."""
    if params.transfer:
        yield "from_files", _from_files(params, context, names)
    if params.unlabelled:
        table = context.rows(UNLABELLED).table
        yield "from_unlabelled", {name: table[name].to_pylist() for name in names}
    options = params.augment
    if options is not None and options.changes_words:
        yield "augmented", _changed(options, context, names, tokenizer)
    if options is not None and options.translator:
        texts = _to_copy(options, context, names)
        yield "translated", {name: translated(texts[name], options.translator) for name in names}


def _from_files(params: TransferParams, context: BuildContext, names: Sequence[str]) -> Columns:
    found: Columns = {name: [] for name in names}
    for path in params.transfer:
        file = row_file(path)
        columns = text_columns_of(columns_of(file), names, path)
        table = rows_of(file, scratch=context.scratch)
        for name in names:
            found[name] += [str(value or "") for value in table[columns[name]].to_pylist()]
    return found


def _to_copy(options: Augment, context: BuildContext, names: Sequence[str]) -> Columns:
    """The texts of train, and of the split unlabelled where its rows are copied too."""
    splits = ("train", UNLABELLED) if options.unlabelled else ("train",)
    tables = [context.rows(split).table for split in splits]
    return {name: [text for table in tables for text in table[name].to_pylist()] for name in names}


def _changed(options: Augment, context: BuildContext, names: Sequence[str], tokenizer: Any) -> Columns:
    if options.word_mask and tokenizer.mask_token is None:
        raise BuildError(
            "augment: word_mask needs a tokenizer with a mask token, this one has none; use word_replace"
        )
    mask, texts = str(tokenizer.mask_token), _to_copy(options, context, names)
    return {
        name: augmented(list(map(collapsed, texts[name])), options, mask=mask, seed=context.seed + place)
        for place, name in enumerate(names)
    }


def _unseen(columns: Columns, context: BuildContext) -> tuple[Rows, dict[str, int]]:
    """Each text once, without those of other splits; how many went, and why."""
    names = list(columns)
    table = pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})
    texts = collapsed_texts(table, names)
    held_out = context.stands_later(texts)
    known = set(collapsed_texts(context.rows("train").table, names))
    counts = {"dropped_empty": 0, "dropped_held_out": 0, "dropped_repeats": 0}
    places = []
    for place, text in enumerate(texts):
        if not all(part for part in text.split(BETWEEN_TEXTS)):
            counts["dropped_empty"] += 1
        elif held_out[place]:
            counts["dropped_held_out"] += 1
        elif text in known:
            counts["dropped_repeats"] += 1
        else:
            known.add(text)
            places.append(place)
    kept = table.take(pa.array(places, pa.int64()))
    return Rows(kept.add_column(0, "id", [[f"transfer/{place}" for place in places]])), counts

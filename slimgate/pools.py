"""The rows of a source's parts, checked and numbered, so that splits can be cut from them."""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from slimgate.errors import DataError, nearest

SPLITS = ("train", "calibration", "selection", "gate")
UNLABELLED, CALIBRATION = "unlabelled", "calibration"
# The order in which a row belongs to the later of two splits.
DRAWN = (UNLABELLED, *SPLITS)
PARTS = (UNLABELLED, "all", *SPLITS)
# str.split() takes it for white space, so no text that was collapsed can hold it.
BETWEEN_TEXTS = "\x1f"

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Pool:
    """The rows of one part.

    table: an `id` column, then the source's own; texts, groups, labels: (rows,) codes, equal exactly where
    the text (white space collapsed), group and label are, in all pools alike; label_names: of the codes;
    free: rows that may be drawn; by_text, by_group: rows that a later part holds the text or group of.
    """

    name: str
    table: pa.Table
    texts: Ints
    groups: Ints
    labels: Ints
    label_names: tuple[str, ...]
    free: Mask
    by_text: Mask
    by_group: Mask

    def __len__(self) -> int:
        return int(self.table.num_rows)


def pools_of(
    parts: Mapping[str, pa.Table],
    *,
    text_columns: Sequence[str],
    label_column: str | None,
    group_column: str | None,
) -> list[Pool]:
    """A pool for every part, in the order of PARTS. Raises DataError for rows that cannot be used.

    Rows of the part unlabelled are free until `withhold` takes out what the other splits were dealt.
    """
    tables = _with_ids(_known_parts(parts))
    texts = [_texts(name, table, text_columns) for name, table in tables.items()]
    known = {name: table for name, table in tables.items() if name != UNLABELLED}
    labels = _labels(known, label_column)
    groups = [_groups(name, table, group_column) for name, table in tables.items()]
    if group_column is None:  # every row is a group of its own
        counts = np.cumsum([0, *(table.num_rows for table in tables.values())])
        group_codes = [np.arange(a, b) for a, b in itertools.pairwise(counts)]
    else:
        group_codes, _ = _codes(groups)
    text_codes, _ = _codes(texts)
    label_codes, names = _codes(labels)
    if UNLABELLED in tables:  # nobody knows its labels
        label_codes.insert(0, np.zeros(tables[UNLABELLED].num_rows, np.int64))
    label_names = tuple(names.to_pylist())
    pools = []
    for k, (name, table) in enumerate(tables.items()):
        free, by_text, by_group = (np.full(table.num_rows, fill) for fill in (True, False, False))
        pool = Pool(
            name=name,
            table=table,
            texts=text_codes[k],
            groups=group_codes[k],
            labels=label_codes[k],
            label_names=label_names,
            free=free,
            by_text=by_text,
            by_group=by_group,
        )
        pools.append(pool)
    _drop_across(pools)
    return pools


def _known_parts(parts: Mapping[str, pa.Table]) -> dict[str, pa.Table]:
    expected = f"expected all, or some of {', '.join(SPLITS)}; and {UNLABELLED} beside them or not"
    for name in parts:
        if name not in PARTS:
            raise DataError(f"the source gave a part {name!r}, {expected}")
    judged = set(parts) - {UNLABELLED}
    if not judged or ("all" in judged and len(judged) > 1):
        raise DataError(f"the source gave parts {list(parts)}, {expected}")
    return {name: parts[name] for name in PARTS if name in parts}


def _drop_across(pools: Sequence[Pool]) -> None:
    """Takes the rows of earlier parts out whose group, or else whose text, stands in a later part."""
    later_texts, later_groups = np.empty(0, np.int64), np.empty(0, np.int64)
    for pool in reversed([pool for pool in pools if pool.name != UNLABELLED]):
        withhold(pool, texts=later_texts, groups=later_groups)
        later_texts = np.union1d(later_texts, pool.texts[pool.free])
        later_groups = np.union1d(later_groups, pool.groups[pool.free])


def withhold(pool: Pool, *, texts: Ints, groups: Ints) -> None:
    """Takes the rows out of a part that have one of these texts or groups."""
    pool.by_group[:] = np.isin(pool.groups, groups)
    pool.by_text[:] = ~pool.by_group & np.isin(pool.texts, texts)
    pool.free[:] = ~(pool.by_group | pool.by_text)


def _with_ids(parts: Mapping[str, pa.Table]) -> dict[str, pa.Table]:
    """The tables with their `id` first: the source's own, or part/row."""
    tables = {}
    for name, table in parts.items():
        own = "id" in table.column_names
        ids = strings(table["id"], f"part {name}: column id") if own else _numbered(name, table.num_rows)
        if ids.null_count:
            raise DataError(f"part {name}: column id is null in {ids.null_count} of {len(ids)} rows")
        rest = [column for column in table.column_names if column != "id"]
        tables[name] = pa.table({"id": ids, **{column: table[column] for column in rest}})
    if any("id" in table.column_names for table in parts.values()):
        _unique([table["id"] for table in tables.values()])
    return tables


def _numbered(part: str, rows: int) -> pa.Array:
    return pc.binary_join_element_wise(part, pc.cast(pa.array(np.arange(rows)), pa.string()), "/")


def _unique(columns: Sequence[pa.ChunkedArray]) -> None:
    ids = [value for column in columns for value in column.to_pylist()]
    if len(set(ids)) < len(ids):
        twice = [value for value, count in Counter(ids).items() if count > 1]
        raise DataError(
            f"column id: {len(twice)} ids stand more than once over all parts (first: {twice[0]}), "
            "expected one row an id; rename the column to have rows numbered"
        )


def strings(column: pa.ChunkedArray, where: str) -> pa.ChunkedArray:
    """The column as strings. Raises DataError for lists and objects."""
    try:
        return pc.cast(column, pa.string())
    except pa.ArrowNotImplementedError:
        raise DataError(f"{where} has type {column.type}, expected text or numbers") from None


def _column(part: str, table: pa.Table, name: str, what: str) -> pa.ChunkedArray:
    if name not in table.column_names:
        known = [column for column in table.column_names if column != "id"]
        raise DataError(f"part {part} has no {what} column {name}{nearest(name, known)}")
    return table[name]


def collapsed_texts(table: pa.Table, names: Sequence[str]) -> list[str]:
    """The text of each row as texts are compared: stripped, white space collapsed; of a pair, both."""
    columns = [[collapsed(value) for value in table[name].to_pylist()] for name in names]
    return columns[0] if len(columns) == 1 else list(map(BETWEEN_TEXTS.join, zip(*columns, strict=True)))


def collapsed(value: Any) -> str:
    """A text as texts are compared; of a list of words, the words with blanks; of an image, a digest."""
    if isinstance(value, bytes | dict) or (isinstance(value, list) and value and not _is_words(value)):
        return content_digest(value)
    words = [str(word or "") for word in value] if isinstance(value, list) else [str(value or "")]
    return " ".join(" ".join(words).split())


def _is_words(value: list[Any]) -> bool:
    return all(word is None or isinstance(word, str) for word in value)


def _texts(part: str, table: pa.Table, names: Sequence[str]) -> list[str]:
    """The text of each row, stripped and with white space collapsed; of a pair, both."""
    columns = [_text(part, table, name) for name in names]
    return columns[0] if len(columns) == 1 else list(map(BETWEEN_TEXTS.join, zip(*columns, strict=True)))


def _text(part: str, table: pa.Table, name: str) -> list[str]:
    column = _column(part, table, name, "text")
    if is_image(column.type):
        return [content_digest(value) if value else "" for value in column.to_pylist()]
    nested = pa.types.is_dictionary(column.type) or pa.types.is_list(column.type)
    kind = column.type.value_type if nested or pa.types.is_large_list(column.type) else column.type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)):
        raise DataError(
            f"part {part}: text column {name} has type {kind}, expected string or lists of strings"
        )
    texts = [collapsed(value) for value in column.to_pylist()]
    empty = texts.count("")
    if empty:
        first = table["id"][texts.index("")]
        raise DataError(
            f"part {part}: text column {name} is null or empty in {empty} of {len(texts)} rows "
            f"(first: {first})"
        )
    return texts


def is_image(kind: pa.DataType) -> bool:
    """Whether a column may hold images: the bytes of files, the hub's structs of them, or lists of pixels."""
    types = pa.types
    if types.is_list(kind) or types.is_large_list(kind):  # lists of words are text
        return not (types.is_string(kind.value_type) or types.is_large_string(kind.value_type))
    tests = (types.is_binary, types.is_large_binary, types.is_struct, types.is_fixed_size_list)
    return any(test(kind) for test in tests)


def content_digest(value: Any) -> str:
    """Equal where the content is: what two splits must not share of an image. Of a hub's image, its bytes."""
    content = (value.get("bytes") or value) if isinstance(value, dict) else value
    return hashlib.sha256(content if isinstance(content, bytes) else repr(content).encode()).hexdigest()


def _labels(tables: Mapping[str, pa.Table], name: str | None) -> list[list[str]]:
    """The label of each row as text; one for all where rows have no label, or it is a measured number."""
    if name is None:
        return [[""] * table.num_rows for table in tables.values()]
    columns = [_label(part, table, name) for part, table in tables.items()]
    labels = [strings(c, f"label column {name}").to_pylist() for c in columns]
    zero = any("0" in column for column in labels)
    for (part, table), column in zip(tables.items(), labels, strict=True):
        # -1 is how data sets on the hub write "no label"; beside 1 without a 0 it is a class.
        coded = zero or set(column) == {"-1"}
        _all_labelled(
            part, table, name, [v is None or v in ("", "nan") or (coded and v == "-1") for v in column]
        )
    if any(pa.types.is_floating(column.type) for column in columns):
        return [[""] * len(column) for column in labels]
    return labels


def _label(part: str, table: pa.Table, name: str) -> pa.ChunkedArray:
    if name not in table.column_names and part != "all" and part != "train":
        raise DataError(
            f"part {part} is unlabelled: it has no column {name} (it has {', '.join(table.column_names[1:])}"
            "); name a labelled part, or leave it out and have the split cut from train"
        )
    return _column(part, table, name, "label")


def _all_labelled(part: str, table: pa.Table, name: str, missing: list[bool]) -> None:
    count = sum(missing)
    if not count:
        return
    row = missing.index(True)
    first = f"{table['id'][row]}, {table[name][row].as_py()!r}"
    partly = "" if count == len(missing) else "partly "
    raise DataError(
        f"part {part} is {partly}unlabelled: label column {name} is null, empty or -1 in {count} of "
        f"{len(missing)} rows (first: {first}); name a labelled part, or take these rows out "
        "(a class that is really called -1 needs another name)"
    )


def _groups(part: str, table: pa.Table, name: str | None) -> list[str]:
    if name is None:
        return []
    column = _column(part, table, name, "group")
    groups: list[str] = strings(column, f"part {part}: group column {name}").to_pylist()
    missing = [value is None or not value for value in groups]
    if any(missing):
        first = table["id"][missing.index(True)]
        raise DataError(
            f"part {part}: group column {name} is null or empty in {sum(missing)} of {len(groups)} rows "
            f"(first: {first})"
        )
    return groups


def _codes(columns: Sequence[list[str]]) -> tuple[list[Ints], pa.Array]:
    """Codes that all columns share, by first appearance, and the values that they stand for."""
    chunks = pa.chunked_array([pa.array(column, pa.large_string()) for column in columns])
    encoded = chunks.combine_chunks().dictionary_encode()
    codes = encoded.indices.to_numpy().astype(np.int64)
    ends = np.cumsum([len(column) for column in columns])
    return list(np.split(codes, ends[:-1])), encoded.dictionary

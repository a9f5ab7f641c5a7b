"""Checks the rows of a source's parts and gives each row codes, so that splits can be drawn from them.

A part is a table that a source gives: `all`, or some of `train`, `selection`, `gate` and others.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from slimgate._system.names import normalize_group
from slimgate.data.arrow import (
    Keys,
    Mask,
    find_duplicates,
    hash_texts,
    is_empty_text,
    iterate_value_lists,
    iterate_values,
    number_keys,
)
from slimgate.data.same_texts import BETWEEN_TEXTS, normalize_text, sort_texts
from slimgate.errors import DataError, format_suggestion
from slimgate.outcomes import Ints
from slimgate.plugins.rows import SPLIT_ORDER, UNLABELLED

PARTS = (UNLABELLED, "all", *SPLIT_ORDER[1:])


@dataclass(frozen=True, eq=False)
class Pool:
    """The rows of one part.

    Codes are (rows,) integers. Two rows of any pools have equal codes exactly if they have the same value.

    table: an `id` column, then the columns of the source.
    texts: codes of the texts, as `same_texts` compares them.
    exact_texts: codes of the texts, with white space collapsed.
    groups, labels: codes. label_names: the label of each code.
    free: (rows,) bool, the rows that may be drawn for a split.
    dropped_by_text, dropped_by_group: (rows,) bool, the other rows: a later part has their text, or group.
    dropped_by_near_text: the rows of dropped_by_text whose exact text no later part has.
    """

    name: str
    table: pa.Table
    texts: Ints
    exact_texts: Ints
    groups: Ints
    labels: Ints
    label_names: tuple[str, ...]
    free: Mask
    dropped_by_text: Mask
    dropped_by_near_text: Mask
    dropped_by_group: Mask

    def __len__(self) -> int:
        return int(self.table.num_rows)


@dataclass(frozen=True)
class SplitColumns:
    """The columns by which rows are split.

    texts: a text may occur in one split only. label: its shares are those of the part; None if it is not a
    class. group: rows with the same value are in one split. read: all columns that the task reads; digests of
    splits include them.
    """

    texts: Sequence[str]
    label: str | None = None
    group: str | None = None
    read: Sequence[str] = ()


def make_pools(parts: Mapping[str, pa.Table], columns: SplitColumns) -> list[Pool]:
    """Makes a pool for every part, in the order of PARTS. Raises DataError for rows that cannot be used.

    All rows of the part `unlabelled` are free. Call `withhold_rows` when the other splits have been drawn.
    """
    tables = _add_ids(_select_known_parts(parts))
    texts = [_hash_row_texts(name, table, columns.texts) for name, table in tables.items()]
    known = {name: table for name, table in tables.items() if name != UNLABELLED}
    label_codes, label_names = _number_labels(known, columns.label)
    if columns.group is None:  # every row is a separate group
        counts = np.cumsum([0, *(table.num_rows for table in tables.values())])
        group_codes = [np.arange(a, b) for a, b in itertools.pairwise(counts)]
    else:
        group_codes = number_keys(
            [_hash_groups(name, table, columns.group) for name, table in tables.items()]
        )
    exact_codes, text_codes = (number_keys(keys) for keys in zip(*texts, strict=True))
    if UNLABELLED in tables:  # these rows have no known labels
        label_codes.insert(0, np.zeros(tables[UNLABELLED].num_rows, np.int64))
    pools = []
    for k, (name, table) in enumerate(tables.items()):
        pool = Pool(
            name=name,
            table=table,
            texts=text_codes[k],
            exact_texts=exact_codes[k],
            groups=group_codes[k],
            labels=label_codes[k],
            label_names=label_names,
            free=np.ones(table.num_rows, np.bool_),
            dropped_by_text=np.zeros(table.num_rows, np.bool_),
            dropped_by_near_text=np.zeros(table.num_rows, np.bool_),
            dropped_by_group=np.zeros(table.num_rows, np.bool_),
        )
        pools.append(pool)
    _withhold_rows_of_later_parts(pools)
    return pools


def _select_known_parts(parts: Mapping[str, pa.Table]) -> dict[str, pa.Table]:
    expected = f"expected all, or some of {', '.join(SPLIT_ORDER[1:])}; {UNLABELLED} may be added to either"
    if not isinstance(parts, Mapping):
        raise DataError(f"the source gave {type(parts).__name__}, expected a dict of tables; {expected}")
    for name, table in parts.items():
        if not isinstance(table, pa.Table):
            raise DataError(f"the source gave {type(table).__name__} as {name}, expected a pyarrow Table")
        if name not in PARTS:
            raise DataError(f"the source gave a part {name!r}, {expected}")
    judged = set(parts) - {UNLABELLED}
    if not judged or ("all" in judged and len(judged) > 1):
        raise DataError(f"the source gave parts {list(parts)}, {expected}")
    return {name: parts[name] for name in PARTS if name in parts}


def _withhold_rows_of_later_parts(pools: Sequence[Pool]) -> None:
    """Marks the rows of each part as not free whose group or text a later part has."""
    texts, exact_texts, groups = (np.empty(0, np.int64) for _ in range(3))
    for pool in reversed([pool for pool in pools if pool.name != UNLABELLED]):
        withhold_rows(pool, texts=texts, exact_texts=exact_texts, groups=groups)
        texts = np.union1d(texts, pool.texts[pool.free])
        exact_texts = np.union1d(exact_texts, pool.exact_texts[pool.free])
        groups = np.union1d(groups, pool.groups[pool.free])


def withhold_rows(pool: Pool, *, texts: Ints, exact_texts: Ints, groups: Ints) -> None:
    """Marks the rows that have one of these texts or groups as not free."""
    pool.dropped_by_group[:] = np.isin(pool.groups, groups)
    pool.dropped_by_text[:] = ~pool.dropped_by_group & np.isin(pool.texts, texts)
    pool.dropped_by_near_text[:] = pool.dropped_by_text & ~np.isin(pool.exact_texts, exact_texts)
    pool.free[:] = ~(pool.dropped_by_group | pool.dropped_by_text)


def _add_ids(parts: Mapping[str, pa.Table]) -> dict[str, pa.Table]:
    """The tables with an `id` column first: that of the source, or else `PART/ROW`."""
    tables = {}
    for name, table in parts.items():
        has_ids = "id" in table.column_names
        ids = (
            convert_to_strings(table["id"], f"part {name}: column id")
            if has_ids
            else _number_rows(name, table.num_rows)
        )
        if ids.null_count:
            raise DataError(f"part {name}: column id is null in {ids.null_count} of {len(ids)} rows")
        rest = [column for column in table.column_names if column != "id"]
        tables[name] = pa.table({"id": ids, **{column: table[column] for column in rest}})
    if any("id" in table.column_names for table in parts.values()):
        count, first = find_duplicates([table["id"] for table in tables.values()])
        if count:
            raise DataError(
                f"column id: {count} ids occur more than once over all parts (first: {first}), expected one "
                "row per id; rename the column: slimgate then numbers the rows"
            )
    return tables


def _number_rows(part: str, rows: int) -> pa.Array:
    import pyarrow.compute as pc

    return pc.binary_join_element_wise(part, pc.cast(pa.array(np.arange(rows)), pa.string()), "/")


def convert_to_strings(column: pa.ChunkedArray, where: str) -> pa.ChunkedArray:
    """The column as strings. Raises DataError for lists, objects, and bytes that are not UTF-8."""
    try:
        return column.cast(pa.string())
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        raise DataError(f"{where} has type {column.type}, expected text or numbers") from None


def require_column(part: str, table: pa.Table, name: str, role: str) -> pa.ChunkedArray:
    """The column of a part. Raises DataError if the part has none, with the nearest name."""
    if name not in table.column_names:
        known = [column for column in table.column_names if column != "id"]
        raise DataError(f"part {part} has no {role} column {name}{format_suggestion(name, known)}")
    return table[name]


def collapse_texts(table: pa.Table, names: Sequence[str]) -> list[str]:
    """The text of each row, with white space collapsed. The two texts of a pair are joined."""
    columns = [[collapse_text(value) for value in table[name].to_pylist()] for name in names]
    return columns[0] if len(columns) == 1 else list(map(BETWEEN_TEXTS.join, zip(*columns, strict=True)))


def collapse_text(value: object) -> str:
    """A text with white space collapsed; words or chat messages joined by blanks; an image as a digest."""
    if (texts := _list_message_texts(value)) is not None:
        return " ".join(" ".join(texts).split())
    items = value if isinstance(value, list) else [value]
    is_pixels = isinstance(value, list) and any(not isinstance(item, str | None) for item in items)
    if isinstance(value, bytes | dict) or is_pixels:
        return digest_image_content(value)
    return " ".join(" ".join(str(item or "") for item in items).split())


def _list_message_texts(value: object) -> list[str] | None:
    """The role and the text of each message; None if a value is no list of messages of text alone."""
    if not isinstance(value, list) or not value or not all(isinstance(item, dict) for item in value):
        return None
    messages = [{name: field for name, field in item.items() if field is not None} for item in value]
    if any(not message.keys() <= {"role", "content"} for message in messages):
        return None
    fields = [message.get(name) for message in messages for name in ("role", "content")]
    texts = [field for field in fields if isinstance(field, str)]
    return texts if len(texts) == len(fields) else None


def number_texts(table: pa.Table, names: Sequence[str]) -> Ints:
    """(rows,) codes, equal for rows whose texts `same_texts` counts as the same. Raises DataError."""
    return number_keys([_hash_row_texts("gate", table, names)[1]])[0]


def _hash_row_texts(part: str, table: pa.Table, names: Sequence[str]) -> tuple[Keys, Keys]:
    """Two keys of each row's text: with white space collapsed, and as `same_texts` compares it.

    The texts of a pair make one key together.
    """
    exact, compared = zip(*(_hash_column(part, table, name) for name in names), strict=True)
    return np.hstack(exact), sort_texts(list(compared))


def _hash_column(part: str, table: pa.Table, name: str) -> tuple[Keys, Keys]:
    column = require_column(part, table, name, "text")
    if is_image(column.type):
        texts = [collapse_text(value) if value else "" for value in iterate_values(column)]
        normalized = (
            text if _list_message_texts(value) is None else normalize_text(text)
            for value, text in zip(iterate_values(column), texts, strict=True)
        )
        return hash_texts(texts), hash_texts(normalized)
    listed = pa.types.is_list(column.type) or pa.types.is_large_list(column.type)
    kind = column.type.value_type if listed or pa.types.is_dictionary(column.type) else column.type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)):
        raise DataError(
            f"part {part}: text column {name} has type {kind}, expected string or lists of strings"
        )
    if listed:  # lists of words are compared as they are, because tags depend on case and punctuation
        exact = compared = hash_texts(collapse_text(value) for value in iterate_values(column))
    else:
        exact, compared = _hash_strings(column)
    if (empty := is_empty_text(exact)).any():
        first = table["id"][int(empty.argmax())]
        raise DataError(
            f"part {part}: text column {name} is null or empty in {int(empty.sum())} of {len(exact)} rows "
            f"(first: {first}); remove these rows, or give them a text"
        )
    return exact, compared


def _hash_strings(column: pa.ChunkedArray) -> tuple[Keys, Keys]:
    exact, compared = [hash_texts([])], [hash_texts([])]
    for values in iterate_value_lists(column):
        texts = [collapse_text(value) for value in values]
        exact.append(hash_texts(texts))
        compared.append(hash_texts(map(normalize_text, texts)))
    return np.concatenate(exact), np.concatenate(compared)


def is_image(kind: pa.DataType) -> bool:
    """Whether a column may hold images: bytes of files, the structs of the hub, or lists of pixels."""
    types = pa.types
    if types.is_list(kind) or types.is_large_list(kind):  # lists of words are text
        return not (types.is_string(kind.value_type) or types.is_large_string(kind.value_type))
    tests = (types.is_binary, types.is_large_binary, types.is_struct, types.is_fixed_size_list)
    return any(test(kind) for test in tests)


def digest_image_content(value: object) -> str:
    """The digest of an image, which shows that two splits share it. For an image of the hub, of its bytes."""
    content = (value.get("bytes") or value) if isinstance(value, dict) else value
    return hashlib.sha256(content if isinstance(content, bytes) else repr(content).encode()).hexdigest()


def _number_labels(tables: Mapping[str, pa.Table], name: str | None) -> tuple[list[Ints], tuple[str, ...]]:
    """For each table (rows,) codes of the labels; and the label of each code.

    Without a label column, and if a label is no whole number, all rows have the code 0 and the label "".
    """
    import pyarrow.compute as pc

    no_labels = [np.zeros(table.num_rows, np.int64) for table in tables.values()]
    if name is None:
        return no_labels, ("",)
    columns = [_read_label_column(part, table, name) for part, table in tables.items()]
    labels = [convert_to_strings(column, f"label column {name}") for column in columns]
    _check_labels(tables, labels, name)
    floats = [column for column in columns if pa.types.is_floating(column.type)]
    if any(pc.any(pc.not_equal(column, pc.floor(column))).as_py() for column in floats):
        return no_labels, ("",)
    labels = [_name_classes(column, text) for column, text in zip(columns, labels, strict=True)]
    # Codes that all columns share, in order of first appearance, and the label of each code.
    chunks = [chunk for column in labels for chunk in column.chunks]
    encoded = pa.chunked_array(chunks, pa.string()).dictionary_encode().combine_chunks()
    codes = encoded.indices.to_numpy().astype(np.int64)
    ends = np.cumsum([len(column) for column in labels])
    return np.split(codes, ends[:-1]), tuple(encoded.dictionary.to_pylist())


def _name_classes(column: pa.ChunkedArray, text: pa.ChunkedArray) -> pa.ChunkedArray:
    """The labels as Python, and so the classes of a task, writes them: True, not true, and 1.0, not 1."""
    import pyarrow.compute as pc

    if pa.types.is_boolean(column.type):
        return pc.utf8_capitalize(text)
    if pa.types.is_floating(column.type):
        return pc.replace_substring_regex(text, "^(-?[0-9]+)$", r"\1.0")
    return text


def _read_label_column(part: str, table: pa.Table, name: str) -> pa.ChunkedArray:
    if name not in table.column_names and part != "all" and part != "train":
        raise DataError(
            f"part {part} is unlabelled: it has no column {name} (it has "
            f"{', '.join(table.column_names[1:])}); name a labelled part, or leave this part out: slimgate "
            "then cuts the split from train"
        )
    return require_column(part, table, name, "label")


def _check_labels(tables: Mapping[str, pa.Table], labels: Sequence[pa.ChunkedArray], name: str) -> None:
    """Raises DataError for the first table with missing labels. labels: those of each table, as strings."""
    import pyarrow.compute as pc

    has_zero = any(pc.any(pc.equal(column, "0")).as_py() for column in labels)
    for (part, table), column in zip(tables.items(), labels, strict=True):
        only_minus_one = not column.null_count and pc.min_max(column).as_py() == {"min": "-1", "max": "-1"}
        # -1 is how data sets on the hub write "no label"; with 1 and without 0 it is a class.
        unknown = pa.array(["", "nan", "NaN", *(["-1"] if has_zero or only_minus_one else [])])
        missing = pc.or_(pc.is_null(column), pc.is_in(pc.utf8_trim_whitespace(column), value_set=unknown))
        if pc.any(missing).as_py():
            raise _make_missing_labels_error(part, table, name, missing.to_numpy())


def _make_missing_labels_error(part: str, table: pa.Table, name: str, missing: Mask) -> DataError:
    count = int(missing.sum())
    row = int(missing.argmax())
    first = f"{table['id'][row]}, {table[name][row].as_py()!r}"
    partly = "" if count == len(missing) else "partly "
    return DataError(
        f"part {part} is {partly}unlabelled: label column {name} is null, empty, nan or -1 in {count} of "
        f"{len(missing)} rows (first: {first}); name a labelled part, or remove these rows (a class that "
        "is really called nan or -1 needs another name)"
    )


def _hash_groups(part: str, table: pa.Table, name: str) -> Keys:
    column = require_column(part, table, name, "group")
    unknown = ("nan", "") if pa.types.is_floating(column.type) else ("",)  # a missing number
    texts = iterate_values(convert_to_strings(column, f"part {part}: group column {name}"))
    keys = hash_texts("" if text is None or text in unknown else normalize_group(text) for text in texts)
    if (missing := is_empty_text(keys)).any():
        first = table["id"][int(missing.argmax())]
        raise DataError(
            f"part {part}: group column {name} is null or empty in {int(missing.sum())} of {len(keys)} "
            f"rows (first: {first})"
        )
    return keys

"""Columns of objects: messages, tools and calls.

All objects of a column share their keys. A key that a row leaves out is null in the table, so keys that are
null are left out again.
"""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa


def has_objects(column_type: pa.DataType) -> bool:
    """Whether a column of this type has objects, or lists of objects."""
    is_list = pa.types.is_list(column_type) or pa.types.is_large_list(column_type)
    return bool(pa.types.is_struct(column_type.value_type if is_list else column_type))


def remove_nulls(value: Any) -> Any:
    """A value without the keys that are null, at any depth."""
    if isinstance(value, dict):
        return {key: remove_nulls(inner) for key, inner in value.items() if inner is not None}
    return [remove_nulls(item) for item in value] if isinstance(value, list) else value


def format_json_text(value: Any) -> str:
    """The JSON text of a value, without the keys that are null."""
    return json.dumps(remove_nulls(value), ensure_ascii=False, default=str)

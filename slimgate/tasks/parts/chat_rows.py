"""Messages and tools of rows, in the form for chat templates and servers, and checks of them.

Messages have OpenAI's form: a role, a content, and perhaps tool_calls and tool_call_id. They are passed on
unchanged, but without keys that are null: all objects of a column share their keys, so a key that a row
leaves out is null in the table.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from slimgate.errors import DataError
from slimgate.judge.tool_calls import list_tool_names, parse_call, read_calls, read_tools
from slimgate.plugins.base import Json
from slimgate.plugins.rows import Rows

Prompt = str | list[Json]
ROLES = ("system", "developer", "user", "assistant", "tool")


def read_prompts(rows: Rows, column: str) -> list[Prompt]:
    """The prompt of each row: a text, or a list of messages."""
    return [remove_nulls(prompt) for prompt in rows.table[column].to_pylist()]


def read_tool_texts(rows: Rows, column: str | None) -> list[str] | None:
    """The JSON text of each row's tools; None without the column, which rows without references lack."""
    if column is None or column not in rows.table.column_names:
        return None
    tools = rows.table[column].to_pylist()
    return [value if isinstance(value, str) else format_json_text(value) for value in tools]


def read_row_tools(rows: Rows, column: str | None) -> list[list[Json]] | None:
    """The tools of each row, or None as from `read_tool_texts`."""
    texts = read_tool_texts(rows, column)
    return None if texts is None else [read_tools(text) for text in texts]


def check_prompts(split: str, rows: Rows, column: str) -> None:
    """Raises DataError for the first row whose messages have a wrong role or shape."""
    if not pa.types.is_nested(rows.table[column].type):
        return
    for row, prompt in zip(rows.ids, read_prompts(rows, column), strict=True):
        try:
            _check_messages(prompt)
        except ValueError as error:
            raise DataError(f'{split} row {row}, column "{column}": {error}') from error


def _check_messages(messages: Any) -> None:
    if not isinstance(messages, list) or not messages:
        raise ValueError(
            f'{str(messages)[:60]!r} was given, expected a list of messages {{"role", "content"}}'
        )
    for number, message in enumerate(messages, 1):
        if not isinstance(message, Mapping):
            raise ValueError(f'message {number} is {str(message)[:60]!r}, expected {{"role", "content"}}')
        role, calls = message.get("role"), message.get("tool_calls")
        if role not in ROLES:
            actual = "no role" if role is None else f'the role "{role}"'
            raise ValueError(
                f"message {number} has {actual}, expected {', '.join(ROLES[:-1])} or {ROLES[-1]}"
            )
        if calls is not None and role != "assistant":
            raise ValueError(
                f"message {number} of role {role} has tool_calls, which only an assistant may have"
            )
        if calls is not None and (not isinstance(calls, list) or None in map(parse_call, calls)):
            raise ValueError(
                f"message {number} has tool_calls {str(calls)[:60]!r}, expected a list of "
                '{"type": "function", "function": {"name", "arguments"}}'
            )
        if not isinstance(message.get("content", "" if calls else None), str | list):
            raise ValueError(f"message {number} of role {role} has no text as its content")


def check_is_chat(rows: Rows, column: str) -> None:
    """Raises DataError for prompts that are text, because no chat template shows tools in them."""
    if not pa.types.is_nested(rows.table[column].type):
        raise DataError(
            f'column "{column}" is text, and tools need a chat template; set chat = true, or give messages'
        )


def check_tools(split: str, rows: Rows, column: str, references: Sequence[Sequence[str]]) -> None:
    """Raises DataError for the first row with wrong tools, or that expects a call of an unlisted tool."""
    for row, tools, texts in zip(rows.ids, read_tool_texts(rows, column) or (), references, strict=True):
        try:
            names = list_tool_names(read_tools(tools))
        except ValueError as error:
            raise DataError(f'{split} row {row}, column "{column}": {error}') from error
        for call in (call for text in texts for call in read_calls(text) or ()):
            if call.name not in names:
                raise DataError(
                    f'{split} row {row}: the expected call names "{call.name}", which is not a tool of '
                    f"the row; the row has {', '.join(names)}"
                )


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

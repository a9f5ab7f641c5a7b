"""Tools and tool calls: what a call is, when two are equal, and the canonical form of calls.

The canonical form is a JSON list. Answers of a server with `tool_calls` become it:

    [{"name": "get_weather", "arguments": {"city": "Paris"}}]
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from slimgate._system.json_text import NOT_JSON, describe_json_error, parse_strict
from slimgate.plugins.base import Json

_TOOL_FORM = '{"type": "function", "function": {"name", "description", "parameters"}}'
# Values that Python writes into a text for true, false and null.
_CONSTANTS = {"True": True, "False": False, "None": None}


@dataclass(frozen=True)
class ToolCall:
    """A call of a tool.

    arguments: an object in a call that is right, else any JSON value, or a text that is not JSON. The values
    of the object are Untyped if the format does not say whether they are texts.
    """

    name: str
    arguments: Any


class Untyped(str):
    """A value whose format does not say if it is a text: 42 is the number or the text."""

    def list_values(self) -> list[Any]:
        """The values that it may be: the text, and what the text is as JSON or as a constant of Python."""
        try:
            return [str(self), _CONSTANTS[self] if self in _CONSTANTS else parse_strict(self)]
        except NOT_JSON:
            return [str(self)]


def parse_call(value: object) -> ToolCall | None:
    """A call from {name, arguments} or {name, parameters}, possibly inside {function}; None for other values.

    Arguments that are a text are read as JSON, as servers send them. Command models write tool_name for name.
    """
    if isinstance(value, Mapping) and isinstance(value.get("function"), Mapping):
        value = value["function"]
    if not isinstance(value, Mapping):
        return None
    name = value.get("name", value.get("tool_name"))
    key = next((key for key in ("arguments", "parameters") if key in value), None)
    return ToolCall(name, _parse_arguments(value[key])) if isinstance(name, str) and key is not None else None


def _parse_arguments(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return parse_strict(value)
    except NOT_JSON:
        return value


def format_calls(values: Sequence[object]) -> str:
    """The `tool_calls` of a server's answer in the canonical form, with the keys of arguments in order.

    An item that is no call stays as it is. Raises ValueError for arguments that are nested too deeply.
    """
    calls = [(parse_call(value), value) for value in values]
    try:
        items = [
            value
            if call is None
            else {"name": call.name, "arguments": json.loads(json.dumps(call.arguments, sort_keys=True))}
            for call, value in calls
        ]
        return json.dumps(items, ensure_ascii=False)
    except RecursionError as error:
        raise ValueError(describe_json_error(error)) from error


def is_same_json(first: object, second: object) -> bool:
    """Whether two JSON values are equal: the order of keys does not count, and 1 is 1.0 but not true.

    An untyped value equals another value if it may be that value; two of them are equal as texts.
    """
    if isinstance(first, Untyped) != isinstance(second, Untyped):
        untyped, value = (first, second) if isinstance(first, Untyped) else (second, first)
        assert isinstance(untyped, Untyped)
        return any(is_same_json(possible, value) for possible in untyped.list_values())
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        return first.keys() == second.keys() and all(is_same_json(first[key], second[key]) for key in first)
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(map(is_same_json, first, second))
    return isinstance(first, bool) == isinstance(second, bool) and first == second


def read_tools(value: object) -> list[Json]:
    """The tools of a row.

    Args:
        value: a list of OpenAI's tools, or the JSON text of one.

    Returns:
        The list. Each tool has a function with a name; its parameters are an object, if it has any.

    Raises:
        ValueError: if it is anything else, in one line.
    """
    if isinstance(value, str):
        try:
            value = parse_strict(value)
        except NOT_JSON as error:
            problem = f"not JSON ({describe_json_error(error)})"
            raise ValueError(f"{problem}, expected a list of tools: [{_TOOL_FORM}]") from error
    if not isinstance(value, list) or not value:
        actual = "an empty list" if value == [] else "nothing" if value is None else f"{str(value)[:60]!r}"
        raise ValueError(f"{actual} was given, expected a list of tools: [{_TOOL_FORM}]")
    for number, tool in enumerate(value, 1):
        function = tool.get("function") if isinstance(tool, dict) else None
        if not isinstance(function, dict):
            raise ValueError(f"tool {number} has no function, expected {_TOOL_FORM}")
        if not isinstance(function.get("name"), str) or not function["name"]:
            raise ValueError(f"tool {number} has no name, expected {_TOOL_FORM}")
        if not isinstance(function.get("parameters", {}), dict):
            raise ValueError(
                f'parameters of tool "{function["name"]}" are not an object, expected a JSON Schema'
            )
    return value


def list_tool_names(tools: Sequence[Json]) -> list[str]:
    """The names of a row's tools."""
    return [tool["function"]["name"] for tool in tools]


Calls = list[ToolCall] | None
Reader = Callable[[str], Calls]

# Special tokens that are part of a call. A decoder leaves out special tokens, so it has to keep these.
_CALL_TOKENS = """
<tool_call> </tool_call> <|tool_call|> <|/tool_call|> <|python_tag|> [TOOL_CALLS] [CALL_ID] [ARGS]
<｜tool▁calls▁begin｜> <｜tool▁call▁begin｜> <｜tool▁sep｜> <｜tool▁call▁end｜> <｜tool▁calls▁end｜> ｜DSML｜
<|tool_calls_section_begin|> <|tool_calls_section_end|> <|tool_call_begin|> <|tool_call_argument_begin|>
<|tool_call_end|> <|start|> <|channel|> <|constrain|> <|message|> <|call|> <|end|>
<|python_start|> <|python_end|> <|tool_call_start|> <|tool_call> <tool_call|> <|"|>
<start_function_call> <end_function_call> <escape> <|START_ACTION|> <|END_ACTION|>
<minimax:tool_call> </minimax:tool_call>
"""
CALL_TOKENS = frozenset(_CALL_TOKENS.split())
_END_OF_THOUGHT = re.compile(r"</think>|\[/THINK\]")
_JSON_OBJECTS = re.compile(r"\[?\s*\{")
_PYTHON_CALLS = re.compile(r"\[\s*[A-Za-z_][\w.]*\(.*\)\s*\]", re.DOTALL)
_BLOCK = re.compile(r"<tool_call>(.*?)(?:</tool_call>|\Z)", re.DOTALL)
_FUNCTION = re.compile(r"<function=([^>]+)>(.*?)(?:</function>|\Z)", re.DOTALL)
_PARAMETER = re.compile(r"<parameter=([^>]+)>(.*?)</parameter>", re.DOTALL)
# Without arguments, only the line break shows that the name is complete.
_GLM_CALL = re.compile(r"\s*([\w.-]+)(?:\s*<arg_key>.*</arg_value>\s*|[ \t]*\n\s*)", re.DOTALL)
_GLM_ARGUMENT = re.compile(r"<arg_key>(.*?)</arg_key>\s*<arg_value>(.*?)</arg_value>", re.DOTALL)
_MISTRAL_CALL = re.compile(r"\s*([\w.-]+)\s*(?:\[CALL_ID\]\s*\w+)?\s*(?:\[ARGS\])?\s*(\{.*\})\s*", re.DOTALL)
_DEEPSEEK_CALL = re.compile(r"<｜tool▁call▁begin｜>(.*?)(?:<｜tool▁call▁end｜>|\Z)", re.DOTALL)
_FENCE = re.compile(r"```(?:json)?\s*(.*?)\s*```", re.DOTALL)
_INVOKE = re.compile(r'<(?:｜DSML｜)?invoke name="([^"]+)">(.*?)(?:</(?:｜DSML｜)?invoke>|\Z)', re.DOTALL)
_INVOKE_PARAMETER = re.compile(
    r'<(?:｜DSML｜)?parameter name="([^"]+)"(?: string="(true|false)")?>(.*?)</(?:｜DSML｜)?parameter>',
    re.DOTALL,
)
_KIMI_CALL = re.compile(
    r"<\|tool_call_begin\|>\s*(?:functions\.)?([\w.-]+):\d+\s*<\|tool_call_argument_begin\|>"
    r"(.*?)(?:<\|tool_call_end\|>|\Z)",
    re.DOTALL,
)
# The recipient stands before or after the channel.
_HARMONY_CALL = re.compile(
    r"to=(?:functions\.)?([\w.-]+)[^{}=]{0,100}<\|message\|>(.*?)(?:<\|call\|>|<\|end\|>|<\|start\|>|\Z)",
    re.DOTALL,
)
_PYTHON_BLOCK = re.compile(
    r"(?:<\|python_start\|>|<\|tool_call_start\|>)(.*?)(?:<\|python_end\|>|<\|tool_call_end\|>|\Z)", re.DOTALL
)
_GEMMA_CALL = re.compile(
    r"(?:<\|tool_call>|<start_function_call>)\s*call:([\w.-]+)(\{.*?\})\s*"
    r"(?:<tool_call\|>|<end_function_call>|\Z)",
    re.DOTALL,
)
_GEMMA_QUOTE = re.compile(r'<\|"\|>|<escape>')
_GEMMA_KEY = re.compile(r"([{,])\s*([\w.-]+)\s*:")


def read_calls(answer: str) -> Calls:
    """The calls in an answer, in their order. Reasoning, up to </think> or [/THINK], does not count.

    Args:
        answer: as a model writes it, or in the canonical form.

    Returns:
        The calls, none for plain text; None if the answer begins a call that cannot be read.
    """
    text = _END_OF_THOUGHT.split(answer)[-1].strip()
    calls = _read_json_calls(text)
    if calls is not None:  # its texts may contain marks
        return calls
    starts = [(begin.start(), read) for mark, read in _FORMATS if (begin := mark.search(text))]
    if starts:
        start, read = min(starts, key=lambda pair: pair[0])
        return read(text[start:])
    if _PYTHON_CALLS.fullmatch(text):
        return _read_python_calls(text)
    return None if _JSON_OBJECTS.match(text) else []


def _read_json_calls(text: str) -> Calls:
    """The calls of a JSON object, or of a list of them; None for anything else."""
    try:
        value = parse_strict(text)
    except NOT_JSON:
        return None
    items = value if isinstance(value, list) else [value]
    return _collect_calls(map(parse_call, items))


def _collect_calls(calls: Iterator[ToolCall | None]) -> Calls:
    """The calls, or None if one of them cannot be read."""
    read = list(calls)
    return None if None in read else [call for call in read if call is not None]


def _make_call(name: str, arguments: str) -> ToolCall | None:
    """A call from the JSON text of its arguments; None if the text is not an object."""
    try:
        value = parse_strict(arguments)
    except NOT_JSON:
        return None
    return ToolCall(name, value) if isinstance(value, dict) else None


def _read_each(part: re.Pattern[str], text: str, read: Callable[[re.Match[str]], ToolCall | None]) -> Calls:
    """The calls of all matches; None if there is no match, or if one of them is no call."""
    matches = list(part.finditer(text))
    return _collect_calls(map(read, matches)) if matches else None


def _make_format_after(*marks: str) -> tuple[re.Pattern[str], Reader]:
    """A format of JSON between a mark and the end of the answer, or a closing mark."""
    begin = "|".join(map(re.escape, marks))
    inside = re.compile(rf"(?:{begin})(.*?)(?:<\|/tool_call\|>|<\|END_ACTION\|>|\Z)", re.DOTALL)

    def read(text: str) -> Calls:
        match = inside.match(text)
        assert match is not None
        return _read_json_calls(match[1])

    return re.compile(begin), read


def _read_blocks(text: str) -> Calls:
    """<tool_call> blocks: JSON of Hermes and Qwen, or the XML of Qwen3-Coder or GLM."""
    blocks = [_read_block(block) for block in _BLOCK.findall(text)]
    return None if None in blocks else [call for calls in blocks for call in calls or ()]


def _read_block(block: str) -> Calls:
    if block.lstrip().startswith("<function="):
        return _read_functions(block)
    if call := _GLM_CALL.fullmatch(block):
        pairs = _GLM_ARGUMENT.findall(block)
        return [ToolCall(call[1], {key.strip(): Untyped(value.strip()) for key, value in pairs})]
    return _read_json_calls(block)


def _read_functions(text: str) -> Calls:
    return _read_each(_FUNCTION, text, lambda match: _read_function(match[1].strip(), match[2].strip()))


def _read_function(name: str, body: str) -> ToolCall | None:
    """<function=NAME> with parameters (Qwen3-Coder) or with a JSON object (Llama 3.1)."""
    if body.startswith("{"):
        return _make_call(name, body)
    if _PARAMETER.sub("", body).strip():
        return None
    # the template writes a line break before and after each value
    arguments = {key: value.removeprefix("\n").removesuffix("\n") for key, value in _PARAMETER.findall(body)}
    return ToolCall(name, {key.strip(): Untyped(value) for key, value in arguments.items()})


def _read_mistral(text: str) -> Calls:
    """JSON after [TOOL_CALLS], or [TOOL_CALLS]NAME[ARGS]{…} once for each call."""
    after_mark = text.removeprefix("[TOOL_CALLS]")
    if _JSON_OBJECTS.match(after_mark.strip()):
        return _read_json_calls(after_mark)
    parts = text.split("[TOOL_CALLS]")[1:]
    matches = [_MISTRAL_CALL.fullmatch(part) for part in parts]
    return _collect_calls(None if match is None else _make_call(match[1], match[2]) for match in matches)


def _read_deepseek(text: str) -> Calls:
    """NAME and JSON between tokens (V3.1), or `function`, NAME and fenced JSON (V3, R1)."""

    def read(match: re.Match[str]) -> ToolCall | None:
        name, _, arguments = match[1].partition("<｜tool▁sep｜>")
        if name.strip() == "function":
            name, _, arguments = arguments.partition("\n")
        fenced = _FENCE.fullmatch(arguments.strip())
        return _make_call(name.strip(), fenced[1] if fenced else arguments)

    return _read_each(_DEEPSEEK_CALL, text, read)


def _read_invokes(text: str) -> Calls:
    """<invoke> elements of MiniMax M2, and of DeepSeek V3.2 and later, which say if a value is a text."""

    def read(match: re.Match[str]) -> ToolCall | None:
        name, body = match.groups()
        if _INVOKE_PARAMETER.sub("", body).strip():
            return None
        values: dict[str, Any] = {}
        for key, is_text, value in _INVOKE_PARAMETER.findall(body):
            if is_text != "false":
                values[key] = value if is_text else Untyped(value)
                continue
            try:
                values[key] = parse_strict(value)
            except NOT_JSON:
                return None
        return ToolCall(name, values)

    return _read_each(_INVOKE, text, read)


def _read_pairs(part: re.Pattern[str]) -> Reader:
    """The reader of a format whose calls are a name and a JSON object, the groups of a pattern."""
    return lambda text: _read_each(part, text, lambda match: _make_call(match[1], match[2]))


def _read_python_block(text: str) -> Calls:
    match = _PYTHON_BLOCK.match(text)
    assert match is not None
    return _read_python_calls(match[1])


def _read_python_calls(text: str) -> Calls:
    """A list of calls in Python, such as [weather(city="Paris")], of Llama 4 and LFM2."""
    try:
        calls = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return _collect_calls(map(_read_python_call, calls.elts)) if isinstance(calls, ast.List) else None


def _read_python_call(call: ast.expr) -> ToolCall | None:
    if not isinstance(call, ast.Call) or call.args:
        return None
    if any(word.arg is None for word in call.keywords):  # **more
        return None
    try:
        arguments = {str(word.arg): ast.literal_eval(word.value) for word in call.keywords}
        return ToolCall(ast.unparse(call.func), parse_strict(json.dumps(arguments)))
    except (ValueError, TypeError, RecursionError):  # no literal, none that JSON has, or nested too deeply
        return None


def _read_gemma_call(match: re.Match[str]) -> ToolCall | None:
    """call:NAME{key:value} of Gemma 4 and FunctionGemma: JSON with bare keys and other quotes."""
    pieces = _GEMMA_QUOTE.split(match[2])
    texts = [json.dumps(piece) if number % 2 else piece for number, piece in enumerate(pieces)]
    texts[::2] = [_GEMMA_KEY.sub(r'\1"\2":', piece) for piece in texts[::2]]
    return _make_call(match[1], "".join(texts))


# A format is read if its mark is in the answer. The first mark counts.
_FORMATS: tuple[tuple[re.Pattern[str], Reader], ...] = (
    (re.compile("<tool_call>"), _read_blocks),
    (re.compile("<function="), _read_functions),
    (re.compile(r"\[TOOL_CALLS\]"), _read_mistral),
    (re.compile("<｜tool▁calls?▁begin｜>"), _read_deepseek),
    (re.compile(r"<minimax:tool_call>|<(?:｜DSML｜)?invoke name="), _read_invokes),
    (re.compile(r"<\|tool_calls_section_begin\|>|<\|tool_call_begin\|>"), _read_pairs(_KIMI_CALL)),
    (
        re.compile(r"to=functions\.[^{}=]{0,100}<\|message\|>|<\|channel\|>commentary to="),
        _read_pairs(_HARMONY_CALL),
    ),
    (re.compile(r"<\|python_start\|>|<\|tool_call_start\|>"), _read_python_block),
    (
        re.compile(r"<\|tool_call>|<start_function_call>"),
        lambda text: _read_each(_GEMMA_CALL, text, _read_gemma_call),
    ),
    _make_format_after("<|python_tag|>", "<|tool_call|>", "<|START_ACTION|>"),
)

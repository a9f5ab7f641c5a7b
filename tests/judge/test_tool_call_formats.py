"""The formats of tool calls that models are trained to write, each as its chat template writes it."""

from __future__ import annotations

import json
import time

import pytest

from slimgate.judge.scores.tool_call_exact import Params as ExactParams
from slimgate.judge.scores.tool_call_exact import score as exact
from slimgate.judge.scores.tool_call_valid import Params as ValidParams
from slimgate.judge.scores.tool_call_valid import score as valid
from slimgate.judge.tool_calls import read_calls

PARIS, ROME = '{"city": "Paris", "days": 3}', '{"city": "Rome", "days": 3}'
QWEN_XML = (
    "<tool_call>\n<function=weather>\n<parameter=city>\n{city}\n</parameter>\n"
    "<parameter=days>\n3\n</parameter>\n</function>\n</tool_call>"
)
GLM = (
    "<tool_call>weather\n<arg_key>city</arg_key>\n<arg_value>{city}</arg_value>\n"
    "<arg_key>days</arg_key>\n<arg_value>3</arg_value>\n</tool_call>"
)
MINIMAX = (
    '<invoke name="weather">\n<parameter name="city">{city}</parameter>\n'
    '<parameter name="days">3</parameter>\n</invoke>'
)
DSML = (
    '<｜DSML｜invoke name="weather">\n'
    '<｜DSML｜parameter name="city" string="true">{city}</｜DSML｜parameter>\n'
    '<｜DSML｜parameter name="days" string="false">3</｜DSML｜parameter>\n</｜DSML｜invoke>'
)
KIMI = "<|tool_call_begin|>functions.weather:{number}<|tool_call_argument_begin|>{json}<|tool_call_end|>"
HARMONY = "<|channel|>commentary to=functions.weather <|constrain|>json<|message|>{json}"
GEMMA = '<|tool_call>call:weather{{city:<|"|>{city}<|"|>,days:3}}<tool_call|>'
PYTHON = "[weather(city='Paris', days=3), weather(city=\"Rome\", days=3)]"
PHI = ", ".join(f'{{"name": "weather", "arguments": {call}}}' for call in (PARIS, ROME))
TWO_CALLS = {
    "Mistral v11": f"[TOOL_CALLS]weather[CALL_ID]abcDEF123[ARGS]{PARIS}[TOOL_CALLS]weather[ARGS]{ROME}",
    "Mistral v13": "[THINK]Two cities.[/THINK]I look. "
    f"[TOOL_CALLS]weather[ARGS]{PARIS}[TOOL_CALLS]weather[ARGS]{ROME}",
    "Qwen3-Coder": QWEN_XML.format(city="Paris") + "\n" + QWEN_XML.format(city="Rome"),
    "Qwen3-Coder without <tool_call>": (QWEN_XML.format(city="Paris") + QWEN_XML.format(city="Rome"))
    .replace("<tool_call>\n", "")
    .replace("</tool_call>", ""),
    "Llama 3.1's own": f"<function=weather>{PARIS}</function><function=weather>{ROME}</function>",
    "GLM": GLM.format(city="Paris") + GLM.format(city="Rome"),
    "MiniMax": "<minimax:tool_call>\n"
    + MINIMAX.format(city="Paris")
    + MINIMAX.format(city="Rome")
    + "\n</minimax:tool_call>",
    "DeepSeek V3.2": "<｜DSML｜function_calls>\n"
    + DSML.format(city="Paris")
    + DSML.format(city="Rome")
    + "</｜DSML｜function_calls>",
    "DeepSeek V3.1": "<｜tool▁calls▁begin｜>"
    + "".join(
        f"<｜tool▁call▁begin｜>weather<｜tool▁sep｜>{call}<｜tool▁call▁end｜>" for call in (PARIS, ROME)
    )
    + "<｜tool▁calls▁end｜>",
    "DeepSeek R1": "</think>I look.<｜tool▁calls▁begin｜>"
    + "\n".join(
        f"<｜tool▁call▁begin｜>function<｜tool▁sep｜>weather\n```json\n{call}\n```<｜tool▁call▁end｜>"
        for call in (PARIS, ROME)
    ),
    "Kimi K2": "<|tool_calls_section_begin|>"
    + KIMI.format(number=0, json=PARIS)
    + KIMI.format(number=1, json=ROME)
    + "<|tool_calls_section_end|>",
    "gpt-oss": "<|channel|>analysis<|message|>Two cities.<|end|><|start|>assistant"
    f"{HARMONY.format(json=PARIS)}<|call|><|start|>assistant to=functions.weather"
    f"<|channel|>commentary json<|message|>{ROME}",
    "Llama 4": f"<|python_start|>{PYTHON}<|python_end|>",
    "LFM2": f"<|tool_call_start|>{PYTHON}<|tool_call_end|>",
    "Python alone": PYTHON,
    "Gemma 4": GEMMA.format(city="Paris") + GEMMA.format(city="Rome"),
    "FunctionGemma": "".join(
        f"<start_function_call>call:weather{{city:<escape>{city}<escape>,days:3}}<end_function_call>"
        for city in ("Paris", "Rome")
    ),
    "Phi-4": f"<|tool_call|>[{PHI}]<|/tool_call|>",
    "Command": f'<|START_ACTION|>[{{"tool_call_id": "0", "tool_name": "weather", "parameters": {PARIS}}}, '
    f'{{"tool_call_id": "1", "tool_name": "weather", "parameters": {ROME}}}]<|END_ACTION|>',
}
CALLS = json.dumps([{"name": "weather", "arguments": json.loads(call)} for call in (PARIS, ROME)])
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"$ref": "#/$defs/days"}},
    "required": ["city", "days"],
    "additionalProperties": False,
    "$defs": {"days": {"type": "integer"}},
}
TOOLS = json.dumps([{"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}])


@pytest.mark.parametrize("answer", TWO_CALLS.values(), ids=TWO_CALLS)
def test_two_calls_of_a_format_are_the_expected_calls(answer: str) -> None:
    assert exact.rate(ExactParams(), answer, CALLS) == 1.0
    assert valid.rate(ValidParams(), answer, TOOLS) == 1.0


@pytest.mark.parametrize(
    "answer",
    [
        "<tool_call>now\n</tool_call>",
        "<tool_call>\n<function=now>\n</function>\n</tool_call>",
        '<minimax:tool_call>\n<invoke name="now">\n</invoke>\n</minimax:tool_call>',
        "[TOOL_CALLS]now[ARGS]{}",
        "<|tool_call>call:now{}<tool_call|>",
    ],
    ids=["GLM", "Qwen3-Coder", "MiniMax", "Mistral", "Gemma 4"],
)
def test_a_call_may_have_no_arguments(answer: str) -> None:
    assert exact.rate(ExactParams(), answer, '[{"name": "now", "arguments": {}}]') == 1.0
    assert exact.rate(ExactParams(), answer, '[{"name": "now", "arguments": {"zone": "UTC"}}]') == 0.0


@pytest.mark.parametrize("answer", TWO_CALLS.values(), ids=TWO_CALLS)
def test_a_changed_argument_is_seen_in_every_format(answer: str) -> None:
    changed = answer.replace("3", "4")
    assert changed != answer
    assert exact.rate(ExactParams(), changed, CALLS) == 0.0
    assert exact.rate(ExactParams(), answer.replace("Rome", "rome"), CALLS) == 0.0
    assert exact.rate(ExactParams(), answer, json.dumps(json.loads(CALLS)[:1])) == 0.0


@pytest.mark.parametrize("answer", TWO_CALLS.values(), ids=TWO_CALLS)
def test_a_value_of_another_type_is_not_valid(answer: str) -> None:
    assert valid.rate(ValidParams(), answer.replace("3", "3.5"), TOOLS) == 0.0
    assert valid.rate(ValidParams(), answer.replace("days", "hours"), TOOLS) == 0.0


@pytest.mark.parametrize(
    ("value", "expected", "same"),
    [
        ("94105", "94105", True),
        ("94105", 94105, True),
        ("94105", 94106, False),
        ("true", True, True),
        ("True", True, True),
        ("None", None, True),
        ('{"a": [1]}', {"a": [1]}, True),
        ("two\nlines", "two\nlines", True),
        ("", "", True),
        (" Paris", "Paris", False),
    ],
)
def test_a_value_without_a_type_is_a_text_or_json(value: str, expected: object, same: bool) -> None:
    answer = f"<tool_call>\n<function=f>\n<parameter=x>\n{value}\n</parameter>\n</function>\n</tool_call>"
    reference = json.dumps({"name": "f", "arguments": {"x": expected}})
    assert exact.rate(ExactParams(), answer, reference) == float(same)


@pytest.mark.parametrize(
    ("answer", "reference", "same"),
    [
        (
            "<tool_call><function=f><parameter=x>1</parameter></function></tool_call>",
            "<function=f><parameter=x>1</parameter></function>",
            True,
        ),
        (
            "<tool_call><function=f><parameter=x>1</parameter></function></tool_call>",
            "<function=f><parameter=x>1.0</parameter></function>",
            False,
        ),
    ],
)
def test_two_values_without_types_are_compared_as_texts(answer: str, reference: str, same: bool) -> None:
    assert exact.rate(ExactParams(), answer, reference) == float(same)


@pytest.mark.parametrize(
    "mark", ["<function=x>", "to=functions.x<|message|>", "<invoke name=1>", "[TOOL_CALLS]", "<tool_call>"]
)
def test_a_mark_in_an_argument_is_part_of_its_text(mark: str) -> None:
    call = json.dumps({"name": "f", "arguments": {"code": mark}})
    for answer in (call, f"[{call}]", f"[TOOL_CALLS] [{call}]", f"<tool_call>{call}</tool_call>"):
        assert exact.rate(ExactParams(), answer, call) == 1.0


def test_a_looping_answer_is_read_in_a_moment() -> None:
    answer = "to=functions." + "to=a " * 20_000
    start = time.process_time()
    assert read_calls(answer) == []
    assert read_calls(f"<|channel|>commentary {answer}") is None
    assert time.process_time() - start < 2


@pytest.mark.parametrize(
    "answer",
    [
        "[TOOL_CALLS]weather[ARGS]{",
        "[TOOL_CALLS]weather",
        f"[TOOL_CALLS]weather[ARGS]{PARIS}[TOOL_CALLS]",
        "<function=weather>city=Paris</function>",
        "<tool_call>weather</tool_call>",
        "<tool_call>weather\n<arg_key>city</arg_key>\n</tool_call>",
        "<｜tool▁calls▁begin｜>",
        "<｜tool▁call▁begin｜>weather<｜tool▁sep｜>Paris<｜tool▁call▁end｜>",
        '<invoke name="weather">Paris</invoke>',
        '<｜DSML｜invoke name="f"><｜DSML｜parameter name="x" string="false">{</｜DSML｜parameter>',
        "<|tool_calls_section_begin|><|tool_calls_section_end|>",
        "<|channel|>commentary to=functions.weather<|message|>Paris",
        "<|python_start|>weather(city='Paris')<|python_end|>",
        "[weather('Paris')]",
        "[weather(city=name)]",
        "[weather(city={1, 2})]",
        pytest.param(f"[{'a.' * 800}weather(city='Paris')]", id="nested name"),
        "<|tool_call>call:weather{city:Paris}<tool_call|>",
        "<|START_ACTION|>[]]<|END_ACTION|>",
    ],
)
def test_a_call_that_was_begun_and_cannot_be_read_is_none(answer: str) -> None:
    assert read_calls(answer) is None
    assert exact.rate(ExactParams(), answer, "[]") == 0.0


@pytest.mark.parametrize(
    "answer",
    [
        "Rome [and Paris(s)]",
        "<|channel|>final<|message|>It is warm.",
        "see functools",
        "[1, 2]",
        "[Note] (x)",
    ],
)
def test_text_without_a_mark_has_no_calls(answer: str) -> None:
    assert read_calls(answer) == []

"""Tool calls of two servers as a user gates them: one changes an argument of each tenth call."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.answer_server import serving
from support.user_repository import run_pytest

pytestmark = pytest.mark.slow

SUITE = """\
[suite]
title = "do tool calls survive?"
threads = 1

[task]
kind = "text_generation"
source = {{ name = "files", path = "rows.jsonl", real = false }}
prompt = "messages"
reference = "call"
tools = "tools"
splits = {{ train = 20, calibration = 0, selection = 10, gate = 600 }}

[teacher]
endpoint = {{ url = "{base}", model = "base", retries = 0 }}

[variants]
same = {{ endpoint = {{ url = "{base}", model = "base-again", retries = 0 }} }}
damaged = {{ endpoint = {{ url = "{damaged}", model = "small", retries = 0 }} }}

[budgets]
tool_call_exact = {{ drop_points = 3.0 }}
tool_call_valid = {{ drop_points = 3.0 }}
"""
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": PARAMETERS}}


def call(city: str) -> dict[str, Any]:
    return {"name": "weather", "arguments": {"city": city}}


def row(number: int) -> str:
    messages = [
        {"role": "system", "content": "Call a tool."},
        {"role": "user", "content": f"Weather in town{number}"},
    ]
    return json.dumps({"messages": messages, "tools": [TOOL], "call": call(f"town{number}")})


def answer(prompt: str, _came: int, *, damage: bool = False) -> str:
    city = prompt.split()[-1]
    return f"calls {json.dumps([call(city[:-1] if damage and city.endswith('0') else city)])}"


def test_changed_arguments_fail_and_the_same_model_does_not(tmp_path: Path) -> None:
    (tmp_path / "bench").mkdir()
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "bench/rows.jsonl").write_text("\n".join(map(row, range(1000, 1650))))
    with (
        serving(answer) as base,
        serving(lambda prompt, came: answer(prompt, came, damage=True)) as damaged,
    ):
        suite = SUITE.format(base=base.url, damaged=damaged.url)
        (tmp_path / "bench/calls.toml").write_text(suite)
        ran = run_pytest(tmp_path, "bench/calls.toml", "-v", "-p", "no:xdist")
        changed = sum(prompt.endswith("0") for prompt in damaged.asked)
    assert ran.code == 1, ran.out
    assert 40 < changed < 80
    _, same, other = ran.record("calls")["variants"]
    verdicts = {
        (model["name"], metric): model["quality"][metric]["verdict"]
        for model in (same, other)
        for metric in ("tool_call_exact", "tool_call_valid")
    }
    assert verdicts == {
        ("same", "tool_call_exact"): "PASS",
        ("same", "tool_call_valid"): "PASS",
        ("damaged", "tool_call_exact"): "FAIL",
        ("damaged", "tool_call_valid"): "PASS",
    }
    assert other["quality"]["tool_call_exact"]["value"] == pytest.approx(1 - changed / 600)
    assert ran.record("calls")["verdict"]["missing"] == 0, ran.out

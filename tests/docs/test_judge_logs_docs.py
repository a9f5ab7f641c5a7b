"""The pages about logs: a table of the rows of one's own harness, and the list of all that got worse."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.doc_blocks import list_blocks
from support.lm_eval_logs import write_lm_eval

from slimgate.cli.main import main


def _read_function(page: str, name: str) -> Callable[..., Any]:
    """The function that a page's code defines."""
    [code] = [block.text for block in list_blocks(page, "python") if f"def {name}(" in block.text]
    scope: dict[str, Any] = {}
    exec(code, scope)
    function: Callable[..., Any] = scope[name]
    return function


def test_rows_of_a_harness_are_judged_by_metric_and_slice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    [recipe] = [
        block.text for block in list_blocks("docs/log_formats.md", "python") if "write_table" in block.text
    ]
    scope: dict[str, object] = {}
    exec(recipe, scope)
    write_table = scope["write_table"]
    assert callable(write_table)
    for name, lost in (("base", 0), ("int4", 40)):
        rows = [
            {
                "qid": at,
                "doc": f"d{at // 2}",
                "topic": "law" if at % 4 else "tax",
                "em": int(at >= lost),
                "f1": 0.5,
            }
            for at in range(400)
        ]
        (tmp_path / f"{name}-raw.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        write_table(tmp_path / f"{name}-raw.jsonl", tmp_path / f"{name}.jsonl")
    files = [str(tmp_path / f"{name}.jsonl") for name in ("base", "int4")]

    assert main(["judge", *files, "--metric", "em", "--drop-points", "5", "--slice", "topic"]) == 1

    out = capsys.readouterr().out
    assert "em[topic=law]" in out
    assert "n=400 in 200 groups" in out
    assert "int4: em 0.900 vs 1.000, drop 10.0 points" in out


def test_all_samples_that_got_worse_are_listed(tmp_path: Path) -> None:
    list_worse = _read_function("docs/log_suites.md", "list_worse")
    right = [1.0] * 300 + [0.0] * 100
    write_lm_eval(tmp_path / "base", {"gsm8k": right, "arc": right})
    write_lm_eval(tmp_path / "int4", {"gsm8k": [0.0, *right[1:]], "arc": [*right[:-1], 1.0]})
    files = [str(tmp_path / name) for name in ("base", "int4")]
    report = str(tmp_path / "report")
    main(["judge", *files, "--drop-points", "5", "--report", report])
    assert list_worse(report, "int4") == ["gsm8k/acc: 0"]


def test_the_reader_of_the_page_needs_no_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    [code] = [
        block.text for block in list_blocks("docs/log_formats.md", "python") if "class MyTool" in block.text
    ]
    (tmp_path / "page_reader.py").write_text(code)
    for name, lost in (("base", 0), ("int4", 40)):
        lines = [f"q{at} {0 if at < lost else 10}\n" for at in range(400)]
        (tmp_path / f"{name}.mytool").write_text("".join(lines))
    monkeypatch.chdir(tmp_path)
    arguments = ["base.mytool", "int4.mytool", "--format", "page_reader:reader", "--drop-points", "5"]
    assert main(["judge", *arguments]) == 1
    out = capsys.readouterr().out
    assert "my_task/points" in out
    assert "40 / 0" in out
    assert "FAIL (0 PASS, 1 FAIL, 0 INCONCLUSIVE, 0 not gated)" in out

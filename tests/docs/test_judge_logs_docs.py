"""docs/judge_logs.md: the recipe that turns the rows of one's own harness into a table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.doc_blocks import blocks

from slimgate.cli.main import main


def test_rows_of_a_harness_are_judged_by_metric_and_slice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    [recipe] = [block.text for block in blocks("docs/judge_logs.md", "python") if "write_table" in block.text]
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

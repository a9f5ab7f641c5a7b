"""The kind of budget of CONTRIBUTING is one file: suite, schema, judge, report and comparison know it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from support.doc_blocks import list_blocks

ROOT = Path(__file__).parents[2]
[KIND] = [
    block.text for block in list_blocks("CONTRIBUTING.md", "python") if "MetricBudgetKind(" in block.text
]
PROGRAM = """
import json, sys
import numpy as np
from slimgate import ClassOutcomes, QualityBudget, judge_quality, load_metric
from slimgate.judge.message import format_message
from slimgate.results.base import BudgetFacts
from slimgate.record.budgets import Judged, is_looser, judge_under_limit
from slimgate.report.page.budgets import format_limit_words
from slimgate.suite.budgets import resolve_budgets
from slimgate.suite.schema import make_suite_schema

data = {"budgets": {"accuracy": {"more_errors_relative": 0.5}}}
[budget] = resolve_budgets(data, ("small",), "x.toml")["small"].quality["accuracy"]
labels = np.arange(2_000) % 2
wrong = [np.where(np.arange(2_000) < count, 1 - labels, labels) for count in (200, 210, 400)]
teacher, near, far = (ClassOutcomes(np.arange(2_000).astype(str), labels, w, ("a", "b")) for w in wrong)
judged = [judge_quality(load_metric("accuracy"), teacher, model, [budget]) for model in (near, far)]
facts = BudgetFacts(kind=budget.kind, limit=0.5, verdict="PASS", value=0.1, interval=(0.0, 0.2))
print(json.dumps({
    "verdicts": [one.verdict for one in judged],
    "line": format_message("small", judged[0]),
    "words": format_limit_words(budget.kind, 0.5),
    "looser": is_looser(budget.kind, 0.6, 0.5),
    "other limit": judge_under_limit(budget.kind, 0.3, Judged("accuracy", None, facts, 0.1, (0.0, 0.2))),
    "in schema": "more_errors_relative" in json.dumps(make_suite_schema()),
}))
"""


def test_a_kind_of_budget_is_one_file(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "slimgate", tmp_path / "slimgate", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "slimgate/budgets/more_errors_relative.py").write_text(KIND, "utf-8")
    (tmp_path / "program.py").write_text(PROGRAM, "utf-8")
    done = subprocess.run(
        [sys.executable, "program.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    known = json.loads(done.stdout)
    assert "more_errors_relative 0.50: 0.050 [" in known.pop("line")
    assert known == {
        "verdicts": ["PASS", "FAIL"],
        "words": "at most 50 % more errors",
        "looser": True,
        "other limit": "PASS",
        "in schema": True,
    }

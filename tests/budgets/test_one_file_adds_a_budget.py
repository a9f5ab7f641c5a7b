"""The kind of budget of CONTRIBUTING in a package: suite, schema, judge, report and comparison know it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.doc_blocks import blocks

ROOT = Path(__file__).parents[2]
[KIND] = [block.text for block in blocks("CONTRIBUTING.md", "python") if "MetricBudgetKind(" in block.text]
PROGRAM = """
import json, sys
import numpy as np
from slimgate import ClassOutcomes, QualityBudget, judge_quality, load_metric
from slimgate.judge.message import message
from slimgate.results.base import BudgetFacts
from slimgate.record.budgets import Judged, is_looser, verdict_under
from slimgate.report.page.budgets import limit_words
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
    "line": message("small", judged[0]),
    "words": limit_words(budget.kind, 0.5),
    "looser": is_looser(budget.kind, 0.6, 0.5),
    "other limit": verdict_under(budget.kind, 0.3, Judged("accuracy", None, facts, 0.1, (0.0, 0.2))),
    "in schema": "more_errors_relative" in json.dumps(make_suite_schema()),
}))
"""


ENTRY = "[slimgate.budgets]\n{} = more_errors:kind\n"
NAME = "more_errors_relative"


def run_with_package(folder: Path, entries: str) -> subprocess.CompletedProcess[str]:
    """The program, where a package with the kind and these entry points is installed."""
    about = folder / "more_errors-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: more-errors\nVersion: 1.0\n", "utf-8")
    (about / "entry_points.txt").write_text(entries, "utf-8")
    (folder / "more_errors.py").write_text(KIND, "utf-8")
    (folder / "program.py").write_text(PROGRAM, "utf-8")
    path = os.pathsep.join([str(folder), str(ROOT)])
    return subprocess.run(
        [sys.executable, "program.py"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_kind_of_budget_is_one_file(tmp_path: Path) -> None:
    done = run_with_package(tmp_path, ENTRY.format(NAME))
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


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("other", 'budget "other": more_errors:kind has the name more_errors_relative, expected'),
        (
            "drop_points",
            'budget "drop_points" is the name of several plug-ins: slimgate itself, more_errors:kind',
        ),
    ],
)
def test_a_wrong_name_is_refused(tmp_path: Path, entry: str, message: str) -> None:
    assert message in run_with_package(tmp_path, ENTRY.format(entry)).stderr

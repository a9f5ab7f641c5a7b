"""Suites of prediction files: what they judge, and what they refuse."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.junit import read_junit
from support.log_suites import SUITE
from support.user_repository import run_pytest

from slimgate.record.run import read_record


def _write_predictions(path: Path, wrong: int) -> None:
    """200 rows of two labels, of which the first `wrong` are answered with the other label."""
    rows = (f"r{k},{k % 2},{(k % 2) ^ (k < wrong)}" for k in range(200))
    path.write_text("\n".join(["row,label,prediction", *rows]) + "\n", "utf-8")


PREDICTIONS = """\
[logs]
base = "base.csv"
targets = { good = "good.csv", bad = "bad.csv" }
columns = { id = "row" }

[budgets]
accuracy = { drop_points = 5.0 }
flips = { flips_max_percent = 5.0 }
"""


@pytest.fixture
def predictions(tmp_path: Path) -> Path:
    (tmp_path / "bench").mkdir()
    for name, wrong in (("base", 10), ("good", 10), ("bad", 60)):
        _write_predictions(tmp_path / f"bench/{name}.csv", wrong)
    (tmp_path / "bench/files.toml").write_text(PREDICTIONS, "utf-8")
    (tmp_path / "pyproject.toml").write_text("[tool.pytest.ini_options]\n", "utf-8")
    return tmp_path


def test_prediction_files_are_a_suite(predictions: Path) -> None:
    ran = run_pytest(predictions, "bench/files.toml", "-v")
    assert ran.code == 1
    for name, outcome in (("good-accuracy", "PASSED"), ("bad-accuracy", "FAILED")):
        assert any(f"test_logs[{name}]" in line and outcome in line for line in ran.lines), ran.lines
    record = read_record(predictions / "reports/latest/files/run.json")
    assert record.variant("good").behaviour.flips.right_to_wrong == 0
    assert record.variant("bad").behaviour.flips.right_to_wrong == 50
    assert "bad" in (predictions / "reports/latest/files/report.md").read_text("utf-8")


def test_junit_of_predictions_has_their_figures(predictions: Path) -> None:
    ran = run_pytest(predictions, "bench/files.toml", "--junitxml", "junit.xml")
    failures, cases = read_junit(predictions / "junit.xml")
    assert (ran.code, failures) == (1, 2)
    bad = cases["test_logs[bad-accuracy]"].properties
    assert (bad["slimgate.metric"], bad["slimgate.verdict"]) == ("accuracy", "FAIL")
    assert (bad["slimgate.teacher"], bad["slimgate.value"]) == ("0.95", "0.7")
    assert float(bad["slimgate.drop_points"]) == pytest.approx(25)
    flips = cases["test_logs[bad-behaviour]"].properties
    assert (flips["slimgate.flips_percent"], flips["slimgate.budget.flips_max_percent"]) == ("25.0", "5.0")
    assert flips["slimgate.verdict.flips_max_percent"] == "FAIL"
    good = cases["test_logs[good-behaviour]"]
    assert (good.failure, good.properties["slimgate.verdict"]) == (None, "PASS")


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            "flips =",
            "size = { compression_min = 2.0 }\nflips =",
            r"\[budgets.size\]: .* prediction files are ",
        ),
        (
            "columns =",
            'missing = "drop"\ncolumns =',
            r"\[logs\] missing: cannot be used with prediction files",
        ),
        ("accuracy =", '"*" =', r"unknown metric|\*"),
        ("id =", "idd =", r'\[logs.columns\] idd: "idd" was given, expected "id"'),
        ("[budgets]\n", "[budgets.variants.god]\naccuracy = { floor = 0.5 }\n[budgets]\n", "god"),
    ],
    ids=["size", "key", "pattern", "role", "variant"],
)
def test_what_prediction_files_do_not_answer_is_refused(
    predictions: Path, old: str, new: str, problem: str
) -> None:
    (predictions / "bench/files.toml").write_text(PREDICTIONS.replace(old, new, 1), "utf-8")
    ran = run_pytest(predictions, "bench")
    assert ran.code == 4
    assert re.search(problem, "\n".join(ran.lines)), ran.lines


def test_columns_of_predictions_do_not_go_with_logs(repository: Path) -> None:
    text = SUITE.replace("[budgets]", 'columns = { id = "row" }\n[budgets]', 1)
    (repository / "bench/logs.toml").write_text(text, "utf-8")
    ran = run_pytest(repository, "bench")
    assert ran.code == 4
    assert any(
        "[logs] columns: this key is for prediction files, but the base is a log" in line
        for line in ran.lines
    )


@pytest.mark.parametrize("table", ['family = "holm"', "teacher = { accuracy = { floor = 0.99 } }"])
def test_budgets_of_models_do_not_go_with_prediction_files(predictions: Path, table: str) -> None:
    text = PREDICTIONS.replace("[budgets]\n", f"[budgets]\n{table}\n")
    (predictions / "bench/files.toml").write_text(text, "utf-8")
    ran = run_pytest(predictions, "bench")
    assert ran.code == 4
    problem = (
        rf"\[budgets[\] .]+{table.split(' ')[0]}\S* .* was given, but prediction files are judged by metrics"
    )
    assert re.search(problem, "\n".join(ran.lines)), ran.lines


def test_a_suite_of_switched_off_budgets_is_named_or_refused(predictions: Path) -> None:
    logs = '[logs]\nbase = "base.csv"\ntargets = { good = "good.csv" }\ncolumns = { id = "row" }\n'
    budgets = "[budgets]\naccuracy = { drop_points = 5.0 }\n[budgets.variants.good]\n"
    off = 'accuracy = { drop_points = "off", reason = "known" }\n'
    (predictions / "bench/files.toml").write_text(logs + budgets + off, "utf-8")
    ran = run_pytest(predictions, "bench")
    assert (ran.code, "bench/files.toml: no budget, so nothing in it is judged" in ran.lines) == (5, True)
    ran = run_pytest(predictions, "bench", "--slimgate-require-budget")
    assert ran.code == 4
    problem = "bench/files.toml: --slimgate-require-budget: nothing would be gated"
    assert any(problem in line for line in ran.lines)


@pytest.mark.parametrize(
    ("kind", "code", "words"),
    [
        ("", 4, "it may be predictions (columns label and prediction) or a log of scores (column score)"),
        ('kind = "predictions"\n', 0, "1 PASS, 0 FAIL"),
        ('kind = "answers"\n', 1, "good: score 0.667 vs 1.000"),
    ],
    ids=["not said", "predictions", "scores"],
)
def test_a_table_that_may_be_two_things_needs_its_kind(
    predictions: Path, kind: str, code: int, words: str
) -> None:
    """A judge gave the scores: the answers of both are as often the gold text, and the grades fell."""
    for name, grades in (("base", (1.0, 1.0, 1.0)), ("good", (1.0, 0.0, 1.0))):
        rows = (f"r{k},{k % 2},{k % 2},{grades[k % 3]}" for k in range(300))
        text = "\n".join(["id,label,prediction,score", *rows]) + "\n"
        (predictions / f"bench/{name}.csv").write_text(text, "utf-8")
    budgets = "[budgets]\naccuracy = { drop_points = 5.0 }\n"
    if "answers" in kind:
        budgets = "[ranges]\nscore = [0, 1]\n[budgets]\nscore = { drop_points = 5.0 }\n"
    logs = f'[logs]\n{kind}base = "base.csv"\ntargets = {{ good = "good.csv" }}\n'
    if "answers" in kind:
        logs += 'higher_is_better = ["score"]\n'
    (predictions / "bench/files.toml").write_text(logs + budgets, "utf-8")
    ran = run_pytest(predictions, "bench")
    assert ran.code == code, ran.out
    assert words in ran.out

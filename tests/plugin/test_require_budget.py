"""`--slimgate-require-budget`: a suite that gates nothing is an error before anything is built."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.tiny_suite import ONE_FILE

from fixtures.models.tiny import write_rows, write_tiny_bert
from slimgate.errors import SuiteError
from slimgate.plugin.hooks import require_budgets
from slimgate.suite.reader import load_suite

MODELS = """
[teacher]
model = "model"
[variants]
int8 = {{ steps = [{{ int8_dynamic = {{}} }}]{gated} }}
[measure]
metrics = ["accuracy"]
workloads = [{{ batch = 1 }}]
{budgets}
"""
INFORMATIONAL = ', gated = false, reason = "later"'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("suite")
    write_tiny_bert(path / "model")
    write_rows(path / "rows.csv", 240)
    return path


@pytest.mark.parametrize(
    ("gated", "budgets", "why"),
    [
        ("", "", "it has no budget"),
        (INFORMATIONAL, "[budgets]\naccuracy = { drop_points = 2.0 }", "none of its variants is gated"),
        ("", "[budgets.teacher]\naccuracy = { floor = 0.5 }", "it has no budget"),
    ],
)
def test_a_suite_that_gates_nothing_is_refused(folder: Path, gated: str, budgets: str, why: str) -> None:
    path = folder / "suite.toml"
    path.write_text(ONE_FILE + MODELS.format(gated=gated, budgets=budgets))
    with pytest.raises(
        SuiteError, match=f"suite.toml: --slimgate-require-budget: nothing would be .*, since {why}"
    ):
        require_budgets({path: load_suite(path, "suite.toml")})


def test_a_suite_with_a_budget_is_taken(folder: Path) -> None:
    path = folder / "suite.toml"
    path.write_text(ONE_FILE + MODELS.format(gated="", budgets="[budgets]\naccuracy = { drop_points = 2.0 }"))
    suites = {path: load_suite(path, "suite.toml")}
    assert require_budgets(suites) is None  # type: ignore[func-returns-value]

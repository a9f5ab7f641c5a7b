"""The JSON Schema of a suite."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from slimgate.cli.init.suite_text import SCHEMA_FILE
from slimgate.cli.main import main
from slimgate.judge import budget_tables
from slimgate.judge.metrics import known_metrics
from slimgate.plugins.loading import known_plugins, load
from slimgate.plugins.params import Table
from slimgate.suite.schema import make_suite_schema
from slimgate.suite.tables import BaselineTable, SuiteFile, TaskTable
from slimgate.suite.tune_tables import ChoiceTable, RangeTable


def test_the_command_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out) == make_suite_schema()


def test_wrong_usage_is_exit_code_4(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 4
    assert main(["shema"]) == 4
    assert "schema" in capsys.readouterr().err


def test_the_schema_knows_every_table_step_and_metric() -> None:
    schema = make_suite_schema()
    assert set(schema["properties"]) == {"suite", "task", "teacher", "variants", "budgets", "measure", "tune"}
    assert schema["additionalProperties"] is False
    assert set(schema["$defs"]["Step"]["properties"]) == set(known_plugins("step"))
    assert set(known_metrics()) <= set(schema["properties"]["budgets"]["properties"])
    assert {"text", "label", "max_tokens", "group", "splits"} <= set(
        schema["properties"]["task"]["properties"]
    )


def test_the_schema_knows_the_budgets_against_a_baseline_and_its_file() -> None:
    schema = make_suite_schema()
    own = schema["properties"]["budgets"]["properties"]
    assert "folder of baselines" in own["baseline"]["properties"]["file"]["description"]
    of_variant = own["variants"]["additionalProperties"]["properties"]["baseline"]["properties"]
    assert set(of_variant) == set(known_metrics())
    assert "floor" not in schema["$defs"]["BaselineBudget"]["properties"]


def test_the_schema_knows_the_budget_on_memory_and_how_it_is_measured() -> None:
    definitions = make_suite_schema()["$defs"]
    assert definitions["MemoryBudget"]["required"] == ["memory_ratio_max"]
    assert "its own process" in definitions["MeasureTable"]["properties"]["memory"]["description"]


def test_every_reference_of_the_schema_leads_somewhere() -> None:
    schema = make_suite_schema()

    def references(value: object) -> set[str]:
        if isinstance(value, dict):
            own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
            return own.union(*map(references, value.values()))
        return set().union(*map(references, value)) if isinstance(value, list) else set()

    assert references(schema) <= {f"#/$defs/{name}" for name in schema["$defs"]}


ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("suite", sorted((ROOT / "bench").glob("*.toml")), ids=lambda path: path.stem)
def test_every_suite_names_the_schema_beside_it(suite: Path) -> None:
    """As `slimgate init` writes it. `slimgate schema > bench/suite.schema.json` makes the file."""
    assert suite.read_text("utf-8").startswith(f"#:schema ./{SCHEMA_FILE}\n")


def _without_description(schema: object, path: str = "") -> list[str]:
    """The keys of every table of a schema that have none."""
    found = []
    for key, own in schema.items() if isinstance(schema, dict) else ():
        if key == "properties":
            found += [f"{path}.{name}" for name, option in own.items() if not option.get("description")]
        found += _without_description(own, f"{path}.{key}")
    return found


@pytest.mark.parametrize("kind", ["step", "task", "source", "runtime"])
def test_every_option_of_a_plug_in_has_a_description(kind: str) -> None:
    found = {
        name: _without_description(load(kind, name).Params.model_json_schema())
        for name in known_plugins(kind)
    }
    assert [(name, options) for name, options in found.items() if options] == []


def test_every_key_of_a_suite_has_a_description() -> None:
    assert _without_description(SuiteFile.model_json_schema()) == []
    budgets = [
        getattr(budget_tables, name)
        for name in dir(budget_tables)
        if "Budget" in name and name != "BudgetKind"
    ]
    own = [table for table in budgets if issubclass(table, Table)]
    assert len(own) >= 7
    for table in [*own, TaskTable, BaselineTable, ChoiceTable, RangeTable]:
        assert _without_description(table.model_json_schema()) == [], table


def test_the_descriptions_of_all_keys_come_with_the_schema_of_a_suite() -> None:
    schema = make_suite_schema()
    steps = schema["$defs"]["Step"]["properties"]
    assert [name for name, own in steps.items() if not own["description"]] == []
    assert all(own["description"] for own in schema["properties"].values())
    task = schema["properties"]["task"]["properties"]
    assert [key for key, own in task.items() if not own.get("description")] == []
    assert task["add_bos"]["description"].startswith("Put a start token before each document")
    assert "multi_label: The column of lists of labels" in task["label"]["description"]
    alpha = schema["$defs"]["step_distill"]["properties"]["alpha"]
    assert alpha["description"].startswith("Weight of the labels")


def test_a_key_that_tasks_write_in_different_ways_may_have_any_of_them() -> None:
    forms = make_suite_schema()["properties"]["task"]["properties"]["names"]["anyOf"]
    assert {form.get("type") for form in forms} == {"array", "object", "null"}


def test_a_file_may_leave_tables_to_the_one_that_it_extends() -> None:
    schema = make_suite_schema()
    assert "required" not in schema
    assert "required" not in schema["$defs"]["SuiteTable"]
    assert "required" not in schema["properties"]["task"]

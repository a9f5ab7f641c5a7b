"""The JSON Schema of a suite."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from support.doc_blocks import list_blocks

from slimgate._system.toml import format_toml_value
from slimgate.cli.init.suite_text import SCHEMA_FILE
from slimgate.cli.main import main
from slimgate.cli.schema import make_schema
from slimgate.judge import budget_tables
from slimgate.judge.metrics import list_known_metrics
from slimgate.logs.suite import LogsTable, load_log_suite
from slimgate.plugin.find_suites import Search, find_suites
from slimgate.plugins.loading import list_known_plugins, load
from slimgate.plugins.params import Table
from slimgate.suite.schema import make_suite_schema
from slimgate.suite.tables import BaselineTable, SuiteFile, TaskTable
from slimgate.suite.tune_space import ChoiceTable, RangeTable

ROOT = Path(__file__).parents[2]


def test_the_command_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out) == make_suite_schema()


@pytest.mark.parametrize(
    ("kind", "address"),
    [
        ("suite", "https://slimgate.github.io/slimgate/suite.schema.json"),
        ("logs", "https://slimgate.github.io/slimgate/logs.schema.json"),
        ("run", "https://slimgate.github.io/slimgate/run-2.schema.json"),
    ],
)
def test_each_schema_has_an_id_that_stays(
    kind: str, address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["schema", kind]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert schema["$id"] == address
    Draft202012Validator.check_schema(schema)


def test_the_schema_of_run_json_takes_a_record() -> None:
    validator = Draft202012Validator(make_schema("run"))
    record = json.loads((ROOT / "docs/example_record/run.json").read_text("utf-8"))
    assert [error.message for error in validator.iter_errors(record)] == []
    del record["verdict"]
    assert [error.message for error in validator.iter_errors(record)] == ["'verdict' is a required property"]


def test_the_schemastore_entry_names_schema_and_pytests_files(bench: Path, suite_text: str) -> None:
    pytest.importorskip("torch")  # a suite of models is not read without it
    [entry] = [
        json.loads(block.text)
        for block in list_blocks("docs/write_a_suite.md", "text")
        if block.text.startswith("{")
    ]
    assert set(entry) == {"name", "description", "fileMatch", "url"}
    assert entry["url"] == make_schema("suite")["$id"]
    [pattern] = entry["fileMatch"]
    file = bench / pattern.replace("*", "reviews")
    file.write_text(suite_text, "utf-8")
    assert list(find_suites(Search(bench.parent, [bench], ["bench/*.toml"]))) == [file]


LOG_SUITES = [
    text
    for page in ("judge_logs", "log_suites")
    for text in map(tomllib.loads, (block.text for block in list_blocks(f"docs/{page}.md", "toml")))
    if "logs" in text
]


def of_load_tests() -> dict[str, Any]:
    """A suite of load tests, with a budget of one target."""
    logs = {"base": "../loads/base.json", "targets": {"int4": "../loads/int4.json"}}
    of_target = {"int4": {"latency": {"speedup_min": 1.1}}}
    return {"logs": logs, "budgets": {"latency": {"speedup_min": 1.2}, "variants": of_target}}


def of_kl_logs() -> dict[str, Any]:
    """A suite of KL logs."""
    limits = {"kl": {"mean_max": 0.02}, "perplexity": {"increase_relative": 0.01}}
    return {"logs": {"targets": {"int4": "../int4.txt"}}, "budgets": limits}


def of_predictions() -> dict[str, Any]:
    """A suite of prediction files, of which one target has budgets of its own."""
    logs = {"base": "base.csv", "targets": {"int4": "int4.csv"}, "columns": {"id": "row"}}
    limits = {"accuracy": {"drop_points": 5.0}, "flips": {"flips_max_percent": 5.0}}
    of_target = {"flips": {"flips_max_percent": "off", "reason": "a new tokenizer"}}
    return {"logs": logs, "budgets": {**limits, "variants": {"int4": of_target}}}


def of_answers() -> dict[str, Any]:
    """A suite of logs, of which one target has other limits and switches some off."""
    logs = {"base": "../logs/base", "targets": {"int4": "../logs/int4"}}
    off = {"drop_points": "off", "reason": "few rows"}
    limits = {
        "gsm8k*": {"drop_points": 5.0},
        "arc*": {"floor": 0.5, "drop_points": 2.0},
        "slices": {"category": {"law": {"acc": {"drop_points": 3.0}}}},
    }
    of_target = {"gsm8k*": {"drop_points": 9.0}, "arc*": off, "slices": {"category": {"law": {"acc": off}}}}
    return {"logs": logs, "budgets": {**limits, "variants": {"int4": of_target}}}


@pytest.mark.parametrize(
    "suite", [*LOG_SUITES, of_load_tests(), of_kl_logs(), of_predictions(), of_answers()]
)
def test_the_schema_of_a_log_suite_takes_what_the_loader_takes(suite: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "base.csv").write_text("row,label,prediction\n1,a,a\n", "utf-8")
    file = tmp_path / "logs.toml"
    file.write_text(to_toml(suite), "utf-8")
    load_log_suite(file, "logs.toml")
    assert [error.message for error in Draft202012Validator(make_schema("logs")).iter_errors(suite)] == []


def to_toml(tables: dict[str, Any]) -> str:
    """The tables as TOML, with inline tables inside."""
    return "".join(
        f"[{name}]\n" + "".join(f'"{key}" = {format_toml_value(value)}\n' for key, value in table.items())
        for name, table in tables.items()
    )


@pytest.mark.parametrize(
    ("suite", "message"),
    [
        ({"logs": {"targets": {"a": "b"}, "bas": "c"}}, "'bas' was unexpected"),
        ({"logs": {"targets": {}}}, "should be non-empty"),
        (
            {"logs": {"targets": {"a": "b"}}, "budgets": {"*": {"drop_point": 1}}},
            "'drop_point' was unexpected",
        ),
        ({"logs": {"targets": {"a": "b"}}, "ranges": {"grade": [1]}}, "[1] is too short"),
    ],
    ids=["key", "targets", "budget", "range"],
)
def test_the_schema_of_a_suite_of_logs_finds_mistakes(suite: dict[str, Any], message: str) -> None:
    [error] = Draft202012Validator(make_schema("logs")).iter_errors(suite)
    assert message in error.message


def test_wrong_usage_is_exit_code_4(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 4
    assert main(["shema"]) == 4
    assert "schema" in capsys.readouterr().err


def test_the_schema_knows_every_table_step_and_metric() -> None:
    schema = make_suite_schema()
    assert set(schema["properties"]) == {"suite", "task", "teacher", "variants", "budgets", "measure", "tune"}
    assert schema["additionalProperties"] is False
    assert set(schema["$defs"]["Step"]["properties"]) == set(list_known_plugins("step"))
    assert set(list_known_metrics()) <= set(schema["properties"]["budgets"]["properties"])
    assert {"text", "label", "max_tokens", "group", "splits"} <= set(
        schema["properties"]["task"]["properties"]
    )


def test_the_schema_has_budgets_against_a_baseline_and_its_file() -> None:
    schema = make_suite_schema()
    properties = schema["properties"]["budgets"]["properties"]
    assert "folder of baselines" in properties["baseline"]["properties"]["file"]["description"]
    of_variant = properties["variants"]["additionalProperties"]["properties"]["baseline"]["properties"]
    assert set(of_variant) == set(list_known_metrics())
    assert "floor" not in schema["$defs"]["BaselineBudget"]["properties"]


def test_the_schema_has_the_memory_budget_and_how_to_measure() -> None:
    definitions = make_suite_schema()["$defs"]
    assert definitions["MemoryBudget"]["required"] == ["memory_ratio_max"]
    assert "its own process" in definitions["MeasureTable"]["properties"]["memory"]["description"]


def test_every_reference_of_the_schema_leads_somewhere() -> None:
    schema = make_suite_schema()

    def references(value: object) -> set[str]:
        if isinstance(value, dict):
            direct = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
            return direct.union(*map(references, value.values()))
        return set().union(*map(references, value)) if isinstance(value, list) else set()

    assert references(schema) <= {f"#/$defs/{name}" for name in schema["$defs"]}


@pytest.mark.parametrize("suite", sorted((ROOT / "bench").glob("*.toml")), ids=lambda path: path.stem)
def test_every_suite_names_the_schema_beside_it(suite: Path) -> None:
    """As `slimgate init` writes it. `slimgate schema > bench/suite.schema.json` makes the file."""
    assert suite.read_text("utf-8").startswith(f"#:schema ./{SCHEMA_FILE}\n")


def _without_description(schema: object, path: str = "") -> list[str]:
    """The keys of every table of a schema that have none."""
    missing = []
    for key, part in schema.items() if isinstance(schema, dict) else ():
        if key == "properties":
            missing += [f"{path}.{name}" for name, option in part.items() if not option.get("description")]
        missing += _without_description(part, f"{path}.{key}")
    return missing


@pytest.mark.parametrize("kind", ["step", "task", "source", "runtime"])
def test_every_option_of_a_plug_in_has_a_description(kind: str) -> None:
    missing = {
        name: _without_description(load(kind, name).Params.model_json_schema())
        for name in list_known_plugins(kind)
    }
    assert [(name, options) for name, options in missing.items() if options] == []


def test_every_key_of_a_suite_has_a_description() -> None:
    assert _without_description(SuiteFile.model_json_schema()) == []
    assert _without_description(LogsTable.model_json_schema()) == []
    budgets = [
        getattr(budget_tables, name)
        for name in dir(budget_tables)
        if "Budget" in name and name != "BudgetKind"
    ]
    tables = [table for table in budgets if issubclass(table, Table)]
    assert len(tables) >= 7
    for table in [*tables, TaskTable, BaselineTable, ChoiceTable, RangeTable]:
        assert _without_description(table.model_json_schema()) == [], table


def test_all_keys_have_their_descriptions_in_a_suites_schema() -> None:
    schema = make_suite_schema()
    steps = schema["$defs"]["Step"]["properties"]
    assert [name for name, option in steps.items() if not option["description"]] == []
    assert all(option["description"] for option in schema["properties"].values())
    task = schema["properties"]["task"]["properties"]
    assert [key for key, option in task.items() if not option.get("description")] == []
    assert task["add_bos"]["description"].startswith("Put a start token before each document")
    assert "multi_label: The column of lists of labels" in task["label"]["description"]
    alpha = schema["$defs"]["step_distill"]["properties"]["alpha"]
    assert alpha["description"].startswith("Weight of the labels")


def test_a_key_that_tasks_write_in_many_ways_may_have_any() -> None:
    forms = make_suite_schema()["properties"]["task"]["properties"]["names"]["anyOf"]
    assert {form.get("type") for form in forms} == {"array", "object", "null"}


def test_a_file_may_leave_tables_to_the_one_that_it_extends() -> None:
    schema = make_suite_schema()
    assert "required" not in schema
    assert "required" not in schema["$defs"]["SuiteTable"]
    assert "required" not in schema["properties"]["task"]

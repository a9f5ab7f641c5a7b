"""The JSON Schema of a suite."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from slimgate.cli.main import main
from slimgate.judge.metrics import known_metrics
from slimgate.loading import known
from slimgate.suite import schema_words
from slimgate.suite.schema import suite_schema


def test_the_command_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out) == suite_schema()


def test_wrong_usage_is_exit_code_4(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 4
    assert main(["shema"]) == 4
    assert "schema" in capsys.readouterr().err


def test_the_schema_knows_every_table_method_and_metric() -> None:
    schema = suite_schema()
    assert set(schema["properties"]) == {"suite", "task", "teacher", "variants", "budgets", "measure", "tune"}
    assert schema["additionalProperties"] is False
    assert set(schema["$defs"]["Step"]["properties"]) == set(known("method"))
    assert set(known_metrics()) <= set(schema["properties"]["budgets"]["properties"])
    assert {"text", "label", "max_tokens", "group", "splits"} <= set(
        schema["properties"]["task"]["properties"]
    )


def test_the_schema_knows_the_budgets_against_a_baseline_and_its_file() -> None:
    schema = suite_schema()
    own = schema["properties"]["budgets"]["properties"]
    assert "folder of baselines" in own["baseline"]["properties"]["file"]["description"]
    of_variant = own["variants"]["additionalProperties"]["properties"]["baseline"]["properties"]
    assert set(of_variant) == set(known_metrics())
    assert "floor" not in schema["$defs"]["BaselineBudget"]["properties"]


def test_the_schema_knows_the_budget_on_memory_and_how_it_is_measured() -> None:
    definitions = suite_schema()["$defs"]
    assert definitions["MemoryBudget"]["required"] == ["memory_ratio_max"]
    assert "process of its own" in definitions["MeasureTable"]["properties"]["memory"]["description"]


def test_every_reference_of_the_schema_leads_somewhere() -> None:
    schema = suite_schema()

    def references(value: object) -> set[str]:
        if isinstance(value, dict):
            own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
            return own.union(*map(references, value.values()))
        return set().union(*map(references, value)) if isinstance(value, list) else set()

    assert references(schema) <= {f"#/$defs/{name}" for name in schema["$defs"]}


ROOT = Path(__file__).parents[2]


def test_the_published_schema_is_the_one_of_the_command() -> None:
    """After a change: slimgate schema > docs/suite.schema.json"""
    assert json.loads((ROOT / "docs/suite.schema.json").read_text("utf-8")) == suite_schema()


@pytest.mark.parametrize("suite", sorted((ROOT / "bench").glob("*.toml")), ids=lambda path: path.stem)
def test_every_suite_names_the_published_schema(suite: Path) -> None:
    first = suite.read_text("utf-8").partition("\n")[0]
    assert first.startswith("#:schema ")
    assert (suite.parent / first.removeprefix("#:schema ")).resolve() == ROOT / "docs/suite.schema.json"


@pytest.mark.parametrize(
    "table", ["SuiteTable", "TeacherTable", "VariantTable", "MeasureTable", "SplitSizes", "QualityBudget"]
)
def test_an_editor_can_say_what_every_key_of_a_table_is(table: str) -> None:
    keys = suite_schema()["$defs"][table]["properties"]
    assert [key for key, own in keys.items() if not own.get("description")] == []


def test_an_editor_can_say_what_tables_steps_and_training_options_are() -> None:
    schema = suite_schema()
    steps = schema["$defs"]["Step"]["properties"]
    assert [name for name, own in steps.items() if not own["description"]] == []
    assert all("description" in own for own in schema["properties"].values())
    task = schema["properties"]["task"]["properties"]
    assert {"text", "label", "group", "pooling", "source"} <= {
        k for k, own in task.items() if "description" in own
    }
    assert "description" in schema["$defs"]["method_distill"]["properties"]["alpha"]


def test_every_word_for_editors_is_of_a_key_that_there_is() -> None:
    schema = suite_schema()
    assert set(schema_words.SUITE) == set(schema["properties"])
    assert set(schema_words.TASK) <= set(schema["properties"]["task"]["properties"])
    steps = [schema["$defs"][f"method_{name}"].get("properties", {}) for name in known("method")]
    assert set(schema_words.OPTIONS) <= set().union(*steps)


def test_a_key_that_tasks_write_in_different_ways_may_have_any_of_them() -> None:
    forms = suite_schema()["properties"]["task"]["properties"]["names"]["anyOf"]
    assert {form.get("type") for form in forms} == {"array", "object", "null"}


def test_a_file_may_leave_tables_to_the_one_that_it_extends() -> None:
    schema = suite_schema()
    assert "required" not in schema
    assert "required" not in schema["$defs"]["SuiteTable"]
    assert "required" not in schema["properties"]["task"]

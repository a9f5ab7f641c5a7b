"""The JSON Schema of a suite."""

from __future__ import annotations

import json

import pytest

from slimgate.cli import main
from slimgate.loading import known
from slimgate.metrics import known_metrics
from slimgate.schema import suite_schema


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


def test_what_is_not_supported_yet_fits_no_value() -> None:
    assert suite_schema()["properties"]["budgets"]["properties"]["baseline"]["not"] == {}


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

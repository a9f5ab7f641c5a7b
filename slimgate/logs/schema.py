"""Makes the JSON Schema of a suite of logs."""

from __future__ import annotations

from typing import Any

from slimgate.judge.budget_tables import TOKEN_TABLES, LatencyBudgetTable, QualityBudgetTable
from slimgate.logs.budgets import POOLED, RANGES
from slimgate.logs.suite import LOGS, LogsTable
from slimgate.suite.schema import DIALECT, SITE
from slimgate.suite.variant_budgets import LATENCY

LOGS_SCHEMA = "logs.schema.json"
_BUDGETS = (
    "Limits of each comparison, by a pattern of its name, task or metric; the last one that matches counts."
)
_POOLED = "Limits on the mean over all samples."
_RANGES = "The lowest and the highest score of a metric, by pattern, such as grade = [1, 10]."
_OF_TARGETS = "Budgets of one target of load tests or KL logs, by its name."


def make_logs_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a suite with [logs]: of logs of answers, of load tests, and of KL logs."""
    definitions: dict[str, Any] = {}
    quality = _add_model(definitions, "QualityBudget", QualityBudgetTable)
    tables = {LATENCY: LatencyBudgetTable, **TOKEN_TABLES}
    special = {name: _add_model(definitions, name, table) for name, table in tables.items()}
    of_target = {"type": "object", "properties": special, "additionalProperties": quality}
    variants = {"type": "object", "description": _OF_TARGETS, "additionalProperties": of_target}
    ends = {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}
    return {
        "$schema": DIALECT,
        "$id": SITE + LOGS_SCHEMA,
        "title": "A suite of slimgate that judges logs",
        "type": "object",
        "required": [LOGS],
        "additionalProperties": False,
        "properties": {
            LOGS: _add_model(definitions, "LogsTable", LogsTable),
            "budgets": {
                "type": "object",
                "description": _BUDGETS,
                "properties": {**special, "variants": variants},
                "additionalProperties": quality,
            },
            POOLED: {**quality, "description": _POOLED},
            RANGES: {"type": "object", "description": _RANGES, "additionalProperties": ends},
        },
        "$defs": definitions,
    }


def _add_model(definitions: dict[str, Any], name: str, model: Any) -> dict[str, Any]:
    schema = model.model_json_schema(ref_template="#/$defs/{model}")
    definitions.update(schema.pop("$defs", {}))
    definitions[name] = schema
    return {"$ref": f"#/$defs/{name}"}

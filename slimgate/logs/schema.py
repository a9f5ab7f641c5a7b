"""Makes the JSON Schema of a suite of logs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slimgate.logs.budgets import POOLED, RANGES
from slimgate.logs.suite import LOGS, LogsTable
from slimgate.results.checks import MEASUREMENTS
from slimgate.suite.schema import DIALECT, SITE, make_limits_schema

if TYPE_CHECKING:
    from slimgate.plugins.base import Json

LOGS_SCHEMA = "logs.schema.json"
# Budgets that files of other tools cannot decide.
_OF_MODELS = frozenset({"size", "flops", "memory", "baseline", MEASUREMENTS})
_QUALITY = {"$ref": "#/$defs/QualityBudget"}
_BUDGETS = (
    "limits of each comparison, by a pattern of its name, task or metric; of each kind, the last "
    "pattern that matches counts. Or limits by metric, flips, slices, latency or KL, as in a suite of models"
)
_POOLED = "limits on the mean over all samples"
_RANGES = "the lowest and the highest score of a metric, by pattern, such as grade = [1, 10]"
_SLICES = (
    "limits of every slice, by a pattern of a comparison, or of one slice, by field, value and pattern; "
    "for predictions, as in a suite of models"
)
_OF_TARGETS = "the budgets of one target, by its name"


def make_logs_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a suite with [logs]: answers, predictions, load tests and KL logs.

    It accepts the budgets of all of them, since only the files show which kind they are.
    """
    table = LogsTable.model_json_schema(ref_template="#/$defs/{model}")
    definitions: dict[str, Any] = table.pop("$defs", {})
    budgets = _make_budgets_schema(definitions)
    of_target = _make_budgets_schema(definitions, off=True)
    budgets["properties"]["variants"] = {
        "type": "object",
        "description": _OF_TARGETS,
        "additionalProperties": of_target,
    }
    ends = {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}
    return {
        "$schema": DIALECT,
        "$id": SITE + LOGS_SCHEMA,
        "title": "A suite of slimgate that judges logs",
        "type": "object",
        "required": [LOGS],
        "additionalProperties": False,
        "properties": {
            LOGS: table,
            "budgets": {**budgets, "description": _BUDGETS},
            POOLED: {**_QUALITY, "description": _POOLED},
            RANGES: {"type": "object", "description": _RANGES, "additionalProperties": ends},
        },
        "$defs": definitions,
    }


def _make_budgets_schema(definitions: Json, *, off: bool = False) -> dict[str, Any]:
    """The limits of a suite of models that logs can decide, and patterns. off: a limit may be "off"."""
    limits = make_limits_schema(definitions, off=off)
    properties = {name: table for name, table in limits["properties"].items() if name not in _OF_MODELS}
    quality = {"$ref": "#/$defs/QualityBudgetOfVariant"} if off else _QUALITY
    by_value = {
        "type": "object",
        "additionalProperties": {"type": "object", "additionalProperties": quality},
    }
    of_logs = {"type": "object", "additionalProperties": {"anyOf": [quality, by_value]}}
    properties["slices"] = {"description": _SLICES, "anyOf": [properties["slices"], of_logs]}
    return {"type": "object", "properties": properties, "additionalProperties": quality}

"""Makes the JSON Schema of a suite file. Editors complete and check TOML with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from slimgate.judge.budget_tables import (
    BaselineBudgetTable,
    FlipsBudget,
    FlopsBudget,
    KlBudgetTable,
    MeasurementBudgetTable,
    MemoryBudget,
    QualityBudgetTable,
    SizeBudgetTable,
    SliceBudget,
    TeacherBudgetTable,
    Top1BudgetTable,
)
from slimgate.judge.latency_budgets import LatencyBudgetTable
from slimgate.judge.metrics import list_known_metrics
from slimgate.plugins.loading import list_known_plugins, load, read_docstring
from slimgate.results.checks import MEASUREMENTS
from slimgate.suite.budgets import HOLM, list_per_row_metrics
from slimgate.suite.tables import BaselineTable, SuiteFile, TaskTable
from slimgate.suite.tune_space import ChoiceTable, RangeTable
from slimgate.suite.variant_budgets import NOT_LIMITS, OFF

if TYPE_CHECKING:
    from pydantic import BaseModel

    from slimgate.plugins.base import Json

DOTTED_PATH = "^[^:]+:[^:]+$"
TITLE = "A suite of slimgate"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
# The site of the docs and the schemas. The `$id` of a schema begins with it, and stays the same in all
# versions.
SITE = "https://slimgate.github.io/slimgate/"
SUITE_SCHEMA = "suite.schema.json"
# The words of JSON Schema that describe a value and do not restrict it.
_DESCRIPTIVE = ("title", "default", "description")
# The prefix of the names of definitions for [[tune.space]].
_PREFIX = "tune_"
_CHOICE, _RANGE = {"$ref": "#/$defs/ChoiceTable"}, {"$ref": "#/$defs/RangeTable"}
_CHOICE_OF_STEPS: dict[str, Any] = {
    "type": "object",
    "required": ["choices"],
    "properties": {"choices": {"type": "array", "minItems": 1}, "optional": {"type": "boolean"}},
    "additionalProperties": False,
}
_COLUMN_DESCRIPTION = (
    "a column of [task] slices, or label: [budgets.slices.COLUMN.VALUE] is the budget of one slice"
)
_FAMILY_DESCRIPTION = (
    "judges the budgets on metrics of all gated variants together: the chance that any variant over its "
    "budget passes is then at most 5 %; default: each variant is judged alone"
)


def make_suite_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of SuiteFile, with the options of slimgate's own tasks, sources and steps.

    The schema accepts any "package.module:object", because that is how users name their plug-ins. It requires
    no table and no title, because they may be in a file that the suite extends. A run reports missing tables.
    """
    schema = SuiteFile.model_json_schema()
    schema = {"$schema": DIALECT, "$id": SITE + SUITE_SCHEMA} | schema | {"title": TITLE}
    definitions = schema["$defs"]
    steps = {
        name: _add_model(definitions, f"step_{name}", load("step", name).Params)
        for name in list_known_plugins("step")
    }
    definitions["Step"] = {
        "type": "object",
        "minProperties": 1,
        "maxProperties": 1,
        "properties": steps,
        "patternProperties": {DOTTED_PATH: {}},
        "additionalProperties": False,
    }
    for table in ("TeacherTable", "VariantTable"):
        definitions[table]["properties"]["steps"]["items"] = {"$ref": "#/$defs/Step"}
    schema["properties"]["task"] |= _make_task_schema(definitions)
    schema["properties"]["budgets"] |= _make_budgets_schema(definitions)
    definitions["SpaceTable"]["properties"]["steps"]["items"] = make_tuned_step_schema(definitions)
    for definition in (schema, definitions["SuiteTable"], definitions["TeacherTable"]):
        definition.pop("required", None)
    for name in list_known_plugins("step"):
        text = (read_docstring(load("step", name)) or name).split("\n\n")[0]
        definitions["Step"]["properties"][name]["description"] = " ".join(text.split())
    return schema


def _add_model(definitions: Json, name: str, model: type[BaseModel]) -> dict[str, str]:
    schema = model.model_json_schema(ref_template="#/$defs/{model}")
    definitions.update(schema.pop("$defs", {}))
    definitions[name] = schema
    return {"$ref": f"#/$defs/{name}"}


def _make_task_schema(definitions: Json) -> dict[str, Any]:
    _add_model(definitions, "TaskTable", TaskTable)
    properties: dict[str, Any] = definitions.pop("TaskTable")["properties"]
    forms: dict[str, dict[str, Any]] = {}
    for task in list_known_plugins("task"):
        for key, option in load("task", task).Params.model_json_schema()["properties"].items():
            forms.setdefault(key, {})[task] = option
    properties |= {key: _merge_forms(by_task) for key, by_task in forms.items()}
    properties["source"] |= {
        "properties": {"name": {"type": "string", "examples": list(list_known_plugins("source"))}},
    }
    return {"properties": properties}


def _merge_forms(by_task: Mapping[str, Json]) -> dict[str, Any]:
    """Merges the schemas that tasks have for one key. The result has the default of the first task."""
    first = next(iter(by_task.values()))
    if len(by_task) == 1:
        return first
    forms, texts = [], dict[str, list[str]]()
    for task, option in by_task.items():
        texts.setdefault(option.get("description", "no description"), []).append(task)
        for form in option.get("anyOf", [option]):
            restrictions = {key: value for key, value in form.items() if key not in _DESCRIPTIVE}
            if restrictions not in forms:
                forms.append(restrictions)
    descriptive = {key: value for key, value in first.items() if key in _DESCRIPTIVE}
    if len(texts) > 1:
        descriptive["description"] = " ".join(f"{', '.join(tasks)}: {text}" for text, tasks in texts.items())
    return descriptive | (forms[0] if len(forms) == 1 else {"anyOf": forms})


def _make_budgets_schema(definitions: Json) -> dict[str, Any]:
    """The schema of [budgets]. In [budgets.variants.NAME] each limit may also be "off"."""
    common = make_limits_schema(definitions)
    file = BaselineTable.model_json_schema()["properties"]
    common["properties"]["baseline"]["properties"] |= file
    variants = {"type": "object", "additionalProperties": make_limits_schema(definitions, off=True)}
    common["properties"]["variants"] = variants
    teacher_budgets = _make_metrics_schema(
        list_known_metrics(), _add_model(definitions, "TeacherBudget", TeacherBudgetTable)
    )
    teacher_budgets["properties"]["baseline"] = _make_metrics_schema(
        list_known_metrics(), {"$ref": "#/$defs/BaselineBudget"}
    )
    common["properties"]["teacher"] = teacher_budgets
    common["properties"]["family"] = {"const": HOLM, "description": _FAMILY_DESCRIPTION}
    return common


def make_limits_schema(definitions: Json, *, off: bool = False) -> dict[str, Any]:
    """The schema of the tables of limits, for all variants or for one. off: a limit may be "off"."""

    def add_table(name: str, table: type[BaseModel]) -> dict[str, str]:
        reference = _add_model(definitions, f"{name}OfVariant" if off else name, table)
        if off:
            definition = definitions[f"{name}OfVariant"]
            for key, limit in definition["properties"].items():
                if key not in NOT_LIMITS:
                    descriptive = {word: limit.pop(word) for word in _DESCRIPTIVE if word in limit}
                    definition["properties"][key] = descriptive | {
                        "anyOf": [*limit.get("anyOf", [limit]), {"const": OFF}]
                    }
        return reference

    quality = add_table("QualityBudget", QualityBudgetTable)
    since_baseline = add_table("BaselineBudget", BaselineBudgetTable)
    properties = {
        **dict.fromkeys(list_known_metrics(), quality),
        "size": add_table("SizeBudget", SizeBudgetTable),
        "latency": add_table("LatencyBudget", LatencyBudgetTable),
        "flops": add_table("FlopsBudget", FlopsBudget),
        "memory": add_table("MemoryBudget", MemoryBudget),
        "flips": add_table("FlipsBudget", FlipsBudget),
        "slices": _make_slices_schema(add_table("SliceBudget", SliceBudget)),
        "kl": add_table("KlBudget", KlBudgetTable),
        "top1_agreement": add_table("Top1Budget", Top1BudgetTable),
        "baseline": _make_metrics_schema(list_known_metrics(), since_baseline),
        MEASUREMENTS: _make_metrics_schema(
            list_known_plugins("measurement"), add_table("MeasurementBudget", MeasurementBudgetTable)
        ),
    }
    return _make_metrics_schema((), quality) | {"properties": properties}


def _make_metrics_schema(names: Iterable[str], table: dict[str, str]) -> dict[str, Any]:
    """The schema of a table with a sub-table for each metric, including the user's own metrics."""
    return {
        "type": "object",
        "properties": dict.fromkeys(names, table),
        "patternProperties": {DOTTED_PATH: table},
        "additionalProperties": False,
    }


def _make_slices_schema(table: dict[str, str]) -> dict[str, Any]:
    """The schema of [budgets.slices]: a metric's budget on every slice, or a column with its values."""
    by_metric = _make_metrics_schema(list_per_row_metrics(), table)
    column = {"type": "object", "additionalProperties": by_metric, "description": _COLUMN_DESCRIPTION}
    return by_metric | {"additionalProperties": column}


def make_tuned_step_schema(definitions: dict[str, Any]) -> dict[str, Any]:
    """The schema of a step in [[tune.space]], whose options may be choices or ranges.

    The schemas that it refers to are added to `definitions`.
    """
    definitions |= {
        "ChoiceTable": ChoiceTable.model_json_schema(),
        "RangeTable": RangeTable.model_json_schema(),
    }
    steps = {}
    for name in list_known_plugins("step"):
        options = load("step", name).Params.model_json_schema(ref_template=f"#/$defs/{_PREFIX}{{model}}")
        for inner, definition in options.pop("$defs", {}).items():
            definitions[_PREFIX + inner] = _add_choices(definition)
        definitions[f"{_PREFIX}step_{name}"] = _add_choices(options)
        steps[name] = {"anyOf": [{"$ref": f"#/$defs/{_PREFIX}step_{name}"}, _CHOICE]}
    step = {
        "type": "object",
        "minProperties": 1,
        "maxProperties": 2,
        "properties": {**steps, "optional": {"type": "boolean", "default": False}},
        "patternProperties": {DOTTED_PATH: {}},
        "additionalProperties": False,
    }
    return {"anyOf": [step, _CHOICE_OF_STEPS]}


def _add_choices(schema: dict[str, Any]) -> dict[str, Any]:
    """The same schema, in which every option may also be a choice, and every number a range."""
    properties = {
        key: {"anyOf": [option, _CHOICE, *([_RANGE] if _can_be_number(option) else [])]}
        for key, option in schema.get("properties", {}).items()
    }
    return {**schema, "properties": properties} if properties else schema


def _can_be_number(option: dict[str, Any]) -> bool:
    kinds = [option, *option.get("anyOf", ())]
    return any(kind.get("type") in ("number", "integer") for kind in kinds)

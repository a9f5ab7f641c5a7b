"""The JSON Schema of a suite file, for editors that complete and check TOML."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from slimgate.judge.budget_tables import (
    BaselineBudgetTable,
    FlipsBudget,
    FlopsBudget,
    KlBudgetTable,
    LatencyBudgetTable,
    MemoryBudget,
    QualityBudgetTable,
    SizeBudget,
    SliceBudget,
    TeacherBudgetTable,
    Top1BudgetTable,
)
from slimgate.judge.metrics import known_metrics
from slimgate.loading import known_plugins, load, text_of
from slimgate.suite.budgets import HOLM, per_row_metrics
from slimgate.suite.switched_off import ABOUT, OFF
from slimgate.suite.tables import BaselineTable, SuiteFile, TaskTable
from slimgate.suite.tune_schema import tuned_step

OWN = "^[^:]+:[^:]+$"
TITLE = "A suite of slimgate"
_ABOUT = ("title", "default", "description")


def suite_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of SuiteFile, with the options of slimgate's own tasks, sources and methods.

    Plug-ins of a user's own are named by dotted path; the schema lets them pass. No table and no title is
    required: a file may have them from one that it extends, and a run says what is missing.
    """
    schema = SuiteFile.model_json_schema()
    schema |= {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": TITLE}
    definitions = schema["$defs"]
    definitions["Step"] = _one_of_methods(definitions)
    for table in ("TeacherTable", "VariantTable"):
        definitions[table]["properties"]["steps"]["items"] = {"$ref": "#/$defs/Step"}
    schema["properties"]["task"] |= _task(definitions)
    schema["properties"]["budgets"] |= _budgets(definitions)
    definitions["SpaceTable"]["properties"]["steps"]["items"] = tuned_step(definitions)
    _leave_to_extends(schema)
    for name in known_plugins("method"):
        text = (text_of(load("method", name)) or name).split("\n\n")[0]
        definitions["Step"]["properties"][name]["description"] = " ".join(text.split())
    return schema


def _leave_to_extends(schema: dict[str, Any]) -> None:
    for table in (
        schema,
        schema["$defs"]["SuiteTable"],
        schema["$defs"]["TeacherTable"],
        schema["properties"]["task"],
    ):
        table.pop("required", None)
    del schema["properties"]["task"]["properties"]["source"]["required"]


def _add(definitions: dict[str, Any], name: str, model: Any) -> dict[str, str]:
    own = model.model_json_schema(ref_template="#/$defs/{model}")
    definitions.update(own.pop("$defs", {}))
    definitions[name] = own
    return {"$ref": f"#/$defs/{name}"}


def _one_of_methods(definitions: dict[str, Any]) -> dict[str, Any]:
    methods = {
        name: _add(definitions, f"method_{name}", load("method", name).Params)
        for name in known_plugins("method")
    }
    return {
        "type": "object",
        "minProperties": 1,
        "maxProperties": 1,
        "properties": methods,
        "patternProperties": {OWN: {}},
        "additionalProperties": False,
    }


def _task(definitions: dict[str, Any]) -> dict[str, Any]:
    _add(definitions, "TaskTable", TaskTable)
    properties: dict[str, Any] = definitions.pop("TaskTable")["properties"]
    forms: dict[str, dict[str, Any]] = {}
    for task in known_plugins("task"):
        for key, own in load("task", task).Params.model_json_schema()["properties"].items():
            forms.setdefault(key, {})[task] = own
    properties |= {key: _any_of(of_tasks) for key, of_tasks in forms.items()}
    properties["source"] |= {
        "required": ["name"],
        "properties": {"name": {"type": "string", "examples": list(known_plugins("source"))}},
    }
    return {"required": ["kind", "source"], "properties": properties}


def _any_of(of_tasks: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """A key that tasks write in different forms may have any of them; its first default is shown."""
    first = next(iter(of_tasks.values()))
    if len(of_tasks) == 1:
        return first
    forms, texts = [], dict[str, list[str]]()
    for task, own in of_tasks.items():
        texts.setdefault(own.get("description", "no description"), []).append(task)
        for form in own.get("anyOf", [own]):
            bare = {key: value for key, value in form.items() if key not in _ABOUT}
            forms += [bare] if bare not in forms else []
    about = {key: value for key, value in first.items() if key in _ABOUT}
    if len(texts) > 1:
        about["description"] = " ".join(f"{', '.join(tasks)}: {text}" for text, tasks in texts.items())
    return about | (forms[0] if len(forms) == 1 else {"anyOf": forms})


_OF_COLUMN = "a column of [task] slices, or label: [budgets.slices.COLUMN.VALUE] is the budget of one slice"
_FAMILY = (
    "judges the budgets on metrics of all gated variants together: the chance that any variant over its "
    "budget passes is at most 5 %; default: each variant is judged alone"
)


def _budgets(definitions: dict[str, Any]) -> dict[str, Any]:
    """[budgets]; in [budgets.variants.NAME] each limit may also be "off"."""
    of_all = _of_models(definitions)
    file = BaselineTable.model_json_schema()["properties"]
    of_all["properties"]["baseline"]["properties"] |= file
    variants = {"type": "object", "additionalProperties": _of_models(definitions, off=True)}
    of_all["properties"]["variants"] = variants
    of_all["properties"]["teacher"] = _of_teacher(definitions)
    of_all["properties"]["family"] = {"const": HOLM, "description": _FAMILY}
    return of_all


def _of_teacher(definitions: dict[str, Any]) -> dict[str, Any]:
    own = _by_metric(known_metrics(), _add(definitions, "TeacherBudget", TeacherBudgetTable))
    own["properties"]["baseline"] = _by_metric(known_metrics(), {"$ref": "#/$defs/BaselineBudget"})
    return own


def _of_models(definitions: dict[str, Any], *, off: bool = False) -> dict[str, Any]:
    """The tables of limits, for all variants or for one. off: whether a limit may be "off"."""

    def add(name: str, table: Any) -> dict[str, str]:
        found = _add(definitions, f"{name}OfVariant" if off else name, table)
        if off:
            _let_be_off(definitions[f"{name}OfVariant"])
        return found

    quality, since = add("QualityBudget", QualityBudgetTable), add("BaselineBudget", BaselineBudgetTable)
    own = {
        **dict.fromkeys(known_metrics(), quality),
        "size": add("SizeBudget", SizeBudget),
        "latency": add("LatencyBudget", LatencyBudgetTable),
        "flops": add("FlopsBudget", FlopsBudget),
        "memory": add("MemoryBudget", MemoryBudget),
        "flips": add("FlipsBudget", FlipsBudget),
        "slices": _of_slices(add("SliceBudget", SliceBudget)),
        "kl": add("KlBudget", KlBudgetTable),
        "top1_agreement": add("Top1Budget", Top1BudgetTable),
        "baseline": _by_metric(known_metrics(), since),
    }
    return _by_metric((), quality) | {"properties": own}


def _by_metric(names: Iterable[str], table: dict[str, str]) -> dict[str, Any]:
    """One table for each of the metrics, and for those of a user's own."""
    return {
        "type": "object",
        "properties": dict.fromkeys(names, table),
        "patternProperties": {OWN: table},
        "additionalProperties": False,
    }


def _of_slices(table: dict[str, str]) -> dict[str, Any]:
    """By metric on every slice; any other key is a column, whose values have budgets by metric."""
    by_metric = _by_metric(per_row_metrics(), table)
    column = {"type": "object", "additionalProperties": by_metric, "description": _OF_COLUMN}
    return by_metric | {"additionalProperties": column}


def _let_be_off(table: dict[str, Any]) -> None:
    for key, limit in table["properties"].items():
        if key not in ABOUT:
            about = {word: limit.pop(word) for word in _ABOUT if word in limit}
            table["properties"][key] = about | {"anyOf": [*limit.get("anyOf", [limit]), {"const": OFF}]}

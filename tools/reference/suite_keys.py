"""The page of a suite's keys, table by table, from the models that the JSON Schema is made of."""

from __future__ import annotations

import inspect
from collections.abc import Mapping

from pydantic import BaseModel

from slimgate.judge import budget_tables, latency_budgets
from slimgate.suite import tables
from slimgate.suite.tune_space import TuneTable
from tools.reference.markdown import format_contents, format_options, format_plain_line

HEAD = """\
A suite is a TOML file `bench/*.toml` with a table `[suite]`. `slimgate schema` prints the same as JSON
Schema, for editors. Unknown keys, wrong types and values out of range end a run before any model is loaded,
in one line, with exit code 4.

`[budgets]` holds for every variant. `[budgets.variants.NAME]` takes the same tables and adds to it: a limit
of the same metric and kind replaces the common one, every other common budget still holds. To exempt a
variant from a common budget, write `accuracy = { drop_points = "off", reason = "…" }`. The report shows
the reason.

`[budgets] family = "holm"` judges the budgets on metrics of all gated variants together, by Holm's
correction: the chance that any variant over its budget passes is at most 5 %. Without it that holds for each
variant alone ([choosing](../choosing.md))."""
TABLES: Mapping[str, tuple[type[BaseModel], str]] = {
    "suite": (tables.SuiteTable, "title, seeds, threads and parents of the suite"),
    "task": (tables.TaskTable, "rows and their splits; the keys of each kind are in [tasks](tasks.md)"),
    "teacher": (tables.TeacherTable, "the model that all others are judged against"),
    "variants.NAME": (tables.VariantTable, "a model to judge; its steps are in [steps](steps.md)"),
    "budgets: metrics": (
        budget_tables.QualityBudgetTable,
        "`accuracy = { drop_points = 2.0 }`, by the name of a [metric](metrics.md); all must hold",
    ),
    "budgets.teacher": (
        budget_tables.TeacherBudgetTable,
        "`accuracy = { floor = 0.85 }`: the teacher's own value; `[budgets.teacher.baseline]` limits "
        "what it lost since the baseline, as in `[budgets.baseline]`",
    ),
    "budgets: size": (
        budget_tables.SizeBudgetTable,
        "`size = { compression_min = 1.5, quantized_share_min = 0.95 }`",
    ),
    "budgets: latency": (
        latency_budgets.LatencyBudgetTable,
        "`latency = { speedup_min = 2.0, p95_ms_max = 20.0 }`; set any of these, each applies to every "
        "workload",
    ),
    "budgets: memory": (budget_tables.MemoryBudget, "`memory = { memory_ratio_max = 0.8 }`"),
    "budgets: flops": (budget_tables.FlopsBudget, "`flops = { ratio_max = 0.5 }`"),
    "budgets: flips": (budget_tables.FlipsBudget, "`flips = { flips_max_percent = 1.0 }`"),
    "budgets.measurements": (
        budget_tables.MeasurementBudgetTable,
        "`load_time = { value_ratio_max = 0.8 }`, by the name of a [measurement](measurements.md)",
    ),
    "budgets.slices": (budget_tables.SliceBudget, "`accuracy = { drop_points = 5.0 }`, for every slice"),
    "budgets.baseline": (
        tables.BaselineTable,
        "the release that variants are compared with: [a release and its gate](../release.md)",
    ),
    "budgets.baseline: metrics": (
        budget_tables.BaselineBudgetTable,
        "`accuracy = { drop_points = 1.0 }`, of each variant against itself in the baseline",
    ),
    "measure": (tables.MeasureTable, "metrics, workloads and times of the measurement"),
    "tune": (TuneTable, "the search of `slimgate tune`: [how](../tune.md)"),
}


def make_suite_page() -> str:
    """reference/suite.md"""
    parts = [
        "# A suite",
        HEAD,
        format_contents({name: about for name, (_, about) in TABLES.items()}, ("table", "")),
    ]
    for name, (model, about) in TABLES.items():
        parts += [f"## {name}", f"{about[0].upper()}{about[1:]}."]
        parts += [*_read_details(model), format_options(model.model_json_schema())]
    return "\n\n".join(parts) + "\n"


def _read_details(model: type[BaseModel]) -> list[str]:
    """What the docstring says below its first line."""
    _, _, rest = inspect.cleandoc(model.__doc__ or "").partition("\n\n")
    return [format_plain_line(rest)] if rest else []

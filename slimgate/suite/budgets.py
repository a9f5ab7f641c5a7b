"""Reads [budgets]: which variant may lose how much of what, resolved per variant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from slimgate._system.toml import format_value
from slimgate.errors import SuiteError, format_suggestion
from slimgate.judge.behaviour import BehaviourBudgets
from slimgate.judge.budget_kinds import QualityBudget, check_budget
from slimgate.judge.budget_tables import (
    TOKEN_TABLES,
    BaselineBudgetTable,
    FlipsBudget,
    FlopsBudget,
    LatencyBudgetTable,
    LimitBudget,
    MemoryBudget,
    QualityBudgetTable,
    SizeBudget,
    SliceBudget,
    TeacherBudgetTable,
)
from slimgate.judge.correlation import NO_PASS
from slimgate.judge.metrics import known_metrics, load_metric
from slimgate.judge.slices import NOT_PER_ROW, SliceName
from slimgate.suite.errors import Loc, at, from_validation, suite_error
from slimgate.suite.switched_off import OFF, read_switched_off
from slimgate.suite.tables import BaselineTable
from slimgate.suite.variant_budgets import Family, VariantBudgets

EXAMPLE = "{ drop_points = 2.0 }"
EXAMPLES = {
    "size": "{ compression_min = 1.5 }",
    "latency": "{ speedup_min = 2.0 }",
    "flops": "{ ratio_max = 0.5 }",
    "memory": "{ memory_ratio_max = 0.8 }",
    "flips": "{ flips_max_percent = 1.0 }",
    "slices": "{ accuracy = { drop_points = 5.0 } }",
    **{name: table.example for name, table in TOKEN_TABLES.items()},
    "baseline": "{ accuracy = { drop_points = 1.0 } }",
}
HOLM: Family = "holm"
# The key that says whether the rows or the builds too are what a verdict is over.
OVER = "over"
# Keys of [budgets] that are no budgets for all variants.
OF_ONE = ("variants", "teacher", "family")


def resolve_budgets(
    data: Mapping[str, Any], variants: tuple[str, ...], file: str, *, of_one_build: bool = False
) -> dict[str, VariantBudgets]:
    """Budgets by variant name: `[budgets.variants.X]` added to `[budgets]` by metric and kind.

    data: the whole suite as a mapping. of_one_build: for a caller that leaves out budgets over builds, so the
    suite needs no seeds for them. Raises SuiteError for unknown metrics, variants and keys, and for a
    budget that is switched off without a reason.
    """
    budgets = data.get("budgets", {})
    common = budgets_of(budgets, ("budgets",), data, file, of_one_build=of_one_build)
    own = budgets.get("variants", {})
    if not isinstance(own, Mapping):
        problem = f"{format_value(own)} came, expected tables [budgets.variants.NAME]"
        raise suite_error(file, ("budgets", "variants"), data, problem)
    merged: dict[str, VariantBudgets] = dict.fromkeys(variants, common)
    for name, table in own.items():
        loc = ("budgets", "variants", name)
        if name == "teacher":
            raise suite_error(file, loc, data, "the teacher is no variant; write [budgets.teacher]")
        if name not in variants:
            raise suite_error(file, loc, data, f"no such variant{format_suggestion(name, variants)}")
        if not isinstance(table, Mapping):
            problem = f"{format_value(table)} came, expected a table, such as {{ accuracy = {EXAMPLE} }}"
            raise suite_error(file, loc, data, problem)
        kept, off = read_switched_off(table, common, loc, data, file)
        own_budgets = budgets_of(kept, loc, data, file, of_one_build=of_one_build)
        merged[name] = own_budgets.over(common, off)
    return merged


def teacher_budgets(data: Mapping[str, Any], file: str) -> VariantBudgets:
    """[budgets.teacher]: floors and ceilings of metrics, and drops since the baseline. Raises SuiteError."""
    prefix, table = ("budgets", "teacher"), data.get("budgets", {}).get("teacher", {})
    _refuse_value(table, "{ accuracy = { floor = 0.85 } }", prefix, data, file)
    quality: dict[str, tuple[QualityBudget, ...]] = {}
    for key, own in table.items():
        loc = (*prefix, key)
        if key != "baseline":
            quality[key] = _of_teacher(key, own, loc, data, file)
    since = table.get("baseline", {})
    _refuse_value(since, EXAMPLES["baseline"], (*prefix, "baseline"), data, file)
    baseline = _since_baseline(since, (*prefix, "baseline"), data, file)
    return VariantBudgets(quality, baseline=baseline)


def _of_teacher(key: str, table: Any, loc: Loc, data: Any, file: str) -> tuple[QualityBudget, ...]:
    takes = "the teacher takes a floor or a ceiling of a metric, and drops in [budgets.teacher.baseline]"
    if key in EXAMPLES:
        raise suite_error(file, loc, data, f"variants are held against the teacher here; {takes}")
    _refuse_metric(key, loc, data, file, [*known_metrics(), "baseline"])
    _refuse_value(table, "{ floor = 0.85 }", loc, data, file)
    _refuse_over(table, loc, data, file)
    for kind in QualityBudgetTable.model_fields.keys() - TeacherBudgetTable.model_fields.keys():
        if kind in table:
            raise suite_error(file, (*loc, kind), data, f"limits what is lost behind the teacher; {takes}")
    try:
        budgets = TeacherBudgetTable.model_validate(table).budgets()
    except ValidationError as error:
        raise from_validation(error, file, data, loc) from None
    _refuse_unsuited(key, budgets, loc, data, file)
    return budgets


def budgets_of(
    budgets: Mapping[str, Any], prefix: Loc, data: Any, file: str, *, of_one_build: bool = False
) -> VariantBudgets:
    """The budgets of the table that stands at `prefix` in the suite. Raises SuiteError."""
    quality: dict[str, tuple[QualityBudget, ...]] = {}
    slices: dict[str, SliceBudget] = {}
    named_slices: dict[SliceName, SliceBudget] = {}
    tokens: dict[str, tuple[LimitBudget, ...]] = {}
    baseline: dict[str, tuple[QualityBudget, ...]] = {}
    latency: LatencyBudgetTable | None = None
    size, flips, memory, flops = None, None, None, None
    for key, table in budgets.items():
        loc = (*prefix, key)
        if key in OF_ONE and len(prefix) == 1:
            continue
        _refuse(key, table, loc, data, file)
        try:
            if key == "size":
                size = SizeBudget.model_validate(table)
            elif key == "latency":
                latency = LatencyBudgetTable.model_validate(table)
            elif key == "memory":
                memory = MemoryBudget.model_validate(table)
            elif key == "flops":
                flops = FlopsBudget.model_validate(table)
            elif key == "flips":
                flips = FlipsBudget.model_validate(table)
            elif key == "slices":
                slices, named_slices = _slices(table, loc, data, file)
            elif key in TOKEN_TABLES:
                tokens[key] = TOKEN_TABLES[key].model_validate(table).budgets()
            elif key == "baseline":
                baseline = _since_baseline(table, loc, data, file)
            else:
                quality[key] = QualityBudgetTable.model_validate(table).budgets()
                _refuse_unsuited(key, quality[key], loc, data, file)
                if not of_one_build:
                    _check_builds(quality[key], loc, data, file)
        except ValidationError as error:
            raise from_validation(error, file, data, loc) from None
    return VariantBudgets(
        quality,
        size,
        latency.speed if latency else None,
        BehaviourBudgets(flips, slices, tokens, named_slices),
        memory,
        baseline,
        times=latency.times if latency else (),
        flops=flops,
        part_speeds=latency.part_speeds if latency else (),
    )


def budget_family(data: Mapping[str, Any], file: str) -> Family | None:
    """What [budgets] family names. Raises SuiteError."""
    family = data.get("budgets", {}).get("family")
    if family is not None and family != HOLM:
        raise suite_error(
            file, ("budgets", "family"), data, f'{format_value(family)} came, expected "{HOLM}"'
        )
    return None if family is None else HOLM


def baseline_table(data: Mapping[str, Any], file: str) -> BaselineTable:
    """What [budgets.baseline] says beside its budgets. Raises SuiteError."""
    table = data.get("budgets", {}).get("baseline", {})
    own = {key: table[key] for key in BaselineTable.model_fields if key in table}
    try:
        return BaselineTable.model_validate(own)
    except ValidationError as error:
        raise from_validation(error, file, data, ("budgets", "baseline")) from None


def _since_baseline(
    tables: Mapping[str, Any], prefix: Loc, data: Any, file: str
) -> dict[str, tuple[QualityBudget, ...]]:
    """[budgets.baseline]: by metric; of a variant's own the file is that of all."""
    found = {}
    for name, table in tables.items():
        loc = (*prefix, name)
        if name in BaselineTable.model_fields:
            if len(prefix) > 2:
                raise suite_error(
                    file, loc, data, "one baseline is for all variants; write it under [budgets.baseline]"
                )
            continue
        if name in EXAMPLES:
            problem = f"only metrics are held against the baseline, such as accuracy = {EXAMPLE}"
            raise suite_error(file, loc, data, problem)
        _refuse_metric(name, loc, data, file, [*known_metrics(), *BaselineTable.model_fields])
        _refuse_value(table, EXAMPLE, loc, data, file)
        _refuse_over(table, loc, data, file)
        for kind in {*QualityBudgetTable.model_fields} - {*BaselineBudgetTable.model_fields}:
            if kind in table:
                problem = "limits the value of now, whatever it was; write it under [budgets]"
                raise suite_error(file, (*loc, kind), data, problem)
        try:
            found[name] = BaselineBudgetTable.model_validate(table).budgets()
        except ValidationError as error:
            raise from_validation(error, file, data, loc) from None
        _refuse_unsuited(name, found[name], loc, data, file)
    return found


def _refuse_unsuited(name: str, budgets: Sequence[QualityBudget], loc: Loc, data: Any, file: str) -> None:
    """Raises where a metric cannot have a budget of this kind, or of this size."""
    metric = load_metric(name)
    if budgets and metric.correlated is not None and metric.correlated.kind == "pearson":
        raise suite_error(file, loc, data, NO_PASS)
    for budget in budgets:
        try:
            check_budget(metric, budget)
        except SuiteError as error:
            raise suite_error(file, loc, data, str(error)) from None


def _slices(
    tables: Mapping[str, Any], prefix: Loc, data: Any, file: str
) -> tuple[dict[str, SliceBudget], dict[SliceName, SliceBudget]]:
    """[budgets.slices]: by metric on every slice, and under COLUMN.VALUE by metric on that slice.

    A table of tables is a column: the table of a metric holds limits. reader.py checks the columns.
    """
    budgets, named = dict[str, SliceBudget](), dict[SliceName, SliceBudget]()
    for name, table in tables.items():
        loc = (*prefix, name)
        if not _holds_tables(table):
            budgets[name] = _slice_budget(name, table, loc, data, file)
            continue
        for value, by_metric in table.items():
            if not _holds_tables(by_metric):
                problem = f"expected metrics of the slice {value}, as in {{ accuracy = {EXAMPLE} }}"
                raise suite_error(file, (*loc, value), data, problem)
            for metric, limits in by_metric.items():
                place = (*loc, value, metric)
                named[SliceName(name, value, metric)] = _slice_budget(metric, limits, place, data, file)
    return budgets, named


def _holds_tables(table: Any) -> bool:
    return (
        isinstance(table, Mapping) and bool(table) and all(isinstance(one, Mapping) for one in table.values())
    )


def _slice_budget(metric: str, table: Any, loc: Loc, data: Any, file: str) -> SliceBudget:
    """A budget on a metric of 0/1 per row."""
    _refuse_metric(metric, loc, data, file, per_row_metrics())
    if load_metric(metric).per_row is None:
        raise suite_error(file, loc, data, NOT_PER_ROW)
    _refuse_value(table, EXAMPLE, loc, data, file)
    _refuse_over(table, loc, data, file)
    try:
        return SliceBudget.model_validate(table)
    except ValidationError as error:
        raise from_validation(error, file, data, loc) from None


def per_row_metrics() -> tuple[str, ...]:
    """slimgate's own metrics of 0/1 per row: those that slices can be judged by."""
    return tuple(name for name in known_metrics() if load_metric(name).per_row is not None)


def _refuse(key: str, table: Any, loc: Loc, data: Any, file: str) -> None:
    if key not in EXAMPLES:
        _refuse_metric(key, loc, data, file, [*known_metrics(), *EXAMPLES])
    _refuse_value(table, EXAMPLES.get(key, EXAMPLE), loc, data, file)
    if key in EXAMPLES:
        _refuse_over(table, loc, data, file)


def _refuse_over(table: Mapping[str, Any], loc: Loc, data: Any, file: str) -> None:
    """Raises where a budget that is of the first build alone says over what it is judged."""
    if OVER in table:
        takes = "only budgets on what a metric lost behind the teacher take it"
        problem = f"{format_value(table[OVER])} came, and {takes}; leave it out"
        raise suite_error(file, (*loc, OVER), data, problem)


def _check_builds(budgets: Sequence[QualityBudget], loc: Loc, data: Any, file: str) -> None:
    """Raises where a budget is over builds, and there are no two of them."""
    if all(one.over == "rows" for one in budgets):
        return
    if loc[0] == "tune":
        problem = '"builds" came, and a search judges one build of each variant; leave it out'
        raise suite_error(file, (*loc, OVER), data, problem)
    seeds = at(data, ("suite", "seeds"))
    if not isinstance(seeds, list | tuple) or len(seeds) < 2:
        came = "no seeds" if seeds is None else f"seeds = {format_value(seeds)}"
        problem = f'"builds" came, and [suite] has {came}; expected two or more, such as seeds = [0, 1, 2]'
        raise suite_error(file, (*loc, OVER), data, problem)


def _refuse_metric(name: str, loc: Loc, data: Any, file: str, near: Sequence[str]) -> None:
    if ":" in name:
        _refuse_own(name, loc, data, file)
    elif name not in known_metrics():
        raise suite_error(file, loc, data, f"no such metric{format_suggestion(name, near)}")


def _refuse_value(table: Any, example: str, loc: Loc, data: Any, file: str) -> None:
    if not isinstance(table, Mapping):
        raise suite_error(file, loc, data, f"{format_value(table)} came, expected a table, such as {example}")
    for kind, value in table.items():
        if value == OFF and kind != "reason":
            problem = '"off" came, expected a number; only [budgets.variants.NAME] switches a budget off'
            raise suite_error(file, (*loc, kind), data, problem)


def _refuse_own(name: str, loc: Loc, data: Any, file: str) -> None:
    """Raises where a dotted path names no metric."""
    try:
        load_metric(name)
    except SuiteError as error:
        raise suite_error(file, loc, data, str(error)) from error.__cause__

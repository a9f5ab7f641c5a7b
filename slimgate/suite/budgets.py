"""Reads [budgets] and resolves the budgets of each variant."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from slimgate._system.toml import format_value
from slimgate.errors import SuiteError, format_suggestion
from slimgate.judge.budget_kinds import QualityBudget, check_budget
from slimgate.judge.budget_tables import (
    NOT_PER_ROW,
    TOKEN_TABLES,
    BaselineBudgetTable,
    BehaviourBudgets,
    FlipsBudget,
    FlopsBudget,
    LimitBudget,
    MeasurementBudgetTable,
    MemoryBudget,
    QualityBudgetTable,
    SizeBudgetTable,
    SliceBudget,
    SliceName,
    TeacherBudgetTable,
)
from slimgate.judge.latency_budgets import LatencyBudgetTable
from slimgate.judge.metrics import list_known_metrics, load_metric
from slimgate.judge.metrics.registry import suggest_metric
from slimgate.plugins.loading import load
from slimgate.plugins.params import Table
from slimgate.results.checks import MEASUREMENTS
from slimgate.suite.errors import Loc, Place, convert_validation_error, find_value
from slimgate.suite.tables import BaselineTable
from slimgate.suite.variant_budgets import OFF, Family, VariantBudgets, read_switched_off

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
    MEASUREMENTS: f"{{ load_time = {MeasurementBudgetTable.example} }}",
}
T = TypeVar("T", bound=BaseModel)
HOLM: Family = "holm"
# The key that says what a verdict generalizes over: the rows alone, or the builds too.
OVER = "over"
# Keys of [budgets] that are not budgets for all variants.
NOT_COMMON = ("variants", "teacher", "family")


class _SingleTables(Table):
    """The keys of [budgets] whose value is one table of limits, without names of metrics."""

    size: SizeBudgetTable | None = None
    latency: LatencyBudgetTable | None = None
    memory: MemoryBudget | None = None
    flops: FlopsBudget | None = None
    flips: FlipsBudget | None = None


def resolve_budgets(
    data: Mapping[str, Any], variants: tuple[str, ...], file: str, *, without_builds: bool = False
) -> dict[str, VariantBudgets]:
    """Budgets by variant name: `[budgets.variants.X]` added to `[budgets]` by metric and kind.

    data: the whole suite as a mapping. without_builds: the caller drops budgets over builds, so the suite
    needs no seeds for them. Raises SuiteError for unknown metrics, variants and keys, and for a budget that
    is switched off without a reason.
    """
    budgets = data.get("budgets", {})
    common = read_budgets(budgets, ("budgets",), data, file, without_builds=without_builds)
    merged: dict[str, VariantBudgets] = dict.fromkeys(variants, common)
    for name, table in list_variant_tables(data, variants, file).items():
        loc = ("budgets", "variants", name)
        limits, off = read_switched_off(table, common.list_limits(), loc, data, file)
        variant_budgets = read_budgets(limits, loc, data, file, without_builds=without_builds)
        merged[name] = variant_budgets.add_to(common, off)
    return merged


def list_variant_tables(
    data: Mapping[str, Any], variants: Collection[str], file: str
) -> Mapping[str, Mapping[str, Any]]:
    """The tables [budgets.variants.NAME] by name. Raises SuiteError for a name that is no variant."""
    tables, parent = data.get("budgets", {}).get("variants", {}), Place(("budgets", "variants"), data, file)
    if not isinstance(tables, Mapping):
        problem = f"{format_value(tables)} was given, expected tables [budgets.variants.NAME]"
        raise parent.make_error(problem)
    for name, table in tables.items():
        place = parent.inside(name)
        if name == "teacher":
            raise place.make_error("the teacher is not a variant; write [budgets.teacher]")
        if name not in variants:
            raise place.make_error(f"no such variant{format_suggestion(name, variants)}")
        if not isinstance(table, Mapping):
            problem = f"{format_value(table)} was given, expected a table, such as {{ accuracy = {EXAMPLE} }}"
            raise place.make_error(problem)
    return tables


def read_teacher_budgets(data: Mapping[str, Any], file: str) -> VariantBudgets:
    """Reads [budgets.teacher]: floors and ceilings, and drops since the baseline. Raises SuiteError."""
    parent, table = Place(("budgets", "teacher"), data, file), data.get("budgets", {}).get("teacher", {})
    _check_is_table(table, "{ accuracy = { floor = 0.85 } }", parent)
    quality: dict[str, tuple[QualityBudget, ...]] = {}
    for key, limits in table.items():
        place = parent.inside(key)
        if key != "baseline":
            quality[key] = _read_teacher_limits(key, limits, place)
    baseline_place, baseline_table = parent.inside("baseline"), table.get("baseline", {})
    _check_is_table(baseline_table, EXAMPLES["baseline"], baseline_place)
    baseline = _read_baseline_budgets(baseline_table, baseline_place)
    return VariantBudgets(quality, baseline=baseline)


def _read_teacher_limits(key: str, table: Mapping[str, object], place: Place) -> tuple[QualityBudget, ...]:
    """The floor and the ceiling of a metric of the teacher. Raises SuiteError."""
    advice = "the teacher takes a floor or a ceiling of a metric, and drops in [budgets.teacher.baseline]"
    if key in EXAMPLES:
        raise place.make_error(f"variants are compared with the teacher here; {advice}")
    _check_metric(key, place, [*list_known_metrics(), "baseline"])
    _check_is_table(table, "{ floor = 0.85 }", place)
    _refuse_over_key(table, place)
    for kind in table:
        if kind in QualityBudgetTable.model_fields and kind not in TeacherBudgetTable.model_fields:
            raise place.inside(kind).make_error(f"limits the loss against the teacher; {advice}")
    budgets = _validate_table(TeacherBudgetTable, table, place).make_budgets()
    _check_suits_metric(key, budgets, place)
    return budgets


def read_budgets(
    budgets: Mapping[str, Any], prefix: Loc, data: object, file: str, *, without_builds: bool = False
) -> VariantBudgets:
    """Reads the budgets of the table that is at `prefix` in the suite. Raises SuiteError."""
    quality: dict[str, tuple[QualityBudget, ...]] = {}
    slices: dict[str, SliceBudget] = {}
    named_slices: dict[SliceName, SliceBudget] = {}
    tokens: dict[str, tuple[LimitBudget, ...]] = {}
    baseline: dict[str, tuple[QualityBudget, ...]] = {}
    measurements: dict[str, tuple[LimitBudget, ...]] = {}
    single: dict[str, Any] = {}
    parent = Place(prefix, data, file)
    for key, table in budgets.items():
        place = parent.inside(key)
        if key in NOT_COMMON and len(prefix) == 1:
            continue
        _check_table(key, table, place)
        if key in _SingleTables.model_fields:
            single[key] = table
        elif key == "slices":
            slices, named_slices = _read_slices(table, place)
        elif key in TOKEN_TABLES:
            tokens[key] = _validate_table(TOKEN_TABLES[key], table, place).make_budgets()
        elif key == "baseline":
            baseline = _read_baseline_budgets(table, place)
        elif key == MEASUREMENTS:
            measurements = _read_measurement_budgets(table, place)
        else:
            quality[key] = _read_metric_budgets(key, table, place, without_builds=without_builds)
    tables = _validate_table(_SingleTables, single, parent)
    size, latency = tables.size, tables.latency
    return VariantBudgets(
        quality=quality,
        size=size.compression if size else None,
        speed=latency.speed if latency else None,
        behaviour=BehaviourBudgets(tables.flips, slices, tokens, named_slices),
        memory=tables.memory,
        baseline=baseline,
        times=latency.times if latency else (),
        flops=tables.flops,
        part_speeds=latency.part_speeds if latency else (),
        quantized=size.quantized if size else None,
        measurements=measurements,
    )


def _read_metric_budgets(
    key: str, table: Mapping[str, object], place: Place, *, without_builds: bool
) -> tuple[QualityBudget, ...]:
    budgets = _validate_table(QualityBudgetTable, table, place).make_budgets()
    _check_suits_metric(key, budgets, place)
    if not without_builds:
        _check_seeds(budgets, place)
    return budgets


def _read_measurement_budgets(tables: Mapping[str, Any], parent: Place) -> dict[str, tuple[LimitBudget, ...]]:
    """The budgets of [budgets.measurements] by the name of the measurement. Raises SuiteError."""
    budgets = {}
    for name, table in tables.items():
        place = parent.inside(name)
        try:
            load("measurement", name)
        except SuiteError as error:
            raise place.make_error(str(error)) from None
        _check_is_table(table, MeasurementBudgetTable.example, place)
        _refuse_over_key(table, place)
        budgets[name] = _validate_table(MeasurementBudgetTable, table, place).make_budgets()
    return budgets


def read_family(data: Mapping[str, Any], file: str) -> Family | None:
    """The value of [budgets] family, or None. Raises SuiteError."""
    family = data.get("budgets", {}).get("family")
    if family is not None and family != HOLM:
        problem = f'{format_value(family)} was given, expected "{HOLM}"'
        raise Place(("budgets", "family"), data, file).make_error(problem)
    return None if family is None else HOLM


def read_baseline_table(data: Mapping[str, Any], file: str) -> BaselineTable:
    """The keys of [budgets.baseline] that are not budgets. Raises SuiteError."""
    table = data.get("budgets", {}).get("baseline", {})
    options = {key: table[key] for key in BaselineTable.model_fields if key in table}
    return _validate_table(BaselineTable, options, Place(("budgets", "baseline"), data, file))


def _read_baseline_budgets(tables: Mapping[str, Any], parent: Place) -> dict[str, tuple[QualityBudget, ...]]:
    """The budgets of [budgets.baseline] by metric. Only the table for all variants may name the file."""
    budgets = {}
    for name, table in tables.items():
        place = parent.inside(name)
        if name in BaselineTable.model_fields:
            if len(parent.loc) > 2:
                raise place.make_error("one baseline is for all variants; write it under [budgets.baseline]")
            continue
        if name in EXAMPLES:
            problem = f"only metrics are compared with the baseline, such as accuracy = {EXAMPLE}"
            raise place.make_error(problem)
        _check_metric(name, place, [*list_known_metrics(), *BaselineTable.model_fields])
        _check_is_table(table, EXAMPLE, place)
        _refuse_over_key(table, place)
        for kind in table:
            if kind in QualityBudgetTable.model_fields and kind not in BaselineBudgetTable.model_fields:
                problem = "limits the current value, whatever the baseline's was; write it under [budgets]"
                raise place.inside(kind).make_error(problem)
        budgets[name] = _validate_table(BaselineBudgetTable, table, place).make_budgets()
        _check_suits_metric(name, budgets[name], place)
    return budgets


def _check_suits_metric(name: str, budgets: Sequence[QualityBudget], place: Place) -> None:
    """Raises SuiteError if the metric cannot have a budget of this kind or size."""
    metric = load_metric(name)
    if budgets and metric.correlated is not None and metric.correlated.kind == "pearson":
        raise place.make_error(
            f"{name} takes no budget, which could never PASS: a few extreme answers can change pearson "
            "without limit; put the budget on spearman"
        )
    for budget in budgets:
        try:
            check_budget(metric, budget)
        except SuiteError as error:
            raise place.make_error(str(error)) from None


def _read_slices(
    tables: Mapping[str, Any], parent: Place
) -> tuple[dict[str, SliceBudget], dict[SliceName, SliceBudget]]:
    """Reads [budgets.slices]: by metric the budgets on every slice, then the budgets on single slices.

    A key is a column if its value contains only tables, as in COLUMN.VALUE.METRIC, and otherwise a metric.
    `check_slice_columns` checks that the suite slices by these columns.
    """
    slices: dict[str, SliceBudget] = {}
    named_slices: dict[SliceName, SliceBudget] = {}
    for name, table in tables.items():
        place = parent.inside(name)
        if not _has_only_tables(table):
            slices[name] = _read_slice_budget(name, table, place)
            continue
        for value, by_metric in table.items():
            if not _has_only_tables(by_metric):
                problem = f"expected metrics of the slice {value}, as in {{ accuracy = {EXAMPLE} }}"
                raise place.inside(value).make_error(problem)
            for metric, limits in by_metric.items():
                named_slices[SliceName(name, value, metric)] = _read_slice_budget(
                    metric, limits, place.inside(value, metric)
                )
    return slices, named_slices


def _has_only_tables(table: object) -> bool:
    """Whether a value is a table with at least one key, and all its values are tables."""
    return (
        isinstance(table, Mapping)
        and bool(table)
        and all(isinstance(value, Mapping) for value in table.values())
    )


def _read_slice_budget(metric: str, table: Any, place: Place) -> SliceBudget:
    """Reads a budget on slices, whose metric must be 0 or 1 for each row."""
    _check_metric(metric, place, list_per_row_metrics())
    if load_metric(metric).per_row is None:
        raise place.make_error(NOT_PER_ROW)
    _check_is_table(table, EXAMPLE, place)
    _refuse_over_key(table, place)
    return _validate_table(SliceBudget, table, place)


def list_per_row_metrics() -> tuple[str, ...]:
    """slimgate's metrics that are 0 or 1 for each row, by which slices can be judged."""
    return tuple(name for name in list_known_metrics() if load_metric(name).per_row is not None)


def _validate_table(table_class: type[T], table: object, place: Place) -> T:
    """Reads the table that is at `place`. Raises SuiteError for wrong keys and values."""
    try:
        return table_class.model_validate(table)
    except ValidationError as error:
        raise convert_validation_error(error, place.file, place.data, place.loc) from None


def _check_table(key: str, table: Any, place: Place) -> None:
    """Raises SuiteError if a key of [budgets] is unknown, or its value is no table of budgets."""
    if key not in EXAMPLES:
        _check_metric(key, place, [*list_known_metrics(), *EXAMPLES])
    _check_is_table(table, EXAMPLES.get(key, EXAMPLE), place)
    if key in EXAMPLES:
        _refuse_over_key(table, place)


def _refuse_over_key(table: Mapping[str, object], place: Place) -> None:
    """Raises SuiteError if a budget that is judged on the first build alone has the key `over`."""
    if OVER in table:
        advice = "only budgets on a metric's loss against the teacher take it"
        problem = f"{format_value(table[OVER])} was given, but {advice}; leave it out"
        raise place.inside(OVER).make_error(problem)


def _check_seeds(budgets: Sequence[QualityBudget], place: Place) -> None:
    """Raises SuiteError if a budget is over builds and the suite has fewer than two seeds."""
    if all(budget.over == "rows" for budget in budgets):
        return
    if place.loc[0] == "tune":
        problem = '"builds" was given, but a search judges one build of each variant; leave it out'
        raise place.inside(OVER).make_error(problem)
    seeds = find_value(place.data, ("suite", "seeds"))
    if not isinstance(seeds, list | tuple) or len(seeds) < 2:
        actual = "no seeds" if seeds is None else f"seeds = {format_value(seeds)}"
        problem = (
            f'"builds" was given, but [suite] has {actual}; expected two or more, such as seeds = [0, 1, 2]'
        )
        raise place.inside(OVER).make_error(problem)


def _check_metric(name: str, place: Place, known: Sequence[str]) -> None:
    """Raises SuiteError if there is no such metric. known: the names that the error may suggest."""
    if ":" in name:
        try:
            load_metric(name)
        except SuiteError as error:
            raise place.make_error(str(error)) from error.__cause__
    elif name not in list_known_metrics():
        raise place.make_error(f"no such metric{suggest_metric(name, known)}")


def _check_is_table(table: object, example: str, place: Place) -> None:
    """Raises SuiteError if `table` is no table, or has a budget that is switched off."""
    if not isinstance(table, Mapping):
        raise place.make_error(f"{format_value(table)} was given, expected a table, such as {example}")
    for kind, value in table.items():
        if value == OFF and kind != "reason":
            problem = '"off" was given, expected a number; only [budgets.variants.NAME] switches a budget off'
            raise place.inside(kind).make_error(problem)

"""Reads [measure]: the metrics to measure, the workloads to time, and the loads that servers are timed under.

Each function raises SuiteError for a table that the suite cannot use.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from slimgate.errors import SuiteError
from slimgate.judge.metrics import load_metric
from slimgate.outcomes import FAILED, RIGHT
from slimgate.plugins.workloads import END_TO_END, LOAD_PARTS, TPOT, TTFT, Load, Phase, ServiceLevel, Workload
from slimgate.suite.budgets import EXAMPLES
from slimgate.suite.checks import refuse_repeated
from slimgate.suite.errors import Loc
from slimgate.suite.named_plugin import SuiteTask
from slimgate.suite.step_checks import ErrorAt
from slimgate.suite.tables import MeasureTable
from slimgate.suite.variant_budgets import VariantBudgets

DEFAULT_WORKLOADS = (Workload(1), Workload(32))
_FUNCTION = (
    ": it is a function of one answer, which [task] scores of text_generation takes; make it a function of "
    'all answers and their weights, and name NAME = slimgate.Metric(statistic=FUNCTION, …) instead ("Your '
    'own metric" in docs/own_step.md has an example)'
)


def read_metrics(
    table: MeasureTable,
    budgets: Mapping[str, VariantBudgets],
    task: SuiteTask,
    error_at: ErrorAt,
    *,
    served: bool,
) -> tuple[str, ...]:
    """The metrics to measure, then those that only a budget names. served: some model is an endpoint."""
    stated = task.object.default_metrics_with(task.params) if table.metrics is None else table.metrics
    if served and FAILED in task.object.provides():
        stated = tuple(dict.fromkeys((*stated, FAILED)))
    budgeted = _list_budgeted_metrics(budgets)
    provided = task.object.provides_with(task.params)
    for i, name in enumerate(stated):
        _check_metric(name, ("measure", "metrics", i), task, provided, error_at)
    for name, loc in budgeted.items():
        _check_metric(name, loc, task, provided, error_at)
    _check_behaviour(budgets, task, provided, error_at)
    if not stated and not budgeted:
        problem = "[] was given and no budget names a metric; expected at least one metric"
        raise error_at(("measure", "metrics"), problem)
    return tuple(dict.fromkeys(str(name) for name in (*stated, *budgeted)))


def _check_metric(name: str, loc: Loc, task: SuiteTask, provided: frozenset[str], error_at: ErrorAt) -> None:
    try:
        metric = load_metric(name)
    except SuiteError as error:
        problem = str(error)
        if name in EXAMPLES:
            problem = f'"{name}" is not a metric; it is a key of [budgets]: {name} = {EXAMPLES[name]}'
        raise error_at(loc, problem) from error.__cause__
    if metric.needs not in provided:
        known = f': it needs "{metric.needs}", and the task has {", ".join(sorted(provided))}'
        hint = _FUNCTION if metric.name == name and ":" in name else known
        raise error_at(loc, f'"{name}" does not fit the outcomes of task {task.name}{hint}')


def _check_behaviour(
    budgets: Mapping[str, VariantBudgets], task: SuiteTask, provided: frozenset[str], error_at: ErrorAt
) -> None:
    """Raises SuiteError for a budget on flips, the next token or slices that the task cannot have."""
    limits = [variant_budgets.behaviour for variant_budgets in budgets.values()]
    if any(of_variant.flips for of_variant in limits) and not {"prediction", RIGHT} & provided:
        problem = f"rows of task {task.name} are neither right nor wrong, so none can flip"
        raise error_at(("budgets", "flips"), problem)
    for name in (name for of_variant in limits for name in of_variant.tokens):
        if not task.object.next_token:
            problem = f"is of the next token, which task {task.name} does not predict"
            raise error_at(("budgets", name), problem)
    for name in (name for of_variant in limits for name in of_variant.sliced_metrics):
        if load_metric(name).needs not in provided:
            problem = f'"{name}" does not fit the outcomes of task {task.name}'
            raise error_at(("budgets", "slices", name), problem)


def read_loads(table: MeasureTable, error_at: ErrorAt) -> tuple[Load, ...]:
    """The loads that servers are timed under, once for each timed part. Raises for a duplicate load."""
    tested_loads = [
        Load(
            load.concurrency,
            load.request_rate,
            load.requests,
            load.blocks,
            level=None if load.service_level is None else ServiceLevel(**load.service_level.model_dump()),
        )
        for load in table.loads
    ]
    refuse_repeated([load.id for load in tested_loads], ("measure", "loads"), error_at)
    return tuple(replace(load, part=part) for load in tested_loads for part in LOAD_PARTS)


def read_workloads(table: MeasureTable, error_at: ErrorAt) -> tuple[Workload, ...]:
    """The calls that are timed: each workload with its phases. Raises for a duplicate workload."""
    workloads: Sequence[Workload] = DEFAULT_WORKLOADS
    if table.workloads is not None:
        workloads = [Workload(w.batch, w.tokens, w.prompt_tokens, w.new_tokens) for w in table.workloads]
        refuse_repeated(workloads, ("measure", "workloads"), error_at)
    if not workloads:
        problem = "[] was given, expected at least one workload, such as { batch = 1 }"
        raise error_at(("measure", "workloads"), problem)
    return tuple(
        phase for workload in workloads for phase in _list_phases(workload, end_to_end=table.end_to_end)
    )


def _list_budgeted_metrics(budgets: Mapping[str, VariantBudgets]) -> dict[str, Loc]:
    """The metrics with a budget, and where the file has it."""
    places: dict[str, Loc] = {}
    for of_variant in budgets.values():
        for name in (*of_variant.quality, *of_variant.baseline):
            places[name] = ("budgets", *(() if name in of_variant.quality else ("baseline",)), name)
    return places


def _list_phases(workload: Workload, *, end_to_end: bool) -> tuple[Workload, ...]:
    """If the workload writes: the whole answer, then its phases; else the forward pass, then end to end."""
    phases: tuple[Phase, ...] = (END_TO_END,) if end_to_end else ()
    if workload.writes:
        phases = (TTFT, TPOT)
    return (workload, *(replace(workload, phase=phase) for phase in phases))

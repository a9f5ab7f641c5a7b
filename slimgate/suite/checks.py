"""Checks that the models, steps, rows and budgets of a suite fit each other, before any model is built."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from slimgate._system.toml import format_toml_key
from slimgate.errors import SlimgateError, SuiteError, format_suggestion
from slimgate.judge.budget_tables import LABEL, LimitBudget
from slimgate.judge.call_times import count_fewest_rounds
from slimgate.judge.latency_budgets import GOODPUT, PART_OF, SpeedBudget, is_limit_on_part
from slimgate.models.hub import fetch_settings
from slimgate.models.model_ref import read_config
from slimgate.models.weight_shares import KINDS_WITH_SHARES
from slimgate.plugins.loading import load_plugins
from slimgate.plugins.task import Task
from slimgate.plugins.workloads import END_TO_END
from slimgate.results.checks import LATENCY, MEASUREMENTS, TEACHER
from slimgate.suite.cascade_table import FROM_SELECTION, CascadeTable
from slimgate.suite.errors import Loc
from slimgate.suite.step_checks import ErrorAt, ModelWalk, find_origins
from slimgate.suite.suite import Suite, TaskSetup
from slimgate.suite.tables import LENGTH_BUCKET
from slimgate.suite.variant_budgets import SIZE, VariantBudgets

# Outcomes that a task must have before its models can form a cascade.
CLASS_SCORES = frozenset({"prediction", "probabilities"})


def refuse_repeated(values: Sequence[object], loc: Loc, error_at: ErrorAt) -> None:
    """Raises for a value of a list that an earlier place of the list has too. loc: of the list."""
    for i, value in enumerate(values):
        if (first := values.index(value)) < i:
            raise error_at((*loc, i), f"the same as {loc[-1]}[{first}]")


def check_cascades(suite: Suite, error_at: ErrorAt) -> None:
    """Raises if a cascade cannot work: no class probabilities, or no rows to choose thresholds on."""
    for name, variant in suite.variants.items():
        if variant.cascade is not None:
            _check_cascade(suite, name, variant.cascade, error_at)


def _check_cascade(suite: Suite, name: str, table: CascadeTable, error_at: ErrorAt) -> None:
    task, loc = suite.setup.task, ("variants", name, "cascade")
    if not (_can_have_class_scores(task.object) and task.object.provides_with(task.params) >= CLASS_SCORES):
        able = ", ".join(
            kind for kind, plugin in load_plugins("task").items() if _can_have_class_scores(plugin)
        )
        problem = (
            f"task {task.name} has no class probabilities for a whole row, which a cascade needs; tasks "
            f"for cascades: {able}"
        )
        raise error_at(loc, problem)
    for other in table.models:
        problem = ""
        if other == name:
            problem = f'"{other}" is the cascade itself; name the models that it is made of'
        elif suite.model(other).cascade is not None:
            problem = f'"{other}" is a cascade too; name its models here: a cascade may have three or more'
        elif suite.model(other).is_endpoint:
            problem = f'"{other}" is an endpoint, which gives no class probabilities; name a model'
        if problem:
            raise error_at((*loc, "models"), problem)
    if table.reads_selection and suite.setup.sizes.selection == 0:
        rows = (
            "chosen on rows of the split selection, and [task] splits.selection = 0 was given; give it rows"
        )
        if table.ensemble:
            other = "leave ensemble out"
            if table.threshold == FROM_SELECTION:
                other += " and give threshold = 0.9"
            raise error_at((*loc, "ensemble"), f"its weights are {rows}, or {other}")
        raise error_at((*loc, "threshold"), f"is {rows}, or give threshold = 0.9")


def _can_have_class_scores(task: Task[Any]) -> bool:
    """Whether one forward pass gives the probabilities of a whole row: the task adds no method."""
    methods = ("read_output", "row_encoder")
    is_plain = all(getattr(type(task), method) is getattr(Task, method) for method in methods)
    return task.provides() >= CLASS_SCORES and task.answer is None and is_plain


def check_goodput(suite: Suite, error_at: ErrorAt) -> None:
    """Raises if good requests have a budget and no load defines a good request."""
    if any(load.level is not None for load in suite.loads):
        return
    if any(budget.kind == GOODPUT for budgets in suite.budgets.values() for budget in budgets.times):
        example = "{ concurrency = 8, service_level = { ttft_ms = 200, tpot_ms = 30 } }"
        problem = f"needs a load that defines a good request; give [measure] loads = [{example}]"
        raise error_at(("budgets", LATENCY, GOODPUT), problem)


def check_endpoints(suite: Suite, error_at: ErrorAt) -> None:
    """Raises if the suite needs what a server cannot give: weights to change, or a model's scores."""
    task, names = suite.setup.task, suite.endpoints
    if names and not task.object.takes_endpoints:
        table = (TEACHER,) if names[0] == TEACHER else ("variants", names[0])
        able = ", ".join(name for name, plugin in load_plugins("task").items() if plugin.takes_endpoints)
        problem = (
            f"task {task.name} needs the model itself, and an endpoint gives only text; tasks for endpoints: "
            f"{able}"
        )
        raise error_at((*table, "endpoint"), problem)
    if suite.loads and not suite.loaded:
        problem = "are for servers: the teacher and a variant need endpoint = { url, model }"
        raise error_at(("measure", "loads"), problem)
    for name, variant in suite.variants.items():
        if variant.ref is None and (variant.parent or TEACHER) in names:
            problem = (
                f"starts from {variant.parent or TEACHER}, which is an endpoint: a server's model cannot be "
                "changed here; name a model = … to start from"
            )
            raise error_at(("variants", name), problem)
        if names:
            _check_endpoint_budgets(suite, name, error_at)


def _check_endpoint_budgets(suite: Suite, name: str, error_at: ErrorAt) -> None:
    """Raises if a budget limits a quantity that is not measured on an endpoint."""
    budgets, variant = suite.budgets.get(name), suite.variants[name]
    endpoints = [model for model in (TEACHER, name) if suite.model(model).is_endpoint]
    if budgets is None or not endpoints or not variant.gated:
        return
    unmeasured: Sequence[SpeedBudget | LimitBudget] = budgets.on_times
    if suite.is_loaded(name):
        measured = {limit.kind for load in suite.loads for limit in budgets.find_time_budgets(load)}
        unmeasured = [limit for limit in budgets.times if limit.kind not in measured]
    timed: list[tuple[str, Any]] = [(LATENCY, limit) for limit in unmeasured]
    sized = [(SIZE, budgets.size), (SIZE, budgets.quantized), ("memory", budgets.memory)]
    by_key = [((key,), budget) for key, budget in (*timed, *sized, ("flops", budgets.flops))]
    for path, budget in (*by_key, *_list_measurement_budgets(budgets)):
        if budget is not None:
            off = _switch_off(path, budget.kind, f"{endpoints[0]} is an endpoint")
            problem = (
                f"{endpoints[0]} is an endpoint, and slimgate cannot measure its files, calls and memory; "
                f"switch the budget off: [budgets.variants.{name}] {off}"
            )
            raise error_at(("budgets", *path), problem)


def _list_measurement_budgets(budgets: VariantBudgets) -> list[tuple[tuple[str, ...], LimitBudget]]:
    """The place under [budgets] of each budget on the figure of a measurement, and the budget."""
    return [
        ((MEASUREMENTS, figure), limit) for figure, limits in budgets.measurements.items() for limit in limits
    ]


def _switch_off(path: Sequence[str], kind: str, reason: str) -> str:
    """The line under [budgets.variants.NAME] that switches off the budget at a place under [budgets]."""
    return f'{".".join(map(format_toml_key, path))} = {{ {kind} = "off", reason = "{reason}" }}'


def check_can_ask(suite: Suite, names: Iterable[str]) -> None:
    """Raises, before any model is built, if the endpoint of a variant or of the teacher cannot be used."""
    for name in (TEACHER, *names):
        variant = suite.model(name)
        if variant.is_endpoint:
            table = TEACHER if name == TEACHER else f"variants.{name}"
            try:
                variant.runtime.params.check_can_ask()
            except SlimgateError as error:
                raise type(error)(f"{suite.shown} [{table}] endpoint: {error}") from error


def check_models(suite: Suite, error_at: ErrorAt, *, folders: bool) -> None:
    """Checks each model's steps: a step must take the kind of model before it, and fit the model's shape.

    folders: also read config.json in the folders that models start from.
    """
    walk = ModelWalk(suite, error_at, folders)
    for name in suite.models:
        state, runtime = walk.find_state(name), suite.model(name).runtime
        loc: Loc = (TEACHER,) if name == TEACHER else ("variants", name, "runtime")
        if state.kind not in runtime.object.kinds:
            kinds = ", ".join(sorted(runtime.object.kinds))
            raise error_at(
                loc, f"{runtime.name} cannot execute an artifact of kind {state.kind}, only of {kinds}"
            )
        weights = suite.find_weight_format(name)
        if weights is not None and not (runtime.object.unpacks or weights in runtime.object.formats):
            formats = ", ".join(sorted(runtime.object.formats)) or "floating point"
            raise error_at(loc, f"{runtime.name} cannot execute weights in {weights}, expected {formats}")
        if name != TEACHER:
            _check_timed_budgets(suite, name, error_at)
            _check_flops_budget(suite, name, error_at)
            _check_quantized_budget(suite, name, state.kind, error_at)


def _check_timed_budgets(suite: Suite, name: str, error_at: ErrorAt) -> None:
    """Raises if a budget limits times, memory or another figure of a model whose weights are unpacked."""
    budgets, variant = suite.budgets.get(name), suite.variants[name]  # a variant to be tuned has none yet
    if budgets is None or suite.is_dueled(name) or suite.is_loaded(name) or not variant.gated:
        return
    kinds: list[tuple[tuple[str, ...], str]] = [((LATENCY,), budget.kind) for budget in budgets.on_times]
    if budgets.memory is not None:
        kinds.append((("memory",), budgets.memory.kind))
    kinds += [(path, limit.kind) for path, limit in _list_measurement_budgets(budgets)]
    if not kinds:
        return
    path, kind = kinds[0]
    unpacked = name if suite.is_unpacked(name) else TEACHER
    off = _switch_off(path, kind, "judged by its answers alone")
    problem = (
        f"{unpacked} has quantized weights that are unpacked to floating point, so its {path[-1]} would not "
        f"be that of its format; switch the budget off: [budgets.variants.{name}] {off}"
    )
    raise error_at(("budgets", *path), problem)


def _check_flops_budget(suite: Suite, name: str, error_at: ErrorAt) -> None:
    """Raises if a budget limits operations and the model's runtime cannot count them."""
    budgets, variant = suite.budgets.get(name), suite.variants[name]
    if budgets is None or budgets.flops is None or not variant.gated:
        return
    for model_name in (TEACHER, name):
        runtime = suite.model(model_name).runtime
        if not runtime.object.counts_macs:
            off = f'flops = {{ {budgets.flops.kind} = "off", reason = "not counted" }}'
            problem = (
                f"runtime {runtime.name} of {model_name} does not count operations; switch the budget off: "
                f"[budgets.variants.{name}] {off}"
            )
            raise error_at(("budgets", "flops"), problem)


def _check_quantized_budget(suite: Suite, name: str, kind: str, error_at: ErrorAt) -> None:
    """Raises if a budget limits the precision of weights in files whose headers do not say it."""
    budgets, variant = suite.budgets.get(name), suite.variants[name]
    if budgets is None or budgets.quantized is None or not variant.gated or kind in KINDS_WITH_SHARES:
        return
    off = f'{SIZE} = {{ {budgets.quantized.kind} = "off", reason = "kind {kind}" }}'
    problem = (
        f"{name} is an artifact of kind {kind}, whose precision is not read; switch the budget off: "
        f"[budgets.variants.{name}] {off}"
    )
    raise error_at(("budgets", SIZE), problem)


def check_rounds(suite: Suite, error_at: ErrorAt) -> None:
    """Raises if [measure] allows fewer rounds, or requests of a load, than a budget on times needs."""
    for name, budgets in suite.budgets.items():
        for budget in budgets.times:
            least = count_fewest_rounds(budget.kind)
            if suite.is_loaded(name):
                _check_load_requests(suite, budget.kind, least, error_at)
            elif suite.measure.rounds < least:
                problem = (
                    f"{suite.measure.rounds} was given, expected at least {least} for a budget {budget.kind}"
                )
                raise error_at(("measure", "rounds"), problem)


def _check_load_requests(suite: Suite, kind: str, least: int, error_at: ErrorAt) -> None:
    for i, table in enumerate(suite.measure.loads):
        sent = table.blocks if kind == GOODPUT else table.requests * table.blocks
        if sent < least:
            unit = "blocks" if kind == GOODPUT else "requests times blocks"
            problem = f"{sent} {unit} was given, expected at least {least} for a budget {kind}"
            raise error_at(("measure", "loads", i), problem)


def check_writing(suite: Suite, error_at: ErrorAt) -> None:
    """Raises if answers are to be timed and the task or runtime writes none, or a budget has no workload."""
    task = suite.setup.task
    has_writing = any(workload.writes for workload in suite.workloads) or bool(suite.loads)
    tables = suite.measure.workloads or ()
    for i, table in enumerate(tables if not task.object.writes else ()):
        if table.prompt_tokens is not None:
            able = ", ".join(name for name, plugin in load_plugins("task").items() if plugin.writes)
            problem = f"task {task.name} writes no answers; tasks that do: {able}"
            raise error_at(("measure", "workloads", i, "prompt_tokens"), problem)
    for name, budgets in suite.budgets.items():
        answer_kinds = (
            budget.kind for budget in budgets.on_times if PART_OF.get(budget.kind, END_TO_END) != END_TO_END
        )
        unasked = [] if has_writing else list(answer_kinds)
        if unasked:
            example = "{ prompt_tokens = 128, new_tokens = 64, batch = 1 }"
            problem = f"needs a workload that writes; give [measure] workloads = [{example}]"
            raise error_at(("budgets", LATENCY, unasked[0]), problem)
        _check_writing_budgets(suite, name, error_at)


def check_end_to_end(suite: Suite, error_at: ErrorAt) -> None:
    """Raises if calls are to be timed end to end and the task cannot, or [measure] does not enable it."""
    task = suite.setup.task
    if suite.measure.end_to_end and not task.object.end_to_end:
        able = ", ".join(name for name, plugin in load_plugins("task").items() if plugin.end_to_end)
        problem = (
            f"true was given, but a row of task {task.name} is not text that one forward pass answers; "
            f"tasks that are timed end to end: {able}"
        )
        raise error_at(("measure", "end_to_end"), problem)
    if suite.measure.end_to_end:
        return
    for budgets in suite.budgets.values():
        unasked = [budget.kind for budget in budgets.on_times if PART_OF.get(budget.kind) == END_TO_END]
        if unasked:
            problem = "needs calls that are timed end to end; give [measure] end_to_end = true"
            raise error_at(("budgets", LATENCY, unasked[0]), problem)


def _check_writing_budgets(suite: Suite, name: str, error_at: ErrorAt) -> None:
    """Raises if a budget limits text generation and the variant's or teacher's runtime cannot time it."""
    variant_budgets, variant = suite.budgets[name], suite.variants[name]
    if not variant.gated or not suite.is_dueled(name):
        return
    for workload in suite.workloads:
        budgets = [
            budget for budget in variant_budgets.on_times if is_limit_on_part(budget.kind, workload.part)
        ]
        untimed = next(
            (
                model_name
                for model_name in (TEACHER, name)
                if workload not in suite.list_timed_workloads(model_name)
            ),
            None,
        )
        if untimed is not None and budgets:
            runtime, kind = suite.model(untimed).runtime.name, budgets[0].kind
            able = ", ".join(name for name, plugin in load_plugins("runtime").items() if plugin.times_writing)
            off = f'{kind} = "off", reason = "runtime {runtime}"'
            problem = (
                f"runtime {runtime} of {untimed} writes no answers that can be timed, but {able} do. "
                "Give one of them, or switch the budget off: "
                f"[budgets.variants.{name}] {LATENCY} = {{ {off} }}"
            )
            raise error_at(("budgets", LATENCY, kind), problem)


def check_hub_models(suite: Suite, names: Iterable[str]) -> None:
    """Looks up the hub models that these variants and the teacher start from, before any is built.

    Only their configurations are fetched. Raises SuiteError for the first that is missing or does not fit.
    """
    task = suite.setup.task
    for name in _add_origins(suite, names):
        ref = suite.model(name).ref
        if ref is None or ref.hub_id is None:
            continue
        try:
            folder = fetch_settings(ref)
            task.object.check_model(task.params, ref, read_config(folder), None)
        except SlimgateError as error:
            table = TEACHER if name == TEACHER else f"variants.{name}"
            raise SuiteError(f"{suite.shown} [{table}] model: {error}") from error


def _add_origins(suite: Suite, names: Iterable[str]) -> list[str]:
    """The teacher, the variants, and all variants that these are built from or learn from."""
    models, todo = dict.fromkeys([TEACHER]), list(names)
    while todo:
        name = todo.pop(0)
        if name not in models:
            models[name] = None
            todo += [origin for origin, _ in find_origins(suite.model(name))]
    return list(models)


def check_slice_columns(suite: Suite, error_at: ErrorAt) -> None:
    """Raises if a budget names a slice of a column that the suite does not slice by."""
    columns = (LABEL, *suite.setup.slices)
    label = suite.setup.task.object.label_column(suite.setup.task.params)
    for column in dict.fromkeys(
        name.column for budgets in suite.budgets.values() for name in budgets.behaviour.named_slices
    ):
        if column not in columns:
            hint = format_suggestion(column, columns)
            problem = f"results are not sliced by this column; name it in [task] slices{hint}"
            if column == label:
                problem = f"the slices of the labels are called {LABEL}: write [budgets.slices.{LABEL}.VALUE]"
            raise error_at(("budgets", "slices", column), problem)


def check_columns(setup: TaskSetup, error_at: ErrorAt) -> None:
    """Raises if the rows' files are missing, or lack a column that the task reads."""
    try:
        columns = setup.source.object.columns(setup.source.params)
    except SlimgateError as error:
        raise error_at(("task", "source"), str(error)) from None
    if columns is None:
        return
    if isinstance(columns, str) or not isinstance(columns, Collection):
        problem = (
            f"{setup.source.name}: its method columns gave {columns!r}, expected a tuple of names or None"
        )
        raise error_at(("task", "source"), problem)
    required = setup.task.object.columns(setup.task.params)
    for column in (*required, *([setup.group] if setup.group else [])):
        if column not in columns:
            raise error_at(
                ("task",), f'the rows have no column "{column}"{format_suggestion(column, columns)}'
            )
    sliced = (*columns, LENGTH_BUCKET)
    for i, column in enumerate(setup.slices):
        if column not in sliced:
            problem = f'the rows have no column "{column}"{format_suggestion(column, sliced)}'
            raise error_at(("task", "slices", i), problem)

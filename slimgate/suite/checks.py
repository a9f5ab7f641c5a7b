"""What a suite says of its models and rows, held against the folders and files that it names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from slimgate.compress.training.transfer_params import row_file, text_columns_of
from slimgate.data.row_files import columns_of
from slimgate.errors import SlimgateError, SuiteError, format_suggestion
from slimgate.judge.budget_tables import GOODPUT, PART_OF, LimitBudget, SpeedBudget, limits_part
from slimgate.judge.call_times import rounds_for
from slimgate.judge.slices import LABEL
from slimgate.loading import own_object, plugins
from slimgate.models.config import longest_text
from slimgate.models.families import check_family
from slimgate.models.hub import fetch_settings
from slimgate.models.model_ref import model_config, read_config
from slimgate.models.quantized_files import CHECKPOINTS
from slimgate.protocols import CALIBRATION, END_TO_END, UNLABELLED, ModelRef, Task
from slimgate.runtimes import eager
from slimgate.suite.errors import Loc
from slimgate.suite.suite import SELF, TEACHER, Suite, SuiteStep, SuiteTask, TaskSetup, Variant
from slimgate.suite.tables import FROM_SELECTION, LENGTH_BUCKET, CascadeTable
from slimgate.suite.variant_budgets import LATENCY

ErrorAt = Callable[[Loc, str], SuiteError]
Config = dict[str, Any]
# What the outcomes of a task hold whose models can make a cascade.
CLASS_SCORES = frozenset({"prediction", "probabilities"})


def no_cycle(variants: Mapping[str, Variant], error_at: ErrorAt) -> None:
    """Raises where a variant is built from itself, or learns from itself, directly or through others."""
    for name, variant in variants.items():
        for origin, loc in _origins(variant):
            if path := _path(variants, origin, name):
                raise error_at(("variants", name, *loc), f"a cycle: {' -> '.join([name, *path])}")


def known_teachers(variants: Mapping[str, Variant], error_at: ErrorAt) -> None:
    """Raises where a step learns from a variant that there is not."""
    for name, variant in variants.items():
        for origin, loc in _origins(variant):
            if origin not in variants:
                hint = format_suggestion(origin, {TEACHER, SELF, *variants})
                raise error_at(("variants", name, *loc), f'"{origin}": no such variant{hint}')


def _origins(variant: Variant) -> list[tuple[str, Loc]]:
    """The variants that a variant needs built first, and where it says so."""
    found: list[tuple[str, Loc]] = []
    if variant.parent not in (None, TEACHER):
        found.append((str(variant.parent), ("from",)))
    for i, step in enumerate(variant.steps):
        for name in step.teachers:
            if name not in (TEACHER, SELF):
                found.append((name, ("steps", i, step.name, _key(step, name))))
    for name in variant.cascade.models if variant.cascade else ():
        if name != TEACHER:
            found.append((name, ("cascade", "models")))
    return found


class _Change(NamedTuple):
    """A step of a model that gave it another kind. given: the kind before."""

    step: str
    model: str
    given: str


def _wrong_kind(kind: str, takes: Iterable[str], name: str, changes: Sequence[_Change]) -> str:
    """name: of the model whose step takes none of this kind; changes: how the kind came about."""
    problem = f"cannot take an artifact of kind {kind}, expected {' or '.join(sorted(takes))}"
    if kind in CHECKPOINTS:
        return f"{problem}: the model is quantized already; start from the model before it was quantized"
    if change := next((one for one in reversed(changes) if one.given in takes), None):
        of = "" if change.model == name else f", a step of {change.model}"
        return f"{problem}: put it before {change.step}{of}"
    between = [name for name, one in plugins("method").items() if one.gives in takes and kind in one.takes]
    return f"{problem}: put {between[0]} before it" if len(between) == 1 else problem


def _key(step: SuiteStep, name: str) -> str:
    """The option that names a model which the step learns from."""
    return "teacher" if name == step.teacher else "more_teachers"


def _path(variants: Mapping[str, Variant], start: str, end: str) -> list[str]:
    """Names from one variant to another, over what each needs built first; empty where no way leads there."""
    todo, seen = [[start]], {start}
    while todo:
        path = todo.pop()
        if path[-1] == end:
            return path
        for origin, _ in _origins(variants[path[-1]]):
            if origin not in seen or origin == end:
                seen.add(origin)
                todo.append([*path, origin])
    return []


def check_cascades(suite: Suite, error_at: ErrorAt) -> None:
    """Raises where a cascade's models cannot pass rows on: they have no class probabilities, or no rows."""
    for name, variant in suite.variants.items():
        if variant.cascade is not None:
            _check_cascade(suite, name, variant.cascade, error_at)


def _check_cascade(suite: Suite, name: str, table: CascadeTable, error_at: ErrorAt) -> None:
    task, here = suite.setup.task, ("variants", name, "cascade")
    if not _gives_class_scores(task):
        able = ", ".join(own for own, one in plugins("task").items() if _may_give_class_scores(one))
        problem = (
            f"task {task.name} has no class probabilities for a whole row, by which a model is sure; tasks "
            f"for cascades: {able}"
        )
        raise error_at(here, problem)
    for other in table.models:
        problem = ""
        if other == name:
            problem = f'"{other}" is the cascade itself; name the models that it is made of'
        elif suite.model(other).cascade is not None:
            problem = f'"{other}" is a cascade too; name its models here: a cascade may have three or more'
        elif suite.model(other).is_endpoint:
            problem = f'"{other}" is an endpoint, which gives no class probabilities; name a model'
        if problem:
            raise error_at((*here, "models"), problem)
    if table.reads_selection and suite.setup.sizes.selection == 0:
        rows = "chosen on rows of the split selection, and [task] splits.selection = 0 came; give it rows"
        if table.ensemble:
            other = "leave ensemble out"
            if table.threshold == FROM_SELECTION:
                other += " and give threshold = 0.9"
            raise error_at((*here, "ensemble"), f"its weights are {rows}, or {other}")
        raise error_at((*here, "threshold"), f"is {rows}, or give threshold = 0.9")


def _gives_class_scores(task: SuiteTask) -> bool:
    """Whether a row is text, and one call gives a score for each of its classes."""
    return _may_give_class_scores(task.object) and task.object.needs(task.params) >= CLASS_SCORES


def _may_give_class_scores(task: Task[Any]) -> bool:
    plain = (getattr(type(task), name) is getattr(Task, name) for name in ("read_output", "row_encoder"))
    return task.metrics() >= CLASS_SCORES and task.answer is None and all(plain)


def check_goodput(suite: Suite, error_at: ErrorAt) -> None:
    """Raises where good requests have a budget, and no load says what a good request is."""
    if any(one.level is not None for one in suite.loads):
        return
    if any(one.kind == GOODPUT for own in suite.budgets.values() for one in own.times):
        example = "{ concurrency = 8, service_level = { ttft_ms = 200, tpot_ms = 30 } }"
        problem = f"needs a load that says what a good request is; give [measure] loads = [{example}]"
        raise error_at(("budgets", LATENCY, GOODPUT), problem)


def check_endpoints(suite: Suite, error_at: ErrorAt) -> None:
    """Raises where a server is asked for what it cannot give: weights to change, or scores of a model."""
    task, names = suite.setup.task, suite.endpoints
    if names and not task.object.takes_endpoints:
        table = (TEACHER,) if names[0] == TEACHER else ("variants", names[0])
        able = ", ".join(name for name, one in plugins("task").items() if one.takes_endpoints)
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
            _check_budgets_beside_endpoint(suite, name, error_at)


def _check_budgets_beside_endpoint(suite: Suite, name: str, error_at: ErrorAt) -> None:
    """Raises where a budget is on what an endpoint does not have."""
    own, variant = suite.budgets.get(name), suite.variants[name]
    which = [one for one in (TEACHER, name) if suite.model(one).is_endpoint]
    if own is None or not which or not variant.gated:
        return
    unmeasured: Sequence[SpeedBudget | LimitBudget] = own.on_times
    if name in suite.loaded:
        measured = {one.kind for load in suite.loads for one in own.times_of(load)}
        unmeasured = [one for one in own.times if one.kind not in measured]
    given: list[tuple[str, Any]] = [(LATENCY, one) for one in unmeasured]
    for key, budget in (*given, ("size", own.size), ("memory", own.memory), ("flops", own.flops)):
        if budget is not None:
            off = f'{key} = {{ {budget.kind} = "off", reason = "{which[0]} is an endpoint" }}'
            problem = (
                f"{which[0]} is an endpoint, of which files, calls and memory are not measured; switch the "
                f"budget off: [budgets.variants.{name}] {off}"
            )
            raise error_at(("budgets", key), problem)


def check_can_ask(suite: Suite, names: Iterable[str]) -> None:
    """Raises, before any model is built, where these variants or the teacher cannot be asked for answers."""
    for name in (TEACHER, *names):
        variant = suite.model(name)
        if variant.is_endpoint:
            table = TEACHER if name == TEACHER else f"variants.{name}"
            try:
                variant.runtime.params.check_can_ask()
            except SlimgateError as error:
                raise type(error)(f"{suite.shown} [{table}] endpoint: {error}") from error


def check_models(suite: Suite, error_at: ErrorAt, *, folders: bool) -> None:
    """Walks every model's steps: a step must take the kind before it, and fit the model's shape.

    folders: also read the config.json of the folders that models start from.
    """
    walk = _Walk(suite, error_at, folders)
    for name in (TEACHER, *suite.variants):
        state, runtime = walk.state(name), suite.model(name).runtime
        loc: Loc = (TEACHER,) if name == TEACHER else ("variants", name, "runtime")
        if state.kind not in runtime.object.kinds:
            raise error_at(loc, f"{runtime.name} does not execute an artifact of kind {state.kind}")
        if name != TEACHER:
            _check_timed_budgets(suite, name, error_at)
            _check_flops_budget(suite, name, error_at)


def _check_timed_budgets(suite: Suite, name: str, error_at: ErrorAt) -> None:
    """Raises where a budget on times or memory is of a model whose weights are unpacked to be judged."""
    own, variant = suite.budgets.get(name), suite.variants[name]  # a variant to be tuned has none yet
    if own is None or name in (*suite.dueled, *suite.loaded) or not variant.gated:
        return
    kinds = [(LATENCY, one.kind) for one in own.on_times]
    if own.memory is not None:
        kinds.append(("memory", own.memory.kind))
    for key, kind in kinds[:1]:
        which = name if suite.is_dequantized(name) else TEACHER
        off = f'{kind} = "off", reason = "judged by its answers alone"'
        problem = (
            f"{which} has quantized weights that are unpacked to floating point, so its "
            f"{key} would not be that of its format; switch the budget off: "
            f"[budgets.variants.{name}] {key} = {{ {off} }}"
        )
        raise error_at(("budgets", key), problem)


def _check_flops_budget(suite: Suite, name: str, error_at: ErrorAt) -> None:
    """Raises where a budget on operations is of a model whose runtime cannot count them."""
    own, variant = suite.budgets.get(name), suite.variants[name]
    if own is None or own.flops is None or not variant.gated:
        return
    for which in (TEACHER, name):
        runtime = suite.model(which).runtime
        if not runtime.object.counts_macs:
            off = f'flops = {{ {own.flops.kind} = "off", reason = "not counted" }}'
            problem = (
                f"runtime {runtime.name} of {which} does not count operations; switch the budget off: "
                f"[budgets.variants.{name}] {off}"
            )
            raise error_at(("budgets", "flops"), problem)


def check_rounds(suite: Suite, error_at: ErrorAt) -> None:
    """Raises where [measure] allows fewer rounds, or requests of a load, than a budget on times takes."""
    for name, own in suite.budgets.items():
        for budget in own.times:
            least = rounds_for(budget.kind)
            if name in suite.loaded:
                _check_requests(suite, budget.kind, least, error_at)
            elif suite.measure.rounds < least:
                problem = f"{suite.measure.rounds} came, expected at least {least} for a budget {budget.kind}"
                raise error_at(("measure", "rounds"), problem)


def _check_requests(suite: Suite, kind: str, least: int, error_at: ErrorAt) -> None:
    for i, table in enumerate(suite.measure.loads):
        sent = table.blocks if kind == GOODPUT else table.requests * table.blocks
        if sent < least:
            what = "blocks" if kind == GOODPUT else "requests times blocks"
            problem = f"{sent} {what} came, expected at least {least} for a budget {kind}"
            raise error_at(("measure", "loads", i), problem)


def check_writing(suite: Suite, error_at: ErrorAt) -> None:
    """Raises where answers shall be timed of a task or runtime that writes none, or have a budget unasked."""
    task, asked = suite.setup.task, any(one.writes for one in suite.workloads) or bool(suite.loads)
    tables = suite.measure.workloads or ()
    for i, table in enumerate(tables if not task.object.writes else ()):
        if table.prompt_tokens is not None:
            able = ", ".join(name for name, one in plugins("task").items() if one.writes)
            problem = f"task {task.name} writes no answers; tasks that do: {able}"
            raise error_at(("measure", "workloads", i, "prompt_tokens"), problem)
    for name, own in suite.budgets.items():
        of_answers = (one.kind for one in own.on_times if PART_OF.get(one.kind, END_TO_END) != END_TO_END)
        unasked = [] if asked else list(of_answers)
        if unasked:
            example = "{ prompt_tokens = 128, new_tokens = 64, batch = 1 }"
            problem = f"needs a workload that writes; give [measure] workloads = [{example}]"
            raise error_at(("budgets", LATENCY, unasked[0]), problem)
        _check_writing_budgets(suite, name, error_at)


def check_end_to_end(suite: Suite, error_at: ErrorAt) -> None:
    """Raises where calls shall be timed end to end of a task that has none, or have a budget unasked."""
    task = suite.setup.task
    if suite.measure.end_to_end and not task.object.end_to_end:
        able = ", ".join(name for name, one in plugins("task").items() if one.end_to_end)
        problem = (
            f"true came, but a row of task {task.name} is no text that one forward pass answers; tasks that "
            f"are timed end to end: {able}"
        )
        raise error_at(("measure", "end_to_end"), problem)
    for own in () if suite.measure.end_to_end else suite.budgets.values():
        unasked = [one.kind for one in own.on_times if PART_OF.get(one.kind) == END_TO_END]
        if unasked:
            problem = "needs calls that are timed end to end; give [measure] end_to_end = true"
            raise error_at(("budgets", LATENCY, unasked[0]), problem)


def _check_writing_budgets(suite: Suite, name: str, error_at: ErrorAt) -> None:
    """Raises where a budget is on answers that the runtime of a variant, or of the teacher, cannot time."""
    own, variant = suite.budgets[name], suite.variants[name]
    if not variant.gated or name not in suite.dueled:
        return
    for workload in suite.workloads:
        budgets = [one for one in own.on_times if limits_part(one.kind, workload.part)]
        which = next((one for one in (TEACHER, name) if workload not in suite.timed_on(one)), None)
        if which is not None and budgets:
            runtime, kind = suite.model(which).runtime.name, budgets[0].kind
            able = ", ".join(name for name, one in plugins("runtime").items() if one.times_writing)
            off = f'{kind} = "off", reason = "runtime {runtime}"'
            problem = (
                f"runtime {runtime} of {which} writes no answers that can be timed, but {able} do. "
                "Give one of them, or switch the budget off: "
                f"[budgets.variants.{name}] {LATENCY} = {{ {off} }}"
            )
            raise error_at(("budgets", LATENCY, kind), problem)


def check_hub_models(suite: Suite, names: Iterable[str]) -> None:
    """Looks up the models of the hub that these variants and the teacher start from, before any is built.

    Only their settings are fetched. Raises SuiteError for the first that is not there or does not fit.
    """
    task = suite.setup.task
    for name in _with_origins(suite, names):
        ref = suite.model(name).ref
        if ref is None or ref.hub_id is None:
            continue
        try:
            folder = fetch_settings(ref)
            task.object.check_model(task.params, ref, read_config(folder), None)
        except SlimgateError as error:
            table = TEACHER if name == TEACHER else f"variants.{name}"
            raise SuiteError(f"{suite.shown} [{table}] model: {error}") from error


def _with_origins(suite: Suite, names: Iterable[str]) -> list[str]:
    """The teacher, the variants, and those that they are built from or learn from."""
    found, todo = dict.fromkeys([TEACHER]), list(names)
    while todo:
        name = todo.pop(0)
        if name not in found:
            found[name] = None
            todo += [origin for origin, _ in _origins(suite.model(name))]
    return list(found)


def check_slice_columns(suite: Suite, error_at: ErrorAt) -> None:
    """Raises where a budget names a slice of a column by which results are not sliced."""
    columns = (LABEL, *suite.setup.slices)
    label = suite.setup.task.object.label_column(suite.setup.task.params)
    for column in dict.fromkeys(
        name.column for own in suite.budgets.values() for name in own.behaviour.named_slices
    ):
        if column not in columns:
            hint = format_suggestion(column, columns)
            problem = f"results are not sliced by this column; name it in [task] slices{hint}"
            if column == label:
                problem = f"the slices of the labels are called {LABEL}: write [budgets.slices.{LABEL}.VALUE]"
            raise error_at(("budgets", "slices", column), problem)


def check_columns(setup: TaskSetup, error_at: ErrorAt) -> None:
    """Raises where the rows' files are missing, or lack a column that the task reads."""
    try:
        columns = setup.source.object.columns(setup.source.params)
    except SlimgateError as error:
        raise error_at(("task", "source"), str(error)) from None
    if columns is None:
        return
    wanted = setup.task.object.columns(setup.task.params)
    for column in (*wanted, *([setup.group] if setup.group else [])):
        if column not in columns:
            raise error_at(
                ("task",), f'the rows have no column "{column}"{format_suggestion(column, columns)}'
            )
    sliced = (*columns, LENGTH_BUCKET)
    for i, column in enumerate(setup.slices):
        if column not in sliced:
            problem = f'the rows have no column "{column}"{format_suggestion(column, sliced)}'
            raise error_at(("task", "slices", i), problem)


@dataclass(frozen=True)
class _State:
    """What is known of a model without loading it: its kind, and its configuration if it is a folder.

    changes: the steps that changed its kind, in order.
    """

    kind: str
    config: Config | None
    changes: tuple[_Change, ...] = ()


@dataclass
class _Walk:
    suite: Suite
    error_at: ErrorAt
    folders: bool
    _known: dict[str, _State] = field(default_factory=dict)

    def state(self, name: str) -> _State:
        if name not in self._known:
            self._known[name] = self._of(self.suite.model(name))
        return self._known[name]

    def _of(self, variant: Variant) -> _State:
        loc: Loc = (TEACHER,) if variant.name == TEACHER else ("variants", variant.name)
        if variant.ref is not None:
            state = _State(variant.ref.kind, self._config(variant.ref, (*loc, "model")))
        else:
            state = self.state(variant.parent or TEACHER)
        for i, step in enumerate(variant.steps):
            here = (*loc, "steps", i, step.name)
            if variant.name == TEACHER and (others := [name for name in step.teachers if name != SELF]):
                whom = "the teacher" if others[0] == TEACHER else f'"{others[0]}"'
                raise self.error_at(here, f"learns from {whom}, so it cannot be a step of the teacher")
            self._check_teacher(step, state, here)
            self._check_files(step, here)
            self._check_unlabelled(step, here)
            self._check_calibration(step, here)
            self._check_functions(step, here)
            state = self._after(step, state, variant.name, here)
        return state

    def _after(self, step: SuiteStep, state: _State, name: str, here: Loc) -> _State:
        method, config = step.object, state.config
        if state.kind not in method.takes:
            raise self.error_at(here, _wrong_kind(state.kind, method.takes, name, state.changes))
        if config is not None:
            try:
                check_family(step.name, method, config)
                config = method.check(step.params, config)
            except SlimgateError as error:
                raise self.error_at(here, str(error)) from None
        kind = method.gives or state.kind
        change = (_Change(step.name, name, state.kind),) if kind != state.kind else ()
        return _State(kind, config, (*state.changes, *change))

    def _check_teacher(self, step: SuiteStep, state: _State, here: Loc) -> None:
        """A teacher runs in PyTorch."""
        for name in step.teachers:
            kind = state.kind if name == SELF else self.state(name).kind
            if kind not in eager.runtime.kinds:
                problem = f'"{name}" is of kind {kind}; a model to learn from runs in PyTorch'
                raise self.error_at((*here, _key(step, name)), problem)

    def _check_files(self, step: SuiteStep, here: Loc) -> None:
        """Files of rows are there, and have the columns of the task's texts."""
        task = self.suite.setup.task
        for path in step.row_files if self.folders else ():
            try:
                text_columns_of(columns_of(row_file(path)), task.object.text_columns(task.params), path)
            except (SlimgateError, ValueError) as error:
                raise self.error_at(here, str(error)) from None

    def _check_unlabelled(self, step: SuiteStep, here: Loc) -> None:
        """The split unlabelled is there where a step reads it."""
        if UNLABELLED in step.reads and self.suite.setup.sizes.unlabelled is None:
            problem = "reads the split unlabelled, which there is not; give [task] splits.unlabelled = 2000"
            raise self.error_at(here, problem)

    def _check_calibration(self, step: SuiteStep, here: Loc) -> None:
        """The split calibration has rows where a step cannot do without."""
        if CALIBRATION in step.needs and self.suite.setup.sizes.calibration == 0:
            problem = (
                "needs rows of the split calibration, and [task] splits.calibration = 0 came; give it some, "
                "such as calibration = 512"
            )
            raise self.error_at(here, problem)

    def _check_functions(self, step: SuiteStep, here: Loc) -> None:
        """A user's own functions can be imported and called."""
        for name in step.functions:
            try:
                found = own_object("function", name)
            except SuiteError as error:
                raise self.error_at(here, str(error)) from None
            if not callable(found):
                problem = f'"{name}" is {type(found).__name__}, expected a function'
                raise self.error_at(here, problem)

    def _config(self, ref: ModelRef, loc: Loc) -> Config | None:
        if not self.folders or ref.folder is None:
            return None
        try:
            config = model_config(ref)
            self.suite.setup.task.object.check_model(self.suite.setup.task.params, ref, config, None)
        except SlimgateError as error:
            raise self.error_at(loc, str(error)) from None
        self._check_workloads(ref, config)
        return config

    def _check_workloads(self, ref: ModelRef, config: Config) -> None:
        longest = longest_text(config)
        if longest is None:
            return
        for i, table in enumerate(self.suite.measure.workloads or ()):
            where, has = ("measure", "workloads", i), f"{ref.text} has positions for {longest} tokens"
            if (table.tokens or 0) > longest:
                raise self.error_at((*where, "tokens"), f"{table.tokens} came, but {has}")
            prompt, new = table.prompt_tokens or 0, table.new_tokens or 0
            apart = bool(config.get("is_encoder_decoder"))
            if (max(prompt, new + 1) if apart else prompt + new) > longest:
                problem = f"{prompt} came, with new_tokens = {new}, but {has}"
                raise self.error_at((*where, "prompt_tokens"), problem)

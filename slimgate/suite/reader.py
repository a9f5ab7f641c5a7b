"""A suite file's tables -> a Suite: plug-ins loaded, their Params validated, names and paths resolved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from slimgate._system.threads import default_threads
from slimgate.errors import MissingExtra, SuiteError, format_suggestion
from slimgate.judge.metrics import load_metric
from slimgate.judge.metrics.answers import FAILED
from slimgate.loading import known_plugins, load
from slimgate.models.model_ref import parse_model_ref
from slimgate.outcomes import RIGHT
from slimgate.params import Table
from slimgate.protocols import (
    END_TO_END,
    LOAD_PARTS,
    TPOT,
    TTFT,
    Load,
    ModelRef,
    Phase,
    ServiceLevel,
    Workload,
)
from slimgate.runtimes import cascade, endpoint
from slimgate.suite.budgets import baseline_table, budget_family, resolve_budgets, teacher_budgets
from slimgate.suite.checks import (
    check_cascades,
    check_columns,
    check_end_to_end,
    check_endpoints,
    check_goodput,
    check_models,
    check_rounds,
    check_slice_columns,
    check_writing,
    known_teachers,
    no_cycle,
)
from slimgate.suite.errors import Loc, at, from_validation, suite_error
from slimgate.suite.extras import check_packages
from slimgate.suite.file import SuiteText, read_suite_text
from slimgate.suite.runtime_choice import with_default_runtimes
from slimgate.suite.suite import (
    SELF,
    TEACHER,
    Plugin,
    Suite,
    SuiteRuntime,
    SuiteSource,
    SuiteStep,
    SuiteTask,
    TaskSetup,
    Variant,
)
from slimgate.suite.tables import (
    LoadTable,
    MeasureTable,
    SuiteFile,
    SuiteTable,
    TaskTable,
    TeacherTable,
    VariantTable,
)
from slimgate.suite.tune_reading import read_tuning
from slimgate.suite.variant_budgets import VariantBudgets

DEFAULT_WORKLOADS = (Workload(1), Workload(32))
_FUNCTION = (
    ": it is a function, which [task] scores of text_generation takes; other metrics are a Metric, see "
    "slimgate/judge/metrics/base.py"
)


def read_suite(path: Path, shown: str, *, check_data: bool) -> Suite:
    """The validated suite of a file; `load_suite` says what is checked. Raises SuiteError."""
    text = read_suite_text(path, shown)
    try:
        tables = SuiteFile.model_validate(text.data)
    except ValidationError as error:
        raise from_validation(error, text.shown, text.data) from None
    reader = Reader(text, check_data)
    setup = reader.task()
    teacher = reader.teacher(tables.teacher)
    variants = reader.variants(tables.variants)
    budgets = resolve_budgets(text.data, tuple(variants), text.shown)
    of_teacher = teacher_budgets(text.data, text.shown)
    baseline_of_all = baseline_table(text.data, text.shown)
    suite = Suite(
        path=path,
        shown=shown,
        digest=text.digest,
        title=tables.suite.title,
        seeds=tables.suite.seeds or (tables.suite.seed,),
        opt_in=tables.suite.opt_in,
        threads=tables.suite.threads or default_threads(),
        setup=setup,
        teacher=teacher,
        variants=variants,
        budgets=budgets,
        teacher_budgets=of_teacher,
        family=budget_family(text.data, text.shown),
        metrics=reader.metrics(
            tables.measure,
            {TEACHER: of_teacher, **budgets},
            setup.task,
            served=any(one.is_endpoint for one in (teacher, *variants.values())),
        ),
        workloads=reader.workloads(tables.measure),
        loads=reader.loads(tables.measure),
        measure=tables.measure,
        tables=tables,
        reference=reader.reference(tables.suite),
        baseline=baseline_of_all.file,
        weaker_reason=baseline_of_all.reason,
    )
    check_slice_columns(suite, reader.error)
    known_teachers(variants, reader.error)
    check_cascades(suite, reader.error)
    no_cycle(variants, reader.error)
    stated = frozenset(name for name, table in tables.variants.items() if table.runtime is not None)
    check_goodput(suite, reader.error)
    check_endpoints(suite, reader.error)
    suite = with_default_runtimes(suite, stated)
    check_rounds(suite, reader.error)
    check_writing(suite, reader.error)
    check_end_to_end(suite, reader.error)
    check_models(suite, reader.error, folders=check_data)
    if check_data:
        check_packages(suite, reader.error)
        check_columns(setup, reader.error)
    if tables.tune is not None and teacher.is_endpoint:
        raise reader.error(("tune",), "its candidates start from the teacher, which is an endpoint here")
    return suite if tables.tune is None else replace(suite, tuning=read_tuning(reader, suite, tables.tune))


@dataclass(frozen=True)
class Reader:
    """Resolves the tables of one file, raising errors that name it."""

    text: SuiteText
    check_data: bool

    def error(self, loc: Loc, problem: str) -> SuiteError:
        """The error of one place of the file."""
        return suite_error(self.text.shown, loc, self.text.data, problem)

    def reference(self, table: SuiteTable) -> str | None:
        """The text of the file of published figures."""
        if table.reference is None:
            return None
        try:
            return table.reference.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            said = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            problem = f"{table.reference.name}: cannot be read as text: {said}"
            raise self.error(("suite", "reference"), problem) from error

    def load(self, kind: str, name: Any, loc: Loc) -> Any:
        """A plug-in by name."""
        if not isinstance(name, str):
            raise self.error(loc, f"needs name = …; known: {', '.join(known_plugins(kind))}, or your own")
        try:
            return load(kind, name)
        except SuiteError as error:
            raise self.error(loc, str(error)) from error.__cause__

    def plugin(
        self, kind: str, name: Any, params: Any, loc: Loc, params_loc: Loc | None = None
    ) -> Plugin[Any]:
        """A plug-in with its Params validated; a value that is not a table may be a RootModel's."""
        found = self.load(kind, name, loc)
        here = loc if params_loc is None else params_loc
        try:
            options = found.Params.model_validate(params)
            return Plugin(str(name), found.resolve(options) if kind == "method" else found, options)
        except ValidationError as error:
            raise from_validation(error, self.text.shown, self.text.data, here) from None
        except MissingExtra as error:
            raise self.error(here, str(error)) from error
        except Exception as error:  # a user's validator may raise anything
            raise self.error(here, f"{type(error).__name__}: {error}") from error

    def task(self) -> TaskSetup:
        """[task]: its own keys go to the task's Params, those of [task.source] to the source's."""
        table = dict(self.text.data["task"])
        common = {key: table.pop(key) for key in TaskTable.model_fields if key in table}
        try:
            tables = TaskTable.model_validate(common)
        except ValidationError as error:
            raise from_validation(error, self.text.shown, self.text.data, ("task",)) from None
        for i, name in enumerate(tables.slices):
            if (first := tables.slices.index(name)) < i:
                raise self.error(("task", "slices", i), f"the same as slices[{first}]")
        self._known_keys(table, self.load("task", tables.kind, ("task", "kind")).Params)
        task = self.plugin("task", tables.kind, table, ("task",))
        return TaskSetup(
            task=task,
            source=self._source(task, tables.source),
            group=tables.group,
            sizes=tables.splits,
            slices=tables.slices,
        )

    def _source(self, task: SuiteTask, table: Mapping[str, Any]) -> SuiteSource:
        """[task.source], or the task's own."""
        loc = ("task", "source")
        if task.object.source is None:
            if not table:
                raise self.error(loc, "missing, it must be given")
            options = dict(table)
            name = options.pop("name", None)
            return self.plugin("source", name, options, loc)
        if table:
            raise self.error(loc, f"task {task.name} brings its own rows; leave source out")
        return Plugin(task.name, task.object.source, task.params)

    def _known_keys(self, own: Mapping[str, Any], params: Any) -> None:
        """Names the nearest key among those of all tasks and of this one, which are written in one table."""
        known_keys = {*TaskTable.model_fields, *params.model_fields}
        unknown = next((key for key in own if key not in known_keys), None)
        if unknown is not None and issubclass(params, Table):
            raise self.error(("task",), f"unknown key {unknown}{format_suggestion(unknown, known_keys)}")

    def ref(self, table: TeacherTable | VariantTable, loc: Loc) -> ModelRef | None:
        """The weights that `model = …` names, the server of `endpoint = …`, the models of a cascade."""
        if table.endpoint is not None:
            return ModelRef(table.endpoint.shown, kind=endpoint.KIND)
        if isinstance(table, VariantTable) and table.cascade is not None:
            return ModelRef(table.cascade.shown, kind=cascade.KIND)
        if table.model is None:
            return None
        if not self.check_data:
            return ModelRef(str(table.model))
        try:
            # pydantic copies strings; the one of the file still knows its folder
            located = at(self.text.data, (*loc, "model"))
            new_head = table.new_head if isinstance(table, VariantTable) else None
            return parse_model_ref(located, sha256=table.sha256, new_head=new_head, dtype=table.dtype)
        except SuiteError as error:
            raise self.error((*loc, "model"), str(error)) from error.__cause__

    def steps(self, steps: tuple[dict[str, Any], ...], loc: Loc) -> tuple[SuiteStep, ...]:
        """The methods of a chain, in order."""
        return tuple(self.step(step, (*loc, "steps", i)) for i, step in enumerate(steps))

    def step(self, step: Mapping[str, Any], here: Loc) -> SuiteStep:
        """The method of one step."""
        if len(step) != 1:
            came = f"{len(step)} methods ({', '.join(step)})" if step else "an empty step"
            raise self.error(
                here, f"{came} came, expected one method a step, as in [{{ a = {{}} }}, {{ b = {{}} }}]"
            )
        [(name, params)] = step.items()
        return self.plugin("method", name, params, here, (*here, name))

    def runtime(self, table: dict[str, Any] | None, loc: Loc) -> SuiteRuntime:
        """What executes the artifact; where the suite says nothing, eager until its kind is known."""
        options = dict({"name": "eager"} if table is None else table)
        name = options.pop("name", None)
        return self.plugin("runtime", name, options, (*loc, "runtime"))

    def _runtime_of(self, table: TeacherTable | VariantTable, loc: Loc) -> SuiteRuntime:
        if table.endpoint is not None:
            asked = table.endpoint
            if table.server is not None:
                asked = endpoint.StartedEndpoint.of(asked, table.server)
            return Plugin(endpoint.KIND, endpoint.runtime, asked)
        if isinstance(table, VariantTable) and table.cascade is not None:
            return Plugin(cascade.KIND, cascade.runtime, cascade.Params())
        return self.runtime(table.runtime if isinstance(table, VariantTable) else None, loc)

    def teacher(self, table: TeacherTable) -> Variant:
        """[teacher]"""
        loc = (TEACHER,)
        steps = self.steps(table.steps, loc)
        return Variant(TEACHER, None, self.ref(table, loc), steps, self._runtime_of(table, loc))

    def variants(self, tables: Mapping[str, VariantTable]) -> dict[str, Variant]:
        """[variants], in the order of the file."""
        return {name: self._variant(name, table, tables) for name, table in tables.items()}

    def _variant(self, name: str, table: VariantTable, tables: Mapping[str, VariantTable]) -> Variant:
        loc = ("variants", name)
        if name == TEACHER:
            raise self.error(loc, "teacher is the name of the teacher; call the variant otherwise")
        if name == SELF:
            raise self.error(loc, "self is what a step calls the model before it; call the variant otherwise")
        for key, other, known_names in (
            ("from", table.parent, {TEACHER, *tables}),
            ("twin", table.twin, tables),
        ):
            if other is not None and other not in known_names:
                raise self.error(
                    (*loc, key), f'"{other}": no such variant{format_suggestion(other, known_names)}'
                )
        if table.twin == name:
            raise self.error(
                (*loc, "twin"), "a variant is not its own twin; name the one built without a teacher"
            )
        ref = self.ref(table, loc)
        return Variant(
            name=name,
            parent=None if ref else str(table.parent or TEACHER),
            ref=ref,
            steps=self.steps(table.steps, loc),
            runtime=self._runtime_of(table, loc),
            twin=table.twin,
            gated=table.gated,
            reason=table.reason,
            cascade=table.cascade,
        )

    def metrics(
        self,
        table: MeasureTable,
        budgets: Mapping[str, VariantBudgets],
        task: SuiteTask,
        *,
        served: bool = False,
    ) -> tuple[str, ...]:
        """The metrics to measure, then those that only a budget names. served: by a server, for a model."""
        stated = task.object.measured(task.params) if table.metrics is None else table.metrics
        if served and FAILED in task.object.metrics():
            stated = tuple(dict.fromkeys((*stated, FAILED)))
        needs = task.object.needs(task.params)
        places: dict[str, Loc] = {
            name: (*table, name)
            for own in budgets.values()
            for table, names in ((("budgets", "baseline"), own.baseline), (("budgets",), own.quality))
            for name in names
        }
        budgeted = [name for own in budgets.values() for name in (*own.quality, *own.baseline)]
        for i, name in enumerate((*stated, *budgeted)):
            loc: Loc = ("measure", "metrics", i) if i < len(stated) else places[name]
            try:
                metric = load_metric(name)
            except SuiteError as error:
                raise self.error(loc, str(error)) from error.__cause__
            if metric.needs not in needs:
                own = _FUNCTION if metric.name == name and ":" in name else ""
                raise self.error(loc, f'"{name}" does not fit the outcomes of task {task.name}{own}')
        flips = any(own.behaviour.flips for own in budgets.values())
        if flips and not {"prediction", RIGHT} & needs:
            problem = f"rows of task {task.name} are neither right nor wrong, so none can flip"
            raise self.error(("budgets", "flips"), problem)
        for name in dict.fromkeys(name for own in budgets.values() for name in own.behaviour.tokens):
            if not task.object.next_token:
                problem = f"is of the next token, which task {task.name} does not predict"
                raise self.error(("budgets", name), problem)
        for name in dict.fromkeys(name for own in budgets.values() for name in own.behaviour.sliced_metrics):
            if load_metric(name).needs not in needs:
                problem = f'"{name}" does not fit the outcomes of task {task.name}'
                raise self.error(("budgets", "slices", name), problem)
        if not stated and not budgeted:
            raise self.error(
                ("measure", "metrics"), "[] came and no budget names a metric; expected at least one"
            )
        return tuple(dict.fromkeys(str(name) for name in (*stated, *budgeted)))

    def loads(self, table: MeasureTable) -> tuple[Load, ...]:
        """What servers are timed under: each load once, with its parts."""
        found = [_load(one) for one in table.loads]
        ids = [one.id for one in found]
        for i, name in enumerate(ids):
            if (first := ids.index(name)) < i:
                raise self.error(("measure", "loads", i), f"the same as loads[{first}]")
        return tuple(replace(one, part=part) for one in found for part in LOAD_PARTS)

    def workloads(self, table: MeasureTable) -> tuple[Workload, ...]:
        """What latency times: each workload once, and its phases."""
        if table.workloads is None:
            return _all_phases(DEFAULT_WORKLOADS, table)
        if not table.workloads:
            raise self.error(
                ("measure", "workloads"), "[] came, expected at least one, such as { batch = 1 }"
            )
        found = [Workload(w.batch, w.tokens, w.prompt_tokens, w.new_tokens) for w in table.workloads]
        for i, workload in enumerate(found):
            if (first := found.index(workload)) < i:
                raise self.error(("measure", "workloads", i), f"the same as workloads[{first}]")
        return _all_phases(found, table)


def _load(table: LoadTable) -> Load:
    level = None if table.service_level is None else ServiceLevel(**table.service_level.model_dump())
    return Load(table.concurrency, table.request_rate, table.requests, table.blocks, level=level)


def _all_phases(workloads: Sequence[Workload], table: MeasureTable) -> tuple[Workload, ...]:
    return tuple(one for workload in workloads for one in _with_phases(workload, table.end_to_end))


def _with_phases(workload: Workload, end_to_end: bool) -> tuple[Workload, ...]:
    """The whole answer of a workload that writes, then its phases; else the forward pass, then end to end."""
    of_forward: tuple[Phase, ...] = (END_TO_END,) if end_to_end else ()
    phases: tuple[Phase, ...] = (TTFT, TPOT) if workload.writes else of_forward
    return (workload, *(replace(workload, phase=phase) for phase in phases))

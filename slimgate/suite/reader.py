"""Makes a Suite from the tables of a suite file: loads plug-ins, checks Params, resolves names and paths."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from slimgate._system.error_places import format_user_error, has_users_line
from slimgate._system.requirements import describe_missing_models
from slimgate._system.threads import choose_thread_count
from slimgate.errors import MissingExtra, SlimgateError, SuiteError, format_suggestion
from slimgate.models.model_ref import parse_model_ref
from slimgate.plugins.loading import import_from, list_known_plugins, load
from slimgate.plugins.models import ModelRef
from slimgate.plugins.params import Table
from slimgate.plugins.user_plugins import check_returned_names
from slimgate.results.checks import TEACHER
from slimgate.runtimes import cascade, endpoint
from slimgate.suite.budgets import read_baseline_table, read_family, read_teacher_budgets, resolve_budgets
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
    refuse_repeated,
)
from slimgate.suite.errors import Loc, convert_validation_error, find_value, make_suite_error
from slimgate.suite.file import SuiteText, read_suite_text
from slimgate.suite.measure_reading import read_loads, read_metrics, read_workloads
from slimgate.suite.named_plugin import Plugin, SuiteRuntime, SuiteSource, SuiteStep, SuiteTask
from slimgate.suite.runtime_choice import add_default_runtimes
from slimgate.suite.step_checks import check_no_cycle, check_packages, check_teachers_exist
from slimgate.suite.suite import SELF, Suite, TaskSetup, Variant
from slimgate.suite.tables import SuiteFile, SuiteTable, TaskTable, TeacherTable, VariantTable
from slimgate.suite.tune_reading import read_tuning

if TYPE_CHECKING:
    from pydantic import BaseModel


def read_suite(path: Path, shown: str, *, check_data: bool) -> Suite:
    """The validated suite of a file; see `load_suite` for what is checked. Raises SuiteError."""
    text = read_suite_text(path, shown)
    if "logs" in text.data:
        problem = (
            "has [suite] and [logs], but a file judges either models or logs: for logs, write title into "
            "[logs] and leave [suite] out; for models, put [logs] into a separate file"
        )
        raise SuiteError(f"{text.shown}: {problem}")
    try:
        tables = SuiteFile.model_validate(text.data)
    except ValidationError as error:
        raise convert_validation_error(error, text.shown, text.data) from None
    reader = Reader(text, check_data=check_data)
    if check_data and (missing := describe_missing_models("a suite of models")):
        raise SuiteError(f"{text.shown}: {missing}") from MissingExtra(missing)
    suite = _make_suite(path, shown, tables, reader)
    _check_names(suite, reader)
    models: dict[str, TeacherTable | VariantTable] = {TEACHER: tables.teacher, **tables.variants}
    stated = frozenset(name for name, table in models.items() if table.runtime is not None)
    suite = add_default_runtimes(suite, stated)
    _check_options(suite, reader)
    if tables.tune is None:
        return suite
    if suite.teacher.is_endpoint:
        raise reader.make_error(("tune",), "its candidates start from the teacher, which is an endpoint here")
    return replace(suite, tuning=read_tuning(reader, suite, tables.tune))


def _make_suite(path: Path, shown: str, tables: SuiteFile, reader: Reader) -> Suite:
    """The suite, before the checks that need more than one table. Raises SuiteError."""
    data, files = reader.text.data, reader.text.shown
    setup = reader.read_task()
    teacher = reader.read_teacher(tables.teacher)
    variants = reader.read_variants(tables.variants)
    budgets = resolve_budgets(data, tuple(variants), files)
    teacher_budgets = read_teacher_budgets(data, files)
    baseline = read_baseline_table(data, files)
    return Suite(
        path=path,
        shown=shown,
        digest=reader.text.digest,
        title=tables.suite.title,
        seeds=tables.suite.seeds or (tables.suite.seed,),
        opt_in=tables.suite.opt_in,
        threads=tables.suite.threads or choose_thread_count(),
        setup=setup,
        teacher=teacher,
        variants=variants,
        budgets=budgets,
        teacher_budgets=teacher_budgets,
        family=read_family(data, files),
        metrics=read_metrics(
            tables.measure,
            {TEACHER: teacher_budgets, **budgets},
            setup.task,
            reader.make_error,
            served=any(model.is_endpoint for model in (teacher, *variants.values())),
        ),
        workloads=read_workloads(tables.measure, reader.make_error),
        loads=read_loads(tables.measure, reader.make_error),
        measure=tables.measure,
        tables=tables,
        reference=reader.read_reference(tables.suite),
        baseline=baseline.file,
        weaker_reason=baseline.reason,
    )


def _check_names(suite: Suite, reader: Reader) -> None:
    """Raises SuiteError for a name of a column, a model or a metric that the suite cannot use there."""
    check_slice_columns(suite, reader.make_error)
    check_teachers_exist(suite.variants, reader.make_error)
    check_cascades(suite, reader.make_error)
    check_no_cycle(suite.variants, reader.make_error)
    check_goodput(suite, reader.make_error)
    check_endpoints(suite, reader.make_error)


def _check_options(suite: Suite, reader: Reader) -> None:
    """Raises SuiteError for options that do not fit each other, or the files and packages that are there."""
    check_rounds(suite, reader.make_error)
    check_writing(suite, reader.make_error)
    check_end_to_end(suite, reader.make_error)
    check_models(suite, reader.make_error, folders=reader.check_data)
    if reader.check_data:
        check_packages(suite, reader.make_error)
        check_columns(suite.setup, reader.make_error)


@dataclass(frozen=True)
class Reader:
    """Resolves the tables of one file. Every method that reads raises SuiteError, which names the file."""

    text: SuiteText
    check_data: bool

    def make_error(self, loc: Loc, problem: str) -> SuiteError:
        """An error about one place in the file."""
        return make_suite_error(self.text.shown, loc, self.text.data, problem)

    def read_reference(self, table: SuiteTable) -> str | None:
        """The text of the file with published figures, if the suite names one."""
        if table.reference is None:
            return None
        try:
            return table.reference.read_text("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            problem = f"{table.reference.name}: cannot be read as text: {reason}"
            raise self.make_error(("suite", "reference"), problem) from error

    def load_plugin(self, kind: str, name: object, loc: Loc) -> Any:
        """A plug-in by name."""
        if not isinstance(name, str):
            raise self.make_error(
                loc, f"needs name = …; known: {', '.join(list_known_plugins(kind))}, or your own"
            )
        try:
            return load(kind, name)
        except SuiteError as error:
            raise self.make_error(loc, str(error)) from error.__cause__

    def read_plugin(
        self, kind: str, name: object, params: object, loc: Loc, params_loc: Loc | None = None
    ) -> Plugin[Any]:
        """A plug-in with its Params validated; a value that is not a table may belong to a RootModel."""
        loaded = self.load_plugin(kind, name, loc)
        options_loc = loc if params_loc is None else params_loc
        try:
            options = loaded.Params.model_validate(params)
            plugin = Plugin(str(name), loaded.resolve(options) if kind == "step" else loaded, options)
            if ":" in plugin.name and kind in ("step", "task"):
                check_returned_names(kind, plugin.object, options)
            return plugin
        except ValidationError as error:
            raise convert_validation_error(error, self.text.shown, self.text.data, options_loc) from None
        except MissingExtra as error:
            raise self.make_error(options_loc, str(error)) from error
        except SuiteError as error:
            raise self.make_error(loc, f'{kind} "{name}": {error}') from error
        except Exception as error:  # a user's validator or method may raise anything
            raise self.make_error(options_loc, format_user_error(error)) from error

    def read_task(self) -> TaskSetup:
        """[task]: keys of one task go to its Params, keys of [task.source] to the source's Params."""
        table = dict(self.text.data["task"])
        common = {key: table.pop(key) for key in TaskTable.model_fields if key in table}
        try:
            tables = TaskTable.model_validate(common)
        except ValidationError as error:
            raise convert_validation_error(error, self.text.shown, self.text.data, ("task",)) from None
        refuse_repeated(tables.slices, ("task", "slices"), self.make_error)
        self._check_known_keys(table, self.load_plugin("task", tables.kind, ("task", "kind")).Params)
        task = self.read_plugin("task", tables.kind, table, ("task",))
        return TaskSetup(
            task=task,
            source=self._read_source(task, tables.source),
            group=tables.group,
            sizes=tables.splits,
            slices=tables.slices,
        )

    def _read_source(self, task: SuiteTask, table: Mapping[str, Any]) -> SuiteSource:
        """The source that [task.source] names, or the task's own source."""
        loc = ("task", "source")
        if task.object.source is None:
            if not table:
                raise self.make_error(loc, "missing, it must be given")
            options = dict(table)
            name = options.pop("name", None)
            return self.read_plugin("source", name, options, loc)
        if table:
            raise self.make_error(loc, f"task {task.name} has its own rows; leave source out")
        return Plugin(task.name, task.object.source, task.params)

    def _check_known_keys(self, table: Mapping[str, object], params: type[BaseModel]) -> None:
        """Raises for an unknown key of [task], which holds the keys of all tasks and of this task."""
        known_keys = {*TaskTable.model_fields, *params.model_fields}
        unknown = next((key for key in table if key not in known_keys), None)
        if unknown is not None and issubclass(params, Table):
            raise self.make_error(("task",), f"unknown key {unknown}{format_suggestion(unknown, known_keys)}")

    def read_ref(self, table: TeacherTable | VariantTable, loc: Loc) -> ModelRef | None:
        """The weights, server or cascade that a model starts from; None if it starts from a variant."""
        if table.endpoint is not None:
            return ModelRef(table.endpoint.shown, kind=endpoint.KIND)
        if isinstance(table, VariantTable) and table.cascade is not None:
            return ModelRef(table.cascade.shown, kind=cascade.KIND)
        if table.model is None:
            return None
        if not self.check_data:
            return ModelRef(str(table.model))
        try:
            # pydantic copies strings; the original string still knows its folder
            located = find_value(self.text.data, (*loc, "model"))
            new_head = table.new_head if isinstance(table, VariantTable) else None
            kinds = self.read_runtime(table.runtime, loc).object.kinds if table.runtime else frozenset()
            return parse_model_ref(
                located, sha256=table.sha256, new_head=new_head, dtype=table.dtype, kinds=kinds
            )
        except SuiteError as error:
            raise self.make_error((*loc, "model"), str(error)) from error.__cause__

    def read_steps(self, steps: tuple[dict[str, Any], ...], loc: Loc) -> tuple[SuiteStep, ...]:
        """The plug-ins of a list of steps, in order."""
        return tuple(self.read_step(step, (*loc, "steps", i)) for i, step in enumerate(steps))

    def read_step(self, step: Mapping[str, Any], loc: Loc) -> SuiteStep:
        """The plug-in of one step."""
        if len(step) != 1:
            actual = f"{len(step)} steps ({', '.join(step)})" if step else "an empty table"
            raise self.make_error(
                loc,
                f"{actual} was given, expected one step per table, as in [{{ a = {{}} }}, {{ b = {{}} }}]",
            )
        [(name, params)] = step.items()
        return self.read_plugin("step", name, params, loc, (*loc, name))

    def read_runtime(self, table: dict[str, Any] | None, loc: Loc) -> SuiteRuntime:
        """The runtime that executes the artifact; eager by default, until the artifact's kind is known."""
        options = dict({"name": "eager"} if table is None else table)
        name = options.pop("name", None)
        return self.read_plugin("runtime", name, options, (*loc, "runtime"))

    def _read_model_runtime(self, table: TeacherTable | VariantTable, loc: Loc) -> SuiteRuntime:
        if table.endpoint is not None:
            options = table.endpoint
            if table.server is not None:
                options = endpoint.StartedEndpoint.from_tables(options, table.server)
            return Plugin(endpoint.KIND, endpoint.runtime, options)
        if isinstance(table, VariantTable) and table.cascade is not None:
            return Plugin(cascade.KIND, cascade.runtime, cascade.Params())
        return self.read_runtime(table.runtime, loc)

    def read_teacher(self, table: TeacherTable) -> Variant:
        """[teacher]"""
        loc = (TEACHER,)
        steps = self.read_steps(table.steps, loc)
        ref, runtime = self.read_ref(table, loc), self._read_model_runtime(table, loc)
        return Variant(TEACHER, parent=None, ref=ref, steps=steps, runtime=runtime)

    def read_variants(self, tables: Mapping[str, VariantTable]) -> dict[str, Variant]:
        """[variants], in the order of the file."""
        return {name: self._read_variant(name, table, tables) for name, table in tables.items()}

    def _read_variant(self, name: str, table: VariantTable, tables: Mapping[str, VariantTable]) -> Variant:
        loc = ("variants", name)
        if name == TEACHER:
            raise self.make_error(loc, "teacher is the name of the teacher; give the variant another name")
        if name == SELF:
            raise self.make_error(
                loc, "in a step, self means the model before the step; give the variant another name"
            )
        for key, other, known_names in (
            ("from", table.parent, {TEACHER, *tables}),
            ("twin", table.twin, tables),
        ):
            if other is not None and other not in known_names:
                raise self.make_error(
                    (*loc, key), f'"{other}": no such variant{format_suggestion(other, known_names)}'
                )
        if table.twin == name:
            raise self.make_error(
                (*loc, "twin"),
                "a variant cannot be its own twin; name the variant that was built without a teacher",
            )
        ref = self.read_ref(table, loc)
        return Variant(
            name=name,
            parent=None if ref else str(table.parent or TEACHER),
            ref=ref,
            steps=self.read_steps(table.steps, loc),
            runtime=self._read_model_runtime(table, loc),
            twin=table.twin,
            gated=table.gated,
            reason=table.reason,
            cascade=table.cascade,
        )


def load_suite(path: Path, shown: str | None = None, *, check_data: bool = True) -> Suite:
    """Reads a suite file. It is fast: it loads no model and no rows, and does not import torch.

    Python can import modules next to the suite afterwards, such as its own plug-ins.

    Args:
        path: the file.
        shown: its name in messages; default: the path.
        check_data: also check that data files, their columns and model folders exist on this machine. This is
            off for opt-in suites that are not selected.

    Raises:
        SuiteError: with a line for what is wrong.
    """
    shown = shown or str(path)
    with import_from(path.absolute().parent):
        try:
            return read_suite(path, shown, check_data=check_data)
        except SlimgateError:
            raise
        except Exception as error:  # the checks call methods of the user's plug-ins, which may raise anything
            if not has_users_line(error):
                raise
            raise SuiteError(f"{shown}: a plug-in failed: {format_user_error(error)}") from error

"""Checks that the steps of variants fit each other and this environment: what each builds on, which models
each takes, which packages each needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from slimgate._system.requirements import describe_missing, describe_too_low
from slimgate.data.row_files import read_column_names
from slimgate.errors import MissingExtra, SlimgateError, SuiteError, format_suggestion
from slimgate.models.config import read_max_positions
from slimgate.models.families import check_family
from slimgate.models.model_ref import TORCH, read_model_config
from slimgate.models.quantized_files import CHECKPOINT
from slimgate.plugins.loading import load_plugins, load_user_object
from slimgate.plugins.models import ModelRef
from slimgate.plugins.rows import SELECTION, UNLABELLED
from slimgate.plugins.runtime import Runtime
from slimgate.plugins.step import Step
from slimgate.results.checks import TEACHER
from slimgate.runtimes import eager
from slimgate.steps.training.params import choose_text_columns, make_row_file
from slimgate.suite.errors import Loc
from slimgate.suite.named_plugin import SuiteStep
from slimgate.suite.suite import SELF, Suite, Variant
from slimgate.tasks.parts.classifiers import remove_head

ErrorAt = Callable[[Loc, str], SuiteError]
Config = dict[str, Any]


def check_no_cycle(variants: Mapping[str, Variant], error_at: ErrorAt) -> None:
    """Raises if a variant is built from itself or learns from itself, directly or through other variants."""
    for name, variant in variants.items():
        for origin, loc in find_origins(variant):
            if path := _find_path(variants, origin, name):
                raise error_at(("variants", name, *loc), f"a cycle: {' -> '.join([name, *path])}")


def check_teachers_exist(variants: Mapping[str, Variant], error_at: ErrorAt) -> None:
    """Raises if a step learns from a variant that the suite does not have."""
    for name, variant in variants.items():
        for origin, loc in find_origins(variant):
            if origin not in variants:
                hint = format_suggestion(origin, {TEACHER, SELF, *variants})
                raise error_at(("variants", name, *loc), f'"{origin}": no such variant{hint}')


def find_origins(variant: Variant) -> list[tuple[str, Loc]]:
    """The variants that must be built before this one, each with the key that names it."""
    origins: list[tuple[str, Loc]] = []
    if variant.parent not in (None, TEACHER):
        origins.append((str(variant.parent), ("from",)))
    for i, step in enumerate(variant.steps):
        for name in step.teachers:
            if name not in (TEACHER, SELF):
                origins.append((name, ("steps", i, step.name, _find_teacher_option(step, name))))
    for name in variant.cascade.models if variant.cascade else ():
        if name != TEACHER:
            origins.append((name, ("cascade", "models")))
    return origins


class _Change(NamedTuple):
    """A step that changed the kind of a model."""

    step: str
    model: str
    kind_before: str


def _describe_wrong_kind(kind: str, takes: Iterable[str], name: str, changes: Sequence[_Change]) -> str:
    """Why a step of model `name` cannot take this kind. changes: the earlier steps that changed the kind."""
    problem = f"cannot start from an artifact of kind {kind}, expected {' or '.join(sorted(takes))}"
    if kind == CHECKPOINT:
        return f"{problem}: the model is already quantized; start from the model before it was quantized"
    if change := next((earlier for earlier in reversed(changes) if earlier.kind_before in takes), None):
        owner = "" if change.model == name else f", a step of {change.model}"
        return f"{problem}: put it before {change.step}{owner}"
    between = [
        name
        for name, plugin in load_plugins("step").items()
        if plugin.gives in takes and kind in plugin.takes
    ]
    return f"{problem}: put {between[0]} before it" if len(between) == 1 else problem


def _find_teacher_option(step: SuiteStep, name: str) -> str:
    """The option of the step that names this teacher."""
    return step.object.teacher_option if name == step.teacher else "more_teachers"


def _find_path(variants: Mapping[str, Variant], start: str, end: str) -> list[str]:
    """The variants on a path from `start` to `end` along build dependencies; empty if there is no path."""
    todo, seen = [[start]], {start}
    while todo:
        path = todo.pop()
        if path[-1] == end:
            return path
        for origin, _ in find_origins(variants[path[-1]]):
            if origin not in seen or origin == end:
                seen.add(origin)
                todo.append([*path, origin])
    return []


@dataclass(frozen=True)
class ModelState:
    """A model as far as it is known without loading it: its kind, and its configuration if it is a folder.

    changes: the steps that changed its kind, in order. folder: where the model that it is made from is.
    """

    kind: str
    config: Config | None
    changes: tuple[_Change, ...] = ()
    folder: Path | None = None


@dataclass
class ModelWalk:
    """Walks through the steps of models, and raises if one does not fit the model before it.

    error_at(key, problem): the error at a key of the suite. folders: also read config.json in the folders
    that models start from.
    """

    suite: Suite
    error_at: ErrorAt
    folders: bool
    _known: dict[str, ModelState] = field(default_factory=dict)

    def find_state(self, name: str) -> ModelState:
        """The state of a model after all of its steps."""
        if name not in self._known:
            self._known[name] = self._walk_steps(self.suite.model(name))
        return self._known[name]

    def _walk_steps(self, variant: Variant) -> ModelState:
        loc: Loc = (TEACHER,) if variant.name == TEACHER else ("variants", variant.name)
        if variant.ref is not None:
            config = self._read_config(variant.ref, (*loc, "model"))
            self._check_train_rows(variant.ref, config, (*loc, "model"))
            state = ModelState(
                variant.ref.kind, config, folder=None if config is None else variant.ref.folder
            )
        else:
            state = self.find_state(variant.parent or TEACHER)
        for i, step in enumerate(variant.steps):
            step_loc = (*loc, "steps", i, step.name)
            if variant.name == TEACHER and (teachers := [name for name in step.teachers if name != SELF]):
                teacher = "the teacher" if teachers[0] == TEACHER else f'"{teachers[0]}"'
                raise self.error_at(step_loc, f"learns from {teacher}, so it cannot be a step of the teacher")
            self._check_teacher(step, state, step_loc)
            self._check_files(step, step_loc)
            if UNLABELLED in step.reads and self.suite.setup.sizes.unlabelled is None:
                problem = (
                    "reads the split unlabelled, which the suite does not have; set [task] "
                    "splits.unlabelled = 2000"
                )
                raise self.error_at(step_loc, problem)
            for split in step.needs:
                if split != SELECTION:  # drawn from where train is
                    self._check_split(split, f"needs rows of the split {split}", step_loc)
            self._check_functions(step, step_loc)
            state = self._apply_step(step, state, variant.name, step_loc)
        return state

    def _apply_step(self, step: SuiteStep, state: ModelState, name: str, loc: Loc) -> ModelState:
        plugin, config = step.object, state.config
        if state.kind not in plugin.takes:
            raise self.error_at(loc, _describe_wrong_kind(state.kind, plugin.takes, name, state.changes))
        if config is not None:
            try:
                check_family(step.name, plugin, config)
                config = plugin.check(step.params, config)
                if state.folder is not None:
                    plugin.check_folder(step.params, state.folder)
            except SlimgateError as error:
                raise self.error_at(loc, str(error)) from None
        kind = plugin.gives or state.kind
        change = (_Change(step.name, name, state.kind),) if kind != state.kind else ()
        return ModelState(kind, config, (*state.changes, *change), state.folder)

    def _check_teacher(self, step: SuiteStep, state: ModelState, loc: Loc) -> None:
        """A teacher runs in PyTorch."""
        for name in step.teachers:
            kind = state.kind if name == SELF else self.find_state(name).kind
            if kind not in eager.runtime.kinds:
                problem = f'"{name}" is of kind {kind}; a model to learn from must run in PyTorch'
                raise self.error_at((*loc, _find_teacher_option(step, name)), problem)

    def _check_files(self, step: SuiteStep, loc: Loc) -> None:
        """The step's row files exist and have the task's text columns."""
        task = self.suite.setup.task
        for path in step.row_files if self.folders else ():
            try:
                choose_text_columns(
                    read_column_names(make_row_file(path)), task.object.text_columns(task.params), path
                )
            except (SlimgateError, ValueError) as error:
                raise self.error_at(loc, str(error)) from None

    def _check_split(self, split: str, needs: str, loc: Loc) -> None:
        """A split that a step or a model needs may have rows. needs: begins the message."""
        setup = self.suite.setup
        if setup.sizes.find_size(split) == 0:
            problem = f"{needs}, and [task] splits.{split} = 0 was given; give it some, such as {split} = 512"
            raise self.error_at(loc, problem)
        parts = setup.source.object.parts(setup.source.params)
        if not {split, "train", "all"} & set(parts):
            missing = split if split == "train" else f"{split}, or train to draw it from"
            problem = (
                f"{needs}, and [task] source has only the part {' and '.join(parts)}; give the source the "
                f"part {missing}"
            )
            raise self.error_at(loc, problem)

    def _check_train_rows(self, ref: ModelRef, config: Config | None, loc: Loc) -> None:
        """The split train may have rows if the model gets a new head or a new tokenizer."""
        task = self.suite.setup.task
        if config is None or ref.kind != TORCH:
            return
        reads = task.object.load_reads(task.params, remove_head(config) if ref.new_head else config)
        if ref.fresh or "train" in reads:
            product = "its tokenizer is" if ref.fresh else f"{ref.text} has no head for this task, so one is"
            self._check_split("train", f"{product} made from rows of the split train", loc)

    def _check_functions(self, step: SuiteStep, loc: Loc) -> None:
        """A user's own functions can be imported and called."""
        for name in step.functions:
            try:
                function = load_user_object("function", name)
            except SuiteError as error:
                raise self.error_at(loc, str(error)) from None
            if not callable(function):
                problem = f'"{name}" is {type(function).__name__}, expected a function'
                raise self.error_at(loc, problem)

    def _read_config(self, ref: ModelRef, loc: Loc) -> Config | None:
        if not self.folders or ref.folder is None:
            return None
        try:
            config = read_model_config(ref)
            self.suite.setup.task.object.check_model(self.suite.setup.task.params, ref, config, None)
        except SlimgateError as error:
            raise self.error_at(loc, str(error)) from None
        self._check_workloads(ref, config)
        return config

    def _check_workloads(self, ref: ModelRef, config: Config) -> None:
        longest = read_max_positions(config)
        if longest is None:
            return
        for i, table in enumerate(self.suite.measure.workloads or ()):
            loc, has = ("measure", "workloads", i), f"{ref.text} has positions for {longest} tokens"
            if (table.tokens or 0) > longest:
                raise self.error_at((*loc, "tokens"), f"{table.tokens} was given, but {has}")
            prompt, new = table.prompt_tokens or 0, table.new_tokens or 0
            is_encoder_decoder = bool(config.get("is_encoder_decoder"))
            if (max(prompt, new + 1) if is_encoder_decoder else prompt + new) > longest:
                problem = f"{prompt} was given, with new_tokens = {new}, but {has}"
                raise self.error_at((*loc, "prompt_tokens"), problem)


def check_packages(suite: Suite, error_at: ErrorAt) -> None:
    """Raises SuiteError, from MissingExtra, for a step or runtime whose package is missing or too old.

    Packages outside slimgate's extras are not checked: a user's plug-in reports those itself.
    """
    for loc, user, plugin in _list_package_users(suite):
        problem = describe_missing(user, plugin.packages) or describe_too_low(user, plugin.requires)
        if problem is not None:
            raise error_at(loc, problem) from MissingExtra(problem)


def _list_package_users(suite: Suite) -> Iterator[tuple[Loc, str, Step[Any] | Runtime[Any]]]:
    """Each step and runtime: its place in the file, its name, the plug-in."""
    for name, variant in suite.models.items():
        table: Loc = (TEACHER,) if name == TEACHER else ("variants", name)
        for i, step in enumerate(variant.steps):
            yield (*table, "steps", i, step.name), step.name, step.object
        runtime = variant.runtime
        yield (*table, "runtime"), f"runtime {runtime.name}", runtime.object

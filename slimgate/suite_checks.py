"""What a suite says of its models and rows, held against the folders and files that it names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from slimgate.errors import SlimgateError, SuiteError, nearest
from slimgate.model_ref import read_config
from slimgate.protocols import ModelRef
from slimgate.slicing import LENGTH_BUCKET
from slimgate.suite import TEACHER, Plugin, Suite, TaskSetup, Variant
from slimgate.suite_errors import Loc

ErrorAt = Callable[[Loc, str], SuiteError]
Config = dict[str, Any]


def no_cycle(variants: Mapping[str, Variant], error_at: ErrorAt) -> None:
    """Raises where a variant is built from itself, directly or through others."""
    for name in variants:
        chain = [name]
        while (parent := variants[chain[-1]].parent) not in (None, TEACHER):
            chain.append(str(parent))
            if chain.count(chain[-1]) > 1:
                raise error_at(("variants", name, "from"), f"a cycle: {' -> '.join(chain)}")


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
            raise error_at(("task",), f'the rows have no column "{column}"{nearest(column, columns)}')
    sliced = (*columns, LENGTH_BUCKET)
    for i, column in enumerate(setup.slices):
        if column not in sliced:
            problem = f'the rows have no column "{column}"{nearest(column, sliced)}'
            raise error_at(("task", "slices", i), problem)


@dataclass(frozen=True)
class _State:
    """What is known of a model without loading it: its kind, and its configuration if it is a folder."""

    kind: str
    config: Config | None


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
            state = _State("torch", self._config(variant.ref, (*loc, "model")))
        else:
            state = self.state(variant.parent or TEACHER)
        for i, step in enumerate(variant.steps):
            here = (*loc, "steps", i, step.name)
            if variant.name == TEACHER and step.object.uses_teacher:
                raise self.error_at(here, "learns from the teacher, so it cannot be a step of the teacher")
            state = self._after(step, state, here)
        return state

    def _after(self, step: Plugin, state: _State, here: Loc) -> _State:
        method, config = step.object, state.config
        if state.kind not in method.takes:
            wanted = " or ".join(sorted(method.takes))
            raise self.error_at(here, f"cannot take an artifact of kind {state.kind}, expected {wanted}")
        check = getattr(method, "check", None)
        if check is not None and config is not None:
            try:
                config = check(step.params, config)
            except SlimgateError as error:
                raise self.error_at(here, str(error)) from None
        return _State(method.gives or state.kind, config)

    def _config(self, ref: ModelRef, loc: Loc) -> Config | None:
        if not self.folders or ref.folder is None:
            return None
        try:
            config = read_config(ref.folder)
            self.suite.setup.task.object.check_model(self.suite.setup.task.params, ref, config, None)
        except SlimgateError as error:
            raise self.error_at(loc, str(error)) from None
        self._check_workloads(ref, config)
        return config

    def _check_workloads(self, ref: ModelRef, config: Config) -> None:
        longest = config.get("max_position_embeddings")
        for i, workload in enumerate(self.suite.workloads):
            if isinstance(longest, int) and (workload.tokens or 0) > longest:
                where = ("measure", "workloads", i, "tokens")
                problem = f"{workload.tokens} came, but {ref.text} has positions for {longest} tokens"
                raise self.error_at(where, problem)

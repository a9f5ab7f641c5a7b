"""A plug-in that a suite names, with its validated options: a step, the task, the source or a runtime."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from slimgate.plugins.base import WithParams
from slimgate.plugins.runtime import Runtime
from slimgate.plugins.source import Source
from slimgate.plugins.step import Step
from slimgate.plugins.task import Task

T = TypeVar("T", bound=WithParams[Any])


@dataclass(frozen=True)
class Plugin(Generic[T]):
    """A plug-in as a suite uses it: its name, the object, and its validated Params."""

    name: str
    object: T
    params: Any

    @property
    def teacher(self: SuiteStep) -> str | None:
        """The model that a step learns from: "teacher", "self" or a variant; None if there is none."""
        return str(self.object.learns_from(self.params)) if self.object.uses_teacher else None

    def answers_depend_on_processor(self: SuiteRuntime, kind: str) -> bool:
        """Whether this runtime's answers for an artifact of this kind depend on the processor."""
        return kind not in self.object.any_processor

    @property
    def build_depends_on_processor(self: SuiteStep) -> bool:
        """Whether the step's result depends on the processor that it runs on."""
        return bool(self.object.by_processor(self.params))

    @property
    def teachers(self: SuiteStep) -> tuple[str, ...]:
        """All models that a step learns from; the first is `self.teacher`."""
        if self.teacher is None:
            return ()
        return (self.teacher, *self.object.also_learns_from(self.params))

    @property
    def reads(self: SuiteStep) -> tuple[str, ...]:
        """The splits that a step reads."""
        return (*self.object.reads, *self.object.also_reads(self.params))

    @property
    def needs(self: SuiteStep) -> tuple[str, ...]:
        """The splits in `reads` that must not be empty with these options."""
        may_be_empty = self.object.does_without(self.params)
        return tuple(split for split in self.reads if split not in may_be_empty)

    @property
    def functions(self: SuiteStep) -> tuple[str, ...]:
        """The dotted paths of the user's own functions that a step calls."""
        return tuple(self.object.functions(self.params))

    @property
    def row_files(self: SuiteStep) -> tuple[Path, ...]:
        """Files of rows that a step reads in addition to the splits."""
        return tuple(self.object.row_files(self.params))

    @property
    def adds_rows(self: SuiteStep) -> bool:
        """Whether a step trains on rows that are in none of the splits."""
        return bool(self.object.adds_rows(self.params))


SuiteStep = Plugin[Step[Any]]
SuiteTask = Plugin[Task[Any]]
SuiteSource = Plugin[Source[Any]]
SuiteRuntime = Plugin[Runtime[Any]]

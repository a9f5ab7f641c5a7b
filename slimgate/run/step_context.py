"""What steps get: their rows, the models that they learn from, and results that several steps share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from slimgate.data.parts import collapse_texts
from slimgate.data.same_texts import HeldOutTexts, normalize_row
from slimgate.errors import BuildError
from slimgate.plugins.base import Json, Progress, no_progress
from slimgate.plugins.context import BuildContext, FurtherTeacher, refuse_teacher
from slimgate.plugins.rows import JUDGING
from slimgate.plugins.step import Step
from slimgate.run import keys
from slimgate.run.rows import BuildInputs
from slimgate.store.store import Artifact, Store
from slimgate.suite.named_plugin import SuiteStep


@dataclass(frozen=True)
class SharedBySteps:
    """A BuildContext's `share`: results that several steps use, made once and stored.

    common: the part that is in every key, such as the teacher's digest. The object can be sent to a step's
    processes: one of them makes the result, the others load it.
    """

    store: Store
    common: Json

    def __call__(self, kind: str, key: Json, fill: Callable[[Path], Json]) -> tuple[Path, bool]:
        """The folder that fill(folder) has filled, and whether the store had it already."""

        shared_key = keys.make_shared_key(self.common, key, fill)
        entry = self.store.make(kind, shared_key, fill, modules=self.common["task"]["code"])
        return entry.folder, entry.from_store


class ContextMaker:
    """Makes the contexts of the steps of one suite, for builds with one seed on one device."""

    def __init__(self, inputs: BuildInputs, store: Store) -> None:
        self._suite, self._rows, self._store = inputs.suite, inputs.rows, store
        self._seed, self._device = inputs.seed, inputs.device
        self._held_out: HeldOutTexts | None = None

    def make(
        self,
        reads: tuple[str, ...],
        teachers: tuple[Artifact, ...],
        scratch: Path,
        progress: Progress = no_progress,
        step: Step[Any] | None = None,
    ) -> BuildContext:
        """The context of one step. step: None for loading."""

        def load_artifact(teacher: Artifact) -> Any:
            with context.time_stage("load"):
                return self.load_model(teacher, step)

        setup = self._suite.setup
        context = BuildContext(
            task=setup.task.object,
            task_params=setup.task.params,
            facts=self._rows.facts,
            splits={
                name: self._rows.splits[name]
                for name in reads
                if name in self._rows.splits and name not in JUDGING
            },
            load_teacher=partial(load_artifact, teachers[0]) if teachers else refuse_teacher,
            seed=self._seed,
            device=self._device,
            threads=self._suite.threads,
            scratch=scratch,
            progress=progress,
            share=self._make_share(teachers[0]) if teachers else None,
            more_teachers=tuple(
                FurtherTeacher(partial(load_artifact, teacher), self._make_share(teacher))
                for teacher in teachers[1:]
            ),
        )
        return context

    def load_model(self, artifact: Artifact, step: Step[Any] | None) -> Any:
        """Loads a model to change it or to learn from it: weights of 16 bits become float32."""
        from slimgate.models.torch_model import convert_to_float32_

        model = artifact.load(self._device)
        return model if step is not None and not step.changes_weights else convert_to_float32_(model)

    def read_held_out_texts(self) -> HeldOutTexts:
        """The texts of the held-out splits. Steps learn nothing else about the judging rows."""
        if self._held_out is None:
            names = self._suite.setup.task.object.text_columns(self._suite.setup.task.params)
            tables = [self._rows.splits[split].table for split in keys.HELD_OUT if split in self._rows.splits]
            rows = (row for table in tables for row in collapse_texts(table, names))
            self._held_out = HeldOutTexts(frozenset(map(normalize_row, rows)))
        return self._held_out

    def apply_in_processes(
        self, step: SuiteStep, parent: Artifact, teachers: tuple[Artifact, ...], context: BuildContext
    ) -> Any:
        """Applies a step in as many processes as its params say; adds their log to the context's.

        Raises BuildError on a GPU.
        """
        from slimgate.run.step_processes import StepJob, apply_in_processes

        if self._device != "cpu":
            raise BuildError(
                f"processes = {step.params.processes} is for training on the CPU, but the device is "
                f"{self._device}"
            )
        task = self._suite.setup.task
        job = StepJob(
            step=step.name,
            params=step.params,
            task=task.name,
            task_params=task.params,
            facts=context.facts,
            splits=context.splits,
            parent=parent.folder,
            teachers=tuple((teacher.folder, self._make_share(teacher)) for teacher in teachers),
            seed=context.seed,
            threads=context.threads,
            scratch=context.scratch,
            held_out=self.read_held_out_texts() if step.adds_rows else None,
        )
        model, log = apply_in_processes(job, step.params.processes)
        context.log.update(log)
        return model

    def _make_share(self, teacher: Artifact) -> SharedBySteps:
        return SharedBySteps(self._store, keys.list_shared_inputs(teacher, self._rows.task, self._device))

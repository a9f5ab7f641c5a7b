"""Applies a step in several processes that train together (training/trainer.py); one of them saves the model.

    model = apply_in_processes(StepJob(…), processes=2)

Each process applies the complete step; only the training inside is distributed. Artifacts are passed by
disk, rows and options by a pipe, so any step works, also a user's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from slimgate._system.forkserver import start_forkserver
from slimgate.data.same_texts import HeldOutTexts
from slimgate.errors import BuildError, SlimgateError
from slimgate.models.torch_model import TorchModel, convert_to_float32_, load_torch_model
from slimgate.plugins.context import BuildContext, FurtherTeacher, Share, refuse_held_out, refuse_teacher
from slimgate.plugins.loading import load
from slimgate.plugins.rows import Rows, TaskFacts
from slimgate.runtimes import eager

MODEL = "model"
# How long a process waits for another one before it considers it dead.
PATIENCE = timedelta(hours=1)


@dataclass(frozen=True)
class StepJob:
    """A step in a form that can be sent to another process.

    step, task: names; params, task_params: validated; parent: the folder of an artifact; teachers: the
    folders of the models that the step learns from, each with a BuildContext's share, which can be sent;
    held_out: the texts of later splits, for a step that adds rows; scratch: a folder that all processes may
    write to.
    """

    step: str
    params: Any
    task: str
    task_params: Any
    facts: TaskFacts
    splits: Mapping[str, Rows]
    parent: Path
    teachers: tuple[tuple[Path, Share], ...]
    seed: int
    threads: int
    scratch: Path
    held_out: HeldOutTexts | None = None

    def make_context(self, rank: int) -> BuildContext:
        """The step's context in one of the processes."""
        scratch = self.scratch / f"process-{rank}"
        scratch.mkdir()
        return BuildContext(
            task=load("task", self.task),
            task_params=self.task_params,
            facts=self.facts,
            splits=self.splits,
            load_teacher=partial(_load_teacher_model, self.teachers[0][0])
            if self.teachers
            else refuse_teacher,
            seed=self.seed,
            device="cpu",
            threads=self.threads,
            scratch=scratch,
            are_held_out=self.held_out or refuse_held_out,
            share=self.teachers[0][1] if self.teachers else None,
            more_teachers=tuple(
                FurtherTeacher(partial(_load_teacher_model, folder), share)
                for folder, share in self.teachers[1:]
            ),
        )


def _load_teacher_model(folder: Path) -> Any:
    """A model to learn from, which may be a checkpoint that is quantized already."""
    return convert_to_float32_(eager.runtime.load_model(folder, "cpu"))


def apply_in_processes(job: StepJob, processes: int) -> tuple[TorchModel, dict[str, Any]]:
    """The model after the step, and the first process's log. Raises a process's error, or BuildError."""
    if getattr(job.params, "batch_size", processes) < processes:
        raise BuildError(
            f"processes = {processes} cannot share batches of {job.params.batch_size} rows; raise batch_size"
        )
    with ProcessPoolExecutor(processes, mp_context=start_forkserver()) as pool, _end_on_interrupt(pool):
        running = [pool.submit(_apply_step, job, rank, processes) for rank in range(processes)]
        errors = [error for future in running if (error := future.exception()) is not None]
        # if one process fails, the others wait for it in vain and raise errors of their own
        own_errors = [error for error in errors if isinstance(error, SlimgateError)]
        for error in (*own_errors, *errors):
            if isinstance(error, BrokenProcessPool):
                raise BuildError("a process of the step died, most likely because memory ran out") from error
            raise error
        log = running[0].result()
    return load_torch_model(job.scratch / MODEL), log


@contextmanager
def _end_on_interrupt(pool: ProcessPoolExecutor) -> Iterator[None]:
    """Kills the processes if this one is interrupted: leaving the pool would wait for the complete step."""
    try:
        yield
    except Exception:
        raise
    except BaseException:  # Ctrl-C, or the time limit
        for process in list((getattr(pool, "_processes", None) or {}).values()):
            process.kill()
        raise


def _apply_step(job: StepJob, rank: int, processes: int) -> dict[str, Any]:
    import torch
    from torch import distributed

    torch.set_num_threads(max(1, job.threads // processes))
    distributed.init_process_group(
        "gloo",
        init_method=f"file://{job.scratch / 'rendezvous'}",
        rank=rank,
        world_size=processes,
        timeout=PATIENCE,
    )
    try:
        context = job.make_context(rank)
        step = load("step", job.step)
        model = step.apply(convert_to_float32_(load_torch_model(job.parent)), job.params, context)
        if rank == 0:
            (job.scratch / MODEL).mkdir()
            model.kind = step.gives or model.kind
            model.save(job.scratch / MODEL)
        return dict(context.log)
    finally:
        distributed.destroy_process_group()

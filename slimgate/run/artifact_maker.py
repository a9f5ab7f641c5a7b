"""Makes one artifact: runs the code of a step, saves the model and stores it with its manifest."""

from __future__ import annotations

import json
import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slimgate._system import quiet
from slimgate._system.digests import digest_json
from slimgate._system.signals import OPTION, time_limit
from slimgate.errors import BuildError, SlimgateError
from slimgate.plugins.base import Json
from slimgate.plugins.context import BuildContext, refuse_held_out
from slimgate.plugins.step import Step
from slimgate.results.checks import TEACHER
from slimgate.run import keys
from slimgate.run.failure_log import LastProgress, format_step_log
from slimgate.run.past_times import LOAD, PastTimes, Work
from slimgate.run.process_state import guard_process_state
from slimgate.run.progress import UNWATCHED, Watch
from slimgate.run.rows import BuildInputs
from slimgate.run.step_context import ContextMaker
from slimgate.run.user_errors import explain_step_errors
from slimgate.store.store import Artifact, Entry, Store, list_files, make_scratch_folder

if TYPE_CHECKING:
    from slimgate.plugins.models import Saved


@dataclass(frozen=True)
class StepPlace:
    """Where a step is among the steps of a variant.

    model: the variant, with the seed if it is not the suite's first. label: the step as progress shows it.
    recipe: the digest of the model's steps so far (past_times.py).
    """

    model: str
    label: str
    recipe: str


@dataclass(frozen=True, kw_only=True)
class ArtifactJob:
    """What makes one artifact.

    where: the variant and the step, for messages. key: the artifact's key in the store. reads: the splits
    that `make` may read. teachers: the artifacts that it may load. modules: the modules of its code. place:
    for progress and time limits. check: called after the model is saved; raises if its sources are no longer
    those that `key` names.
    """

    where: str
    step_name: str
    params: object
    key: Json
    reads: tuple[str, ...]
    make: Callable[[BuildContext], Saved]
    place: StepPlace
    teachers: tuple[Artifact, ...] = ()
    modules: tuple[str, ...] = ()
    step: Step[Any] | None = None
    are_held_out: Callable[[Sequence[str]], list[bool]] = refuse_held_out
    check: Callable[[], None] = lambda: None

    def list_parents(self) -> list[str]:
        """The keys of the artifacts that it is made from."""
        return [
            *(self.key[name] for name in ("parent", "teacher") if self.key.get(name)),
            *self.key.get("more_teachers", ()),
            *self.key.get("models", ()),
        ]


@dataclass(frozen=True)
class BuildSettings:
    """How a run makes artifacts.

    past: how long steps took before. built_elsewhere: keys of artifacts that other processes built for this
    run; they are in the store and still count as new. time_limit: seconds that a variant's own steps may
    take.
    """

    device: str
    watch: Watch = UNWATCHED
    past: PastTimes | None = None
    built_elsewhere: Collection[str] = ()
    time_limit: float | None = None


class ArtifactMaker:
    """Makes the artifacts of one suite, each once: the store has those that were made before."""

    def __init__(
        self, inputs: BuildInputs, store: Store, contexts: ContextMaker, settings: BuildSettings
    ) -> None:
        self._suite, self._rows, self._store, self._contexts = inputs.suite, inputs.rows, store, contexts
        self._settings = settings
        # Seconds that the steps of each variant have taken so far.
        self._spent: defaultdict[str, float] = defaultdict(float)

    def make(self, job: ArtifactJob) -> Artifact:
        """Finds the artifact in the store, or makes it."""
        digest = digest_json(job.key)
        modules = (*job.modules, *self._rows.task["code"])
        entry: Entry = self._store.make(
            "artifacts", digest, lambda folder: self._fill(folder, job), modules=modules
        )
        is_new = digest in self._settings.built_elsewhere
        return Artifact(replace(entry, from_store=False) if is_new else entry)

    def _fill(self, folder: Path, job: ArtifactJob) -> Json:
        """Makes the model, saves it in the folder and returns the artifact's manifest."""
        import torch

        quiet.hide_import_notes()
        torch.set_num_threads(self._suite.threads)  # else torch's own number, until a runtime sets it
        work = self.describe_work(job.step_name, job.params, job.place.recipe, job.reads)
        stage = f"{job.place.label}: {job.step_name}"
        with (
            make_scratch_folder(folder) as scratch,
            self._settings.watch.stage(stage, expected=self._estimate_seconds(work)) as progress,
        ):
            last_progress = LastProgress(progress)
            context = self._contexts.make(job.reads, job.teachers, scratch, last_progress, job.step)
            context.are_held_out = job.are_held_out
            start = time.perf_counter()
            try:
                model = self._make_and_save(folder, job, context)
            except SlimgateError as error:
                error.log = format_step_log(
                    error,
                    step_name=job.step_name,
                    params=job.params,
                    seconds=time.perf_counter() - start,
                    last_progress=last_progress.last,
                    noted=context.log,
                )
                raise
            seconds = time.perf_counter() - start
        return {
            **_make_manifest(folder, model, extra_files=context.extra_files),
            "step": job.step_name,
            "params": job.params,
            "seconds": round(seconds, 3),
            "log": dict(context.log),
            "made": work.to_manifest(),
            "label": job.place.label,
            "parents": job.list_parents(),
        }

    def _make_and_save(self, folder: Path, job: ArtifactJob, context: BuildContext) -> Saved:
        from slimgate.models.seeding import isolated_seed

        with explain_step_errors(job.where), self._limit_time(job.place.model):
            # a step's own use of the global generators gives the same model whenever it is built
            with guard_process_state(), isolated_seed(context.seed):
                model = job.make(context)
            with context.time_stage("save"):
                model.save(folder)
            job.check()
            _check_log(context.log)
            for file in context.extra_files:
                shutil.copyfile(file, folder / file.name)
        return model

    @contextmanager
    def _limit_time(self, model: str) -> Iterator[None]:
        """Stops a step if the variant's own steps together exceed the time limit.

        The teacher has no limit, because every variant is compared with it.
        """
        start, limit = time.perf_counter(), None if model == TEACHER else self._settings.time_limit
        message = f"building {model} took longer than {OPTION} {limit:g} (seconds)" if limit else ""
        try:
            with time_limit(limit and max(limit - self._spent[model], 0.0), message):
                yield
        finally:
            self._spent[model] += time.perf_counter() - start

    def describe_work(self, step_name: str, params: object, recipe: str, reads: tuple[str, ...]) -> Work:
        """The step as PastTimes looks it up."""
        splits = self._rows.splits
        splits_read = ("train",) if step_name == LOAD else reads  # loading fits a new head on the train rows
        rows = {name: len(splits[name]) for name in splits_read if len(splits.get(name, ()))}
        return Work(
            recipe, step_name, params, rows, (self._settings.device.split(":")[0], self._suite.threads)
        )

    def _estimate_seconds(self, work: Work) -> float | None:
        past = self._settings.past
        estimate = past.estimate_step(work) if past else None
        return estimate.seconds if estimate else None


def _check_log(log: Json) -> None:
    """Raises BuildError if a value of a step's log is not JSON, such as a tensor."""
    for key, value in log.items():
        try:
            json.dumps(value)
        except (TypeError, ValueError) as error:
            raise BuildError(
                f'context.log["{key}"] is not JSON ({error}); expected numbers, texts, lists or dicts of '
                "them, such as tensor.tolist()"
            ) from error


def _make_manifest(folder: Path, model: Saved, *, extra_files: Sequence[Path]) -> Json:
    """What an artifact's manifest says of the saved model.

    extra_files: files stored next to the artifact that are not part of it.
    """
    files = [file for file in list_files(folder) if file not in {path.name for path in extra_files}]
    counted = model.select_counted_files(files) if hasattr(model, "select_counted_files") else files
    return {
        "kind": model.kind,
        "digest": keys.digest_artifact(folder, files, model.code_modules()),
        "bytes": sum((folder / file).stat().st_size for file in counted),
        **model.measure_size(),
        **({"stored": stored} if (stored := getattr(model, "stored", None)) else {}),
    }

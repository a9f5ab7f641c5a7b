"""Builds models: runs a variant's steps and stores each artifact, so that it is built once."""

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
from slimgate._system.digests import digest_json, file_sha256
from slimgate._system.time_limit import OPTION, time_limit
from slimgate.errors import BuildError, SlimgateError, format_error
from slimgate.models.hub import fetch_model
from slimgate.models.model_ref import TORCH, list_model_weights, read_model_config
from slimgate.models.quantized_files import CHECKPOINT
from slimgate.plugins.base import Json
from slimgate.plugins.context import BuildContext, refuse_held_out
from slimgate.plugins.models import ModelRef
from slimgate.plugins.step import Step
from slimgate.results.checks import TEACHER
from slimgate.run import contents, graph_loading, keys
from slimgate.run.cascade import SELECTION, make_cascade
from slimgate.run.failure_log import LastProgress, format_step_log
from slimgate.run.past_times import LOAD, PastTimes, Work, digest_steps
from slimgate.run.progress import UNWATCHED, Watch
from slimgate.run.rows import PreparedRows
from slimgate.run.step_context import ContextMaker
from slimgate.runtimes.cascade import KIND as CASCADE
from slimgate.runtimes.endpoint import EndpointModel
from slimgate.store.artifact import Artifact
from slimgate.store.store import Entry, Store, list_files, make_scratch_folder
from slimgate.suite.cascade_table import CascadeTable
from slimgate.suite.named_plugin import SuiteStep
from slimgate.suite.suite import SELF, Suite, Variant, dump_params
from slimgate.tasks.parts.classifiers import remove_head

if TYPE_CHECKING:
    from slimgate.models.protocols import Saved
    from slimgate.models.torch_model import TorchModel


@dataclass(frozen=True)
class Built:
    """A built model: its artifact, and the artifacts after each of its own steps."""

    artifact: Artifact
    steps: tuple[Artifact, ...]

    @property
    def from_store(self) -> bool:
        """Whether no step had to run."""
        return all(step.entry.from_store for step in self.steps)


@dataclass(frozen=True)
class _Place:
    """Where a step is among the steps of a variant.

    model: the variant, with the seed if it is not the suite's first. label: the step as progress shows it.
    recipe: the digest of the model's steps so far (past_times.py).
    """

    model: str
    label: str
    recipe: str


@dataclass(frozen=True, kw_only=True)
class Job:
    """What makes one artifact.

    where: the variant and the step, for messages. key: the artifact's key in the store. reads: the splits
    that `make` may read. teachers: the artifacts that it may load. place: for progress and time limits.
    check: called after the model is saved; raises if its sources are no longer those that `key` names.
    """

    where: str
    step_name: str
    params: object
    key: Json
    reads: tuple[str, ...]
    make: Callable[[BuildContext], Saved]
    place: _Place
    teachers: tuple[Artifact, ...] = ()
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


class Builder:
    """Builds the models of one suite on demand. A model that failed is not built again: its error repeats."""

    def __init__(
        self,
        suite: Suite,
        rows: PreparedRows,
        store: Store,
        *,
        device: str,
        watch: Watch = UNWATCHED,
        past: PastTimes | None = None,
        seed: int | None = None,
        teacher: Builder | None = None,
        elsewhere: Collection[str] = (),
        time_limit: float | None = None,
    ) -> None:
        """seed: default is the suite's. teacher: the builder of the teacher, if it is not this one.

        past: how long steps took before. elsewhere: keys of artifacts that other processes built for this
        run; they are in the store and still count as new. time_limit: seconds that a variant's own steps may
        take.
        """
        self._suite, self._rows, self._store = suite, rows, store
        self._device, self._watch, self._past = device, watch, past
        self._seed = suite.seed if seed is None else seed
        self._teacher, self._elsewhere = teacher, elsewhere
        self._time_limit = time_limit
        self._spent: defaultdict[str, float] = defaultdict(float)
        self._built: dict[str, Built] = {}
        self._failed: dict[str, SlimgateError] = {}
        self._contexts = ContextMaker(suite, rows, store, seed=self._seed, device=device)

    def build(self, name: str) -> Built:
        """The model of that name. Raises BuildError (or DataError) that names the variant and the step."""
        if name == TEACHER and self._teacher is not None:
            return self._teacher.build(TEACHER)
        if name in self._failed:
            raise self._failed[name].without_frames()  # an error raised again would collect frames
        if name not in self._built:
            try:
                self._built[name] = self._build(self._suite.model(name))
            except SlimgateError as error:
                self._failed[name] = error.without_frames()
                raise
        return self._built[name]

    def note_failure(self, name: str, error: SlimgateError) -> None:
        """Notes that building the model failed in another process; `build` then raises this error."""
        self._failed[name] = error

    def _build(self, variant: Variant) -> Built:
        steps: list[Artifact] = []
        places = self._list_places(variant)
        if variant.ref is not None:
            steps.append(self._load_model(variant, variant.ref, next(places)))
            artifact = steps[0]
        else:
            artifact = self.build(variant.parent or TEACHER).artifact
        for step in variant.steps:
            artifact = self._apply_step(variant, step, artifact, next(places))
            steps.append(artifact)
        return Built(artifact, tuple(steps))

    def _list_places(self, variant: Variant) -> Iterator[_Place]:
        """The places of a variant's own steps."""
        digests = digest_steps(self._suite, variant)
        for number, recipe in enumerate(digests, 1):
            model = self._format_variant(variant)
            yield _Place(model, f"{model} · step {number} of {len(digests)}", recipe)

    def _make_endpoint(self, variant: Variant, ref: ModelRef, place: _Place) -> Artifact:
        key = keys.make_endpoint_key(variant, self._suite.path.parent)
        model = EndpointModel(variant.runtime.params, key["served"])
        return self._make_artifact(
            Job(
                where=f"{self._format_variant(variant)}: endpoint {ref.text}",
                step_name=LOAD,
                params=str(ref.text),
                key=key,
                reads=(),
                make=lambda _: model,
                place=place,
            )
        )

    def _make_cascade(self, variant: Variant, table: CascadeTable, place: _Place) -> Artifact:
        suite = self._suite
        artifacts = tuple(self.build(name).artifact for name in table.models)
        reads = (SELECTION,) if table.reads_selection else ()
        key = keys.make_cascade_key(suite, self._rows, table, artifacts, reads=reads, device=self._device)

        def make(context: BuildContext) -> Any:
            return make_cascade(suite, variant, artifacts, context)

        return self._make_artifact(
            Job(
                where=f"{self._format_variant(variant)}: cascade",
                step_name=CASCADE,
                params=dump_params(table),
                key=key,
                reads=reads,
                make=make,
                place=place,
            )
        )

    def _load_model(self, variant: Variant, ref: ModelRef, place: _Place) -> Artifact:
        if variant.is_endpoint:
            return self._make_endpoint(variant, ref, place)
        if variant.cascade is not None:
            return self._make_cascade(variant, variant.cascade, place)
        where = f"{self._format_variant(variant)}: model {ref.text}"
        with _explain_errors(where):
            ref = fetch_model(ref)
            reads = self._check_source(ref)
        graph = _is_graph(ref)
        key = keys.make_load_key(
            self._rows,
            ref,
            reads=reads,
            graph=graph_loading.__name__ if graph else None,
            packages=graph_loading.find_graph_runtime(ref.kind).packages if graph else ("scikit-learn",),
            seed=self._seed,
            device=self._device,
            precision=self._resolve_precision("auto"),
        )
        return self._make_artifact(
            Job(
                where=where,
                step_name=LOAD,
                params=str(ref.text),
                key=key,
                reads=reads,
                make=lambda context: self._read_model(ref, context),
                place=place,
                check=lambda: _check_unchanged(ref, key["load"]),
            )
        )

    def _check_source(self, ref: ModelRef) -> tuple[str, ...]:
        """Checks that the model fits the task. Returns the splits that loading it reads."""
        task, facts = self._suite.setup.task, self._rows.facts
        config = read_model_config(ref)
        task.object.check_model(task.params, ref, config, facts)
        reads: tuple[str, ...] = ()
        if _is_graph(ref):
            graph_loading.check_graph(ref, config, task.object, task.params, facts)
        else:
            reads = task.object.load_reads(task.params, remove_head(config) if ref.new_head else config)
        if ref.fresh:  # its tokenizer is trained on them
            reads = tuple(dict.fromkeys(("train", *reads)))
        return reads

    def _read_model(self, ref: ModelRef, context: BuildContext) -> Any:
        if _is_graph(ref):
            return graph_loading.load_graph(ref, context)
        weights = list_model_weights(ref)
        if any(file.suffix == ".bin" for file in weights):
            context.log["weights"] = (
                f"{weights[0].name}, read with weights_only, because there is no safetensors file"
            )
        task = self._suite.setup.task
        model = task.object.load_model(task.params, ref, context)
        return model if ref.stored is None else _make_checkpoint(model, ref, context)

    def _apply_step(self, variant: Variant, step: SuiteStep, parent: Artifact, place: _Place) -> Artifact:
        plugin = step.object
        where = f"{self._format_variant(variant)}: step {step.name}"
        if parent.kind == CHECKPOINT and CHECKPOINT not in plugin.takes:  # a hub model's kind is known late
            raise BuildError(
                f"{where}: this step cannot start from an already quantized model ({parent.kind})"
            )
        teachers = self._build_teachers(where, step, parent)
        with _explain_errors(where):
            environment = plugin.environment(step.params)
        precision = getattr(step.params, "precision", None)
        key = keys.make_step_key(
            self._suite,
            self._rows,
            step,
            parent,
            teachers,
            environment=environment,
            seed=self._seed,
            device=self._device,
            precision=None if precision is None else self._resolve_precision(precision),
        )

        def are_held_out(texts: Sequence[str]) -> list[bool]:
            return self._contexts.read_held_out_texts()(texts)

        return self._make_artifact(
            Job(
                where=where,
                step_name=step.name,
                params=dump_params(step.params),
                key=key,
                reads=step.reads,
                make=lambda context: self._run_step(step, parent, teachers, context),
                place=place,
                teachers=teachers,
                step=plugin,
                are_held_out=are_held_out if step.adds_rows else refuse_held_out,
                check=lambda: _check_rows_unchanged(step, key),
            )
        )

    def _run_step(
        self, step: SuiteStep, parent: Artifact, teachers: tuple[Artifact, ...], context: BuildContext
    ) -> Any:
        plugin = step.object
        if getattr(step.params, "processes", 1) > 1:
            model = self._contexts.apply_in_processes(step, parent, teachers, context)
        else:
            with context.time_stage("load"):
                model = self._contexts.load_model(parent, plugin)
            model = plugin.apply(model, step.params, context)
        if not hasattr(model, "save"):
            raise BuildError(f"apply gave {type(model).__name__} back, expected the model that it was given")
        model.kind = plugin.gives or model.kind
        return model

    def _build_teachers(self, where: str, step: SuiteStep, parent: Artifact) -> tuple[Artifact, ...]:
        """Builds the step's teachers. Raises BuildError if two of them are the same model."""
        artifacts = {name: parent if name == SELF else self.build(name).artifact for name in step.teachers}
        first: dict[str, str] = {}
        for name, artifact in artifacts.items():
            if (other := first.setdefault(artifact.digest, name)) != name:
                raise BuildError(f'{where}: "{name}" is the same model as "{other}"; name one of them')
        return tuple(artifacts.values())

    def _format_variant(self, variant: Variant) -> str:
        """The variant's name, with the seed if it is not the suite's first."""
        return variant.name if self._seed == self._suite.seed else f"{variant.name} (seed {self._seed})"

    def _resolve_precision(self, precision: str) -> str:
        from slimgate.models.precision import resolve_precision

        return resolve_precision(precision, self._device)

    def _make_artifact(self, job: Job) -> Artifact:
        """Finds the artifact in the store, or makes it."""
        digest = digest_json(job.key)
        entry: Entry = self._store.make("artifacts", digest, lambda folder: self._fill(folder, job))
        return Artifact(replace(entry, from_store=False) if digest in self._elsewhere else entry)

    def _fill(self, folder: Path, job: Job) -> Json:
        """Makes the model, saves it in the folder and returns the artifact's manifest."""
        import torch

        quiet.keep_back()
        torch.set_num_threads(self._suite.threads)  # else torch's own number, until a runtime sets it
        work = self.describe_work(job.step_name, job.params, job.place.recipe, job.reads)
        stage = f"{job.place.label}: {job.step_name}"
        with (
            make_scratch_folder(folder) as scratch,
            self._watch.stage(stage, expected=self._estimate_seconds(work)) as progress,
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
            "made": work.to_manifest,
            "label": job.place.label,
            "parents": job.list_parents(),
        }

    def _make_and_save(self, folder: Path, job: Job, context: BuildContext) -> Saved:
        with _explain_errors(job.where), self._limit_time(job.place.model):
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
        start, limit = time.perf_counter(), None if model == TEACHER else self._time_limit
        message = f"building {model} took longer than {OPTION} {limit:g} (seconds)" if limit else ""
        try:
            with time_limit(limit and max(limit - self._spent[model], 0.0), message):
                yield
        finally:
            self._spent[model] += time.perf_counter() - start

    def describe_work(self, step_name: str, params: object, recipe: str, reads: tuple[str, ...]) -> Work:
        """The step as PastTimes looks it up."""
        splits = self._rows.splits
        splits_read = ("train",) if step_name == LOAD else reads  # a fresh head is fitted on them
        rows = {name: len(splits[name]) for name in splits_read if len(splits.get(name, ()))}
        return Work(recipe, step_name, params, rows, (self._device.split(":")[0], self._suite.threads))

    def _estimate_seconds(self, work: Work) -> float | None:
        estimate = self._past.estimate_step(work) if self._past else None
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


@contextmanager
def _explain_errors(where: str) -> Iterator[None]:
    """Puts the step and the variant before the message of any error, in one line."""
    try:
        yield
    except SlimgateError as error:
        raise type(error)(_join_message(where, str(error))) from error
    except Exception as error:  # a user's step may raise anything; the cause stays chained
        raise BuildError(f"{where}: {format_error(error)}") from error


def _join_message(where: str, message: str) -> str:
    """The message behind `where`, without repeating the model that both name."""
    subject, _, problem = message.partition(": ")
    is_repeated = bool(problem) and where.endswith(" " + subject.strip('"'))
    return f"{where}: {problem if is_repeated else message}"


def _make_manifest(folder: Path, model: Saved, *, extra_files: Sequence[Path]) -> Json:
    """What an artifact's manifest says of the saved model.

    extra_files: files stored next to the artifact that are not part of it.
    """
    files = [file for file in list_files(folder) if file not in {path.name for path in extra_files}]
    counted = model.counted_files(files) if hasattr(model, "counted_files") else files
    return {
        "kind": model.kind,
        "digest": keys.digest_artifact(folder, files, model.code_modules()),
        "bytes": sum((folder / file).stat().st_size for file in counted),
        **model.measure_size(),
        **({"stored": stored} if (stored := getattr(model, "stored", None)) else {}),
    }


def _is_graph(ref: ModelRef) -> bool:
    """Whether the model is a graph of another runtime, not a network of torch."""
    return ref.kind not in (TORCH, CHECKPOINT)


def _check_unchanged(ref: ModelRef, digest: str) -> None:
    """Raises BuildError if the model's files are no longer those with this digest."""
    assert ref.folder is not None
    if contents.digest_model_files(ref) != digest:
        raise BuildError(
            f"files of {ref.folder} changed while they were read; run again when no program writes to this "
            "folder"
        )


def _check_rows_unchanged(step: SuiteStep, key: Json) -> None:
    """Raises BuildError if the step's files of further rows are no longer those that its key names."""
    if step.row_files and list(map(file_sha256, step.row_files)) != key["files"]:
        raise BuildError(
            "files of further rows changed while they were read; run again when no program writes to them"
        )


def _make_checkpoint(model: TorchModel, ref: ModelRef, context: BuildContext) -> Any:
    """Wraps the loaded model so that it keeps its files, and logs their format."""
    from slimgate.models.checkpoint import make_checkpoint

    assert ref.folder is not None
    assert ref.stored is not None
    checkpoint = make_checkpoint(model, ref.folder, file=ref.file, dtype=ref.dtype, stored=ref.stored)
    context.log["stored"] = checkpoint.stored
    return checkpoint

"""Runs a variant's steps through the store: each node of the graph is built once.

What steps of a suite share with each other: made by the first one that asks, kept in the store.
"""

from __future__ import annotations

import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from slimgate._system import quiet
from slimgate._system.time_limit import OPTION, time_limit
from slimgate.data.parts import collapsed_texts
from slimgate.data.same_texts import normalize_row
from slimgate.errors import BuildError, SlimgateError, in_one_line
from slimgate.models.hub import fetch_model
from slimgate.models.model_ref import TORCH, model_config, model_weights
from slimgate.models.quantized_files import CHECKPOINTS
from slimgate.protocols import (
    JUDGING,
    BuildContext,
    ModelRef,
    MoreTeacher,
    Progress,
    adds_no_rows,
    no_progress,
)
from slimgate.run import contents, graph_loading, keys
from slimgate.run.cascade import SELECTION, make_cascade
from slimgate.run.failure_log import Heard, step_log
from slimgate.run.past_times import LOAD, PastTimes, Work, recipes
from slimgate.run.progress import UNWATCHED, Watch
from slimgate.run.rows import PreparedRows
from slimgate.runtimes.cascade import KIND as CASCADE
from slimgate.runtimes.endpoint import EndpointModel
from slimgate.store.artifact import Artifact
from slimgate.store.store import Entry, Json, Store, files_of, scratch_beside
from slimgate.suite.suite import SELF, TEACHER, Suite, SuiteStep, Variant, params_json
from slimgate.suite.tables import CascadeTable
from slimgate.tasks.parts.classifiers import without_head


@dataclass(frozen=True)
class SharedBySteps:
    """A BuildContext's `share`. given: what belongs to every key, such as the teacher's digest.

    It can be sent to the processes of a step: one of them makes what all take.
    """

    store: Store
    given: Json

    def __call__(self, kind: str, key: Json, fill: Callable[[Path], Json]) -> tuple[Path, bool]:
        """The folder that fill(folder) has filled, and whether it was there before."""
        entry = self.store.make(kind, keys.shared_key(self.given, key, fill), fill)
        return entry.folder, entry.from_store


@dataclass(frozen=True)
class Built:
    """A model of the suite as an artifact, with the artifacts of its own steps on the way there."""

    artifact: Artifact
    steps: tuple[Artifact, ...]

    @property
    def from_store(self) -> bool:
        return all(step.entry.from_store for step in self.steps)


@dataclass(frozen=True)
class _Place:
    """A step among those of its variant: as a watcher is told of it, and how the model came about so far.

    model: whose step it is, with the seed where it is not the suite's first.
    """

    model: str
    told: str
    recipe: str


class Builder:
    """Builds the models of one suite on demand. A model that failed fails again at once, not by building."""

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
        """seed: the suite's, where none is given. teacher: who builds the teacher, where not this builder.

        past: how long steps took before. elsewhere: keys of artifacts that this run has had built by others:
        they lie in the store, and are new all the same. time_limit: seconds that a variant's own steps may
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
        self._held_out: frozenset[str] | None = None

    def build(self, name: str) -> Built:
        """The model of that name. Raises BuildError (or DataError) that names the variant and the step."""
        if name == TEACHER and self._teacher is not None:
            return self._teacher.build(TEACHER)
        if name in self._failed:
            raise self._failed[name].without_frames()  # one that is raised often gathers the frames of all
        if name not in self._built:
            try:
                self._built[name] = self._build(self._suite.model(name))
            except SlimgateError as error:
                self._failed[name] = error.without_frames()
                raise
        return self._built[name]

    def fail(self, name: str, error: SlimgateError) -> None:
        """Whoever asks for the model gets this error: it was tried elsewhere."""
        self._failed[name] = error

    def _build(self, variant: Variant) -> Built:
        steps: list[Artifact] = []
        places = self._places(variant)
        if variant.ref is not None:
            steps.append(self._load(variant, variant.ref, next(places)))
            artifact = steps[0]
        else:
            artifact = self.build(variant.parent or TEACHER).artifact
        for step in variant.steps:
            artifact = self._step(variant, step, artifact, next(places))
            steps.append(artifact)
        return Built(artifact, tuple(steps))

    def _places(self, variant: Variant) -> Iterator[_Place]:
        """Where each of a variant's own steps stands."""
        found = recipes(self._suite, variant)
        for number, recipe in enumerate(found, 1):
            model = self._format_variant(variant)
            yield _Place(model, f"{model} · step {number} of {len(found)}", recipe)

    def _endpoint(self, variant: Variant, ref: ModelRef, place: _Place) -> Artifact:
        key = keys.endpoint_key(variant, self._suite.path.parent)
        model = EndpointModel(variant.runtime.params, key["served"])
        where = f"{self._format_variant(variant)}: endpoint {ref.text}"
        return self._make(where, LOAD, str(ref.text), key, (), lambda _: model, place=place)

    def _cascade(self, variant: Variant, table: CascadeTable, place: _Place) -> Artifact:
        where, suite = f"{self._format_variant(variant)}: cascade", self._suite
        artifacts = tuple(self.build(name).artifact for name in table.models)
        reads = (SELECTION,) if table.reads_selection else ()
        key = keys.cascade_key(suite, self._rows, table, artifacts, reads=reads, device=self._device)

        def make(context: BuildContext) -> Any:
            return make_cascade(suite, variant, artifacts, context)

        return self._make(where, CASCADE, params_json(table), key, reads, make, place=place)

    def _load(self, variant: Variant, ref: ModelRef, place: _Place) -> Artifact:
        if variant.is_endpoint:
            return self._endpoint(variant, ref, place)
        if variant.cascade is not None:
            return self._cascade(variant, variant.cascade, place)
        task = self._suite.setup.task
        where = f"{self._format_variant(variant)}: model {ref.text}"
        with _explain_errors(where):
            ref = fetch_model(ref)
            assert ref.folder is not None
            config = model_config(ref)
            task.object.check_model(task.params, ref, config, self._rows.facts)
            graph = ref.kind != TORCH and ref.stored is None
            if graph:
                graph_loading.check_graph(ref, config, task.object, task.params, self._rows.facts)
            reads = (
                ()
                if graph
                else task.object.load_reads(task.params, without_head(config) if ref.new_head else config)
            )
            if ref.fresh:  # its tokenizer is trained on them
                reads = tuple(dict.fromkeys(("train", *reads)))
        key = keys.load_key(
            self._rows,
            ref,
            reads=reads,
            graph=graph_loading.__name__ if graph else None,
            packages=graph_loading.graph_runtime(ref.kind).packages if graph else ("scikit-learn",),
            seed=self._seed,
            device=self._device,
            precision=self._resolve("auto"),
        )

        def check_unchanged() -> None:
            assert ref.folder is not None
            if contents.model_digest(ref) != key["load"]:
                raise BuildError(
                    f"files of {ref.folder} changed while they were read; run again when nothing writes there"
                )

        def load(context: BuildContext) -> Any:
            if graph:
                return graph_loading.load_graph(ref, context)
            weights = model_weights(ref)
            if any(file.suffix == ".bin" for file in weights):
                context.log["weights"] = (
                    f"{weights[0].name}, read by weights_only: safetensors there are none"
                )
            model = task.object.load_model(task.params, ref, context)
            return model if ref.stored is None else _as_checkpoint(model, ref, context)

        return self._make(
            where,
            LOAD,
            str(ref.text),
            key,
            reads,
            load,
            place=place,
            check=check_unchanged,
        )

    def _step(self, variant: Variant, step: SuiteStep, parent: Artifact, place: _Place) -> Artifact:
        method = step.object
        where = f"{self._format_variant(variant)}: step {step.name}"
        if parent.kind in CHECKPOINTS and parent.kind not in method.takes:  # known late of a model of the hub
            raise BuildError(f"{where}: cannot take a model that is quantized already ({parent.kind})")
        teachers = self._learns_from(where, step, parent)
        params = params_json(step.params)
        with _explain_errors(where):
            environment = method.environment(step.params)
        key = keys.step_key(
            self._suite,
            self._rows,
            step,
            parent,
            teachers,
            environment=environment,
            seed=self._seed,
            device=self._device,
            precision=self._precision(step.params),
        )

        def apply(context: BuildContext) -> Any:
            if getattr(step.params, "processes", 1) > 1:
                model = self._in_processes(step, parent, teachers, context)
            else:
                with context.time_stage("load"):
                    model = _load_for_step(parent, self._device)
                model = method.apply(model, step.params, context)
            if not hasattr(model, "save"):
                raise BuildError(f"apply gave {type(model).__name__} back, expected the model it was given")
            model.kind = method.gives or model.kind
            return model

        stands_later = self._stands_later if step.adds_rows else adds_no_rows
        return self._make(
            where,
            step.name,
            params,
            key,
            step.reads,
            apply,
            place=place,
            teachers=teachers,
            stands_later=stands_later,
        )

    def _in_processes(
        self, step: SuiteStep, parent: Artifact, teachers: tuple[Artifact, ...], context: BuildContext
    ) -> Any:
        from slimgate.run.step_processes import StepJob, apply_in_processes

        if self._device != "cpu":
            raise BuildError(
                f"processes = {step.params.processes} is for training on the CPU; this is {self._device}"
            )
        task = self._suite.setup.task
        job = StepJob(
            method=step.name,
            params=step.params,
            task=task.name,
            task_params=task.params,
            facts=context.facts,
            splits=context.splits,
            parent=parent.folder,
            teachers=tuple((teacher.folder, self._share_of(teacher)) for teacher in teachers),
            seed=context.seed,
            threads=context.threads,
            scratch=context.scratch,
            held_out=self._held_out_texts() if step.adds_rows else None,
        )
        model, log = apply_in_processes(job, step.params.processes)
        context.log.update(log)
        return model

    def _learns_from(self, where: str, step: SuiteStep, parent: Artifact) -> tuple[Artifact, ...]:
        """The artifacts of the step's teachers. Raises BuildError where one of them would count twice."""
        found = {name: parent if name == SELF else self.build(name).artifact for name in step.teachers}
        first: dict[str, str] = {}
        for name, artifact in found.items():
            if (other := first.setdefault(artifact.digest, name)) != name:
                raise BuildError(f'{where}: "{name}" is the same model as "{other}"; name one of them')
        return tuple(found.values())

    def _stands_later(self, texts: Sequence[str]) -> list[bool]:
        """Which of the texts stand in a held-out split. Nothing else is told of the judging rows."""
        held_out = self._held_out_texts()
        return [normalize_row(text) in held_out for text in texts]

    def _held_out_texts(self) -> frozenset[str]:
        if self._held_out is None:
            names = self._suite.setup.task.object.text_columns(self._suite.setup.task.params)
            tables = [self._rows.splits[split].table for split in keys.HELD_OUT if split in self._rows.splits]
            rows = (row for table in tables for row in collapsed_texts(table, names))
            self._held_out = frozenset(map(normalize_row, rows))
        return self._held_out

    def _format_variant(self, variant: Variant) -> str:
        """The variant's name, with the seed where it is not the suite's first."""
        return variant.name if self._seed == self._suite.seed else f"{variant.name} (seed {self._seed})"

    def _precision(self, params: Any) -> str | None:
        wanted = getattr(params, "precision", None)
        return None if wanted is None else self._resolve(wanted)

    def _resolve(self, wanted: str) -> str:
        from slimgate.models.precision import resolve_precision

        return resolve_precision(wanted, self._device)

    def _make(
        self,
        where: str,
        method: str,
        params: Any,
        key: Json,
        reads: tuple[str, ...],
        make: Any,
        *,
        place: _Place,
        teachers: tuple[Artifact, ...] = (),
        stands_later: Callable[[Sequence[str]], list[bool]] = adds_no_rows,
        check: Callable[[], None] = lambda: None,
    ) -> Artifact:
        """check: raises after the model was saved, where what it was made from is not what `key` names."""

        def fill(folder: Path) -> Json:
            import torch

            quiet.keep_back()
            torch.set_num_threads(self._suite.threads)  # else torch's own number, until a runtime sets it
            with (
                scratch_beside(folder) as scratch,
                self._watch.stage(
                    f"{place.told}: {method}", expected=self._expected_seconds(work)
                ) as progress,
            ):
                heard = Heard(progress)
                context = self._context(where, reads, teachers, scratch, heard)
                context.stands_later = stands_later
                start = time.perf_counter()
                try:
                    with _explain_errors(where), self._limit_time(place.model):
                        model = make(context)
                        with context.time_stage("save"):
                            model.save(folder)
                        check()
                        for file in context.kept:
                            shutil.copyfile(file, folder / file.name)
                except SlimgateError as error:
                    seconds = time.perf_counter() - start
                    error.log = step_log(
                        error,
                        method=method,
                        params=params,
                        seconds=seconds,
                        told=heard.last,
                        noted=context.log,
                    )
                    raise
                seconds = time.perf_counter() - start
            return {
                **_manifest(folder, model, method, params, seconds, context.log, beside=context.kept),
                "made": work.to_manifest,
                "told": place.told,
                "parents": [
                    *(key[name] for name in ("parent", "teacher") if key.get(name)),
                    *key.get("more_teachers", ()),
                    *key.get("models", ()),
                ],
            }

        work = self.work(method, params, place.recipe, reads)
        digest = keys.to_key(key)
        entry: Entry = self._store.make("artifacts", digest, fill)
        return Artifact(replace(entry, from_store=False) if digest in self._elsewhere else entry)

    @contextmanager
    def _limit_time(self, model: str) -> Iterator[None]:
        """Ends a step where a variant's own steps together take longer than they may.

        The teacher has no limit: nothing could be said of any variant without it.
        """
        start, limit = time.perf_counter(), None if model == TEACHER else self._time_limit
        told = f"building {model} took longer than {OPTION} {limit:g} (seconds)" if limit else ""
        try:
            with time_limit(limit and max(limit - self._spent[model], 0.0), told):
                yield
        finally:
            self._spent[model] += time.perf_counter() - start

    def work(self, method: str, params: Any, recipe: str, reads: tuple[str, ...]) -> Work:
        """A step as times are looked up by."""
        splits = self._rows.splits
        wanted = ("train",) if method == LOAD else reads  # a fresh head is fitted on them
        rows = {name: len(splits[name]) for name in wanted if len(splits.get(name, ()))}
        return Work(recipe, method, params, rows, (self._device.split(":")[0], self._suite.threads))

    def _expected_seconds(self, work: Work) -> float | None:
        found = self._past.step(work) if self._past else None
        return found.seconds if found else None

    def _context(
        self,
        where: str,
        reads: tuple[str, ...],
        teachers: tuple[Artifact, ...],
        scratch: Path,
        progress: Progress = no_progress,
    ) -> BuildContext:
        def load_teacher() -> Any:
            if not teachers:
                raise BuildError(
                    f"{where}: it asked for the teacher; a method that does sets uses_teacher = True"
                )
            return load_artifact(teachers[0])

        def load_artifact(teacher: Artifact) -> Any:
            with context.time_stage("load"):
                return _load_for_step(teacher, self._device)

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
            load_teacher=load_teacher,
            seed=self._seed,
            device=self._device,
            threads=self._suite.threads,
            scratch=scratch,
            progress=progress,
            share=self._share_of(teachers[0]) if teachers else None,
            more_teachers=tuple(
                MoreTeacher(partial(load_artifact, teacher), self._share_of(teacher))
                for teacher in teachers[1:]
            ),
        )
        return context

    def _share_of(self, teacher: Artifact) -> SharedBySteps:
        return SharedBySteps(self._store, keys.shared_inputs(teacher, self._rows.task, self._device))


@contextmanager
def _explain_errors(where: str) -> Iterator[None]:
    """Any failure of a step as one line that says which step of which variant it was."""
    try:
        yield
    except SlimgateError as error:
        raise type(error)(f"{where}: {error}") from error
    except Exception as error:  # a user's method may raise anything; the cause stays chained
        raise BuildError(f"{where}: {in_one_line(error)}") from error


def _manifest(
    folder: Path,
    model: Any,
    method: str,
    params: Any,
    seconds: float,
    log: Mapping[str, Any],
    *,
    beside: Sequence[Path],
) -> Json:
    """beside: files that are kept with the artifact and are no part of it."""
    files = [file for file in files_of(folder) if file not in {path.name for path in beside}]
    counted = model.counted_files(files) if hasattr(model, "counted_files") else files
    return {
        "kind": model.kind,
        "digest": keys.artifact_digest(folder, files, model.code_modules()),
        "bytes": sum((folder / file).stat().st_size for file in counted),
        **model.footprint(),
        **({"stored": stored} if (stored := getattr(model, "stored", None)) else {}),
        "method": method,
        "params": params,
        "seconds": round(seconds, 3),
        "log": dict(log),
    }


def _load_for_step(artifact: Artifact, device: str) -> Any:
    """The model as a step changes it, or learns from it: weights of 16 bits become float32."""
    from slimgate.models.torch_model import to_float32_

    return to_float32_(artifact.load(device))


def _as_checkpoint(model: Any, ref: ModelRef, context: BuildContext) -> Any:
    """The loaded model as one that keeps its files, and how they store it in the log."""
    from slimgate.models.checkpoint import as_checkpoint

    assert ref.folder is not None
    assert ref.stored is not None
    found = as_checkpoint(model, ref.folder, file=ref.file, dtype=ref.dtype, stored=ref.stored, kind=ref.kind)
    context.log["stored"] = found.stored
    return found

"""Builds models: the artifact of each step of a variant, from the artifact before it. Each is built once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from slimgate._system.digests import file_sha256
from slimgate.errors import BuildError, SlimgateError
from slimgate.models.hub import fetch_model
from slimgate.models.model_ref import TORCH, list_model_weights, read_model_config
from slimgate.models.quantized_files import CHECKPOINT
from slimgate.plugins.base import Json
from slimgate.plugins.context import BuildContext, refuse_held_out
from slimgate.plugins.models import ModelRef
from slimgate.results.checks import TEACHER
from slimgate.run import contents, graph_loading, keys
from slimgate.run.artifact_maker import ArtifactJob, ArtifactMaker, BuildSettings, StepPlace
from slimgate.run.cascade import SELECTION, make_cascade
from slimgate.run.past_times import LOAD, digest_steps
from slimgate.run.rows import BuildInputs, PreparedRows
from slimgate.run.step_context import ContextMaker
from slimgate.run.user_errors import explain_step_errors
from slimgate.runtimes.cascade import KIND as CASCADE
from slimgate.runtimes.endpoint import EndpointModel
from slimgate.store.store import Artifact, Store
from slimgate.suite.cascade_table import CascadeTable
from slimgate.suite.named_plugin import SuiteStep
from slimgate.suite.suite import SELF, Suite, Variant, dump_params
from slimgate.tasks.parts.classifiers import remove_head

if TYPE_CHECKING:
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


class Builder:
    """Builds the models of one suite on demand. A model that failed is not built again: its error repeats."""

    def __init__(
        self,
        suite: Suite,
        rows: PreparedRows,
        store: Store,
        settings: BuildSettings,
        *,
        seed: int | None = None,
        teacher: Builder | None = None,
    ) -> None:
        """seed: default is the suite's. teacher: the builder of the teacher, if it is not this one."""
        self._suite, self._store, self._teacher = suite, store, teacher
        self._inputs = BuildInputs(suite, rows, settings.device, suite.seed if seed is None else seed)
        self._built: dict[str, Built] = {}
        self._failed: dict[str, SlimgateError] = {}
        self._contexts = ContextMaker(self._inputs, store)
        self.maker = ArtifactMaker(self._inputs, store, self._contexts, settings)

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

    def has_built(self, name: str) -> bool:
        """Whether `build` has returned the model before."""
        return name in self._built

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

    def _list_places(self, variant: Variant) -> Iterator[StepPlace]:
        """The places of a variant's own steps."""
        digests = digest_steps(self._suite, variant)
        for number, recipe in enumerate(digests, 1):
            model = self._format_variant(variant)
            yield StepPlace(model, f"{model} · step {number} of {len(digests)}", recipe)

    def _make_endpoint(self, variant: Variant, ref: ModelRef, place: StepPlace) -> Artifact:
        key = keys.make_endpoint_key(variant, self._suite.path.parent)
        model = EndpointModel(variant.runtime.params, key["served"])
        return self._make_artifact(
            ArtifactJob(
                where=f"{self._format_variant(variant)}: endpoint {ref.text}",
                step_name=LOAD,
                params=str(ref.text),
                key=key,
                reads=(),
                make=lambda _: model,
                place=place,
            )
        )

    def _make_cascade(self, variant: Variant, table: CascadeTable, place: StepPlace) -> Artifact:
        artifacts = tuple(self.build(name).artifact for name in table.models)
        reads = (SELECTION,) if table.reads_selection else ()
        key = keys.make_cascade_key(self._inputs, table, artifacts, reads=reads)

        def make(context: BuildContext) -> Any:
            return make_cascade(self._suite, variant, artifacts, context)

        return self._make_artifact(
            ArtifactJob(
                where=f"{self._format_variant(variant)}: cascade",
                step_name=CASCADE,
                params=dump_params(table),
                key=key,
                reads=reads,
                make=make,
                place=place,
            )
        )

    def _load_model(self, variant: Variant, ref: ModelRef, place: StepPlace) -> Artifact:
        if variant.is_endpoint:
            return self._make_endpoint(variant, ref, place)
        if variant.cascade is not None:
            return self._make_cascade(variant, variant.cascade, place)
        where = f"{self._format_variant(variant)}: model {ref.text}"
        with explain_step_errors(where):
            ref = fetch_model(ref)
            reads = self._check_source(ref)
        graph = _is_graph(ref)
        key = keys.make_load_key(
            self._inputs,
            ref,
            reads=reads,
            graph=graph_loading.__name__ if graph else None,
            packages=graph_loading.find_graph_runtime(ref.kind).packages if graph else ("scikit-learn",),
            precision=self._resolve_precision("auto"),
        )
        return self._make_artifact(
            ArtifactJob(
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
        task, facts = self._suite.setup.task, self._inputs.rows.facts
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

    def _apply_step(self, variant: Variant, step: SuiteStep, parent: Artifact, place: StepPlace) -> Artifact:
        plugin = step.object
        where = f"{self._format_variant(variant)}: step {step.name}"
        if parent.kind == CHECKPOINT and CHECKPOINT not in plugin.takes:  # a hub model's kind is known late
            raise BuildError(
                f"{where}: this step cannot start from an already quantized model ({parent.kind})"
            )
        teachers = self._build_teachers(where, step, parent)
        with explain_step_errors(where):
            environment = contents.read_environment(plugin, step.params)
        precision = getattr(step.params, "precision", None)
        key = keys.make_step_key(
            self._inputs,
            step,
            parent,
            teachers,
            environment=environment,
            precision=None if precision is None else self._resolve_precision(precision),
        )

        def are_held_out(texts: Sequence[str]) -> list[bool]:
            return self._contexts.read_held_out_texts()(texts)

        return self._make_artifact(
            ArtifactJob(
                where=where,
                step_name=step.name,
                params=dump_params(step.params),
                key=key,
                reads=step.reads,
                make=lambda context: self._run_step(step, parent, teachers, context),
                place=place,
                teachers=teachers,
                modules=(*key["code"], *(name.partition(":")[0] for name in step.functions)),
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
        seed = self._inputs.seed
        return variant.name if seed == self._suite.seed else f"{variant.name} (seed {seed})"

    def _resolve_precision(self, precision: str) -> str:
        from slimgate.models.precision import resolve_precision

        return resolve_precision(precision, self._inputs.device)

    def _make_artifact(self, job: ArtifactJob) -> Artifact:
        """Finds the artifact in the store, or makes it."""
        return self.maker.make(job)


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

"""Plans a run without building: what the store has of each model, and how long the rest took before."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from slimgate._system.digests import digest_json
from slimgate.errors import SlimgateError
from slimgate.plugins.rows import GATE
from slimgate.results.checks import TEACHER
from slimgate.run.answering_model import AnsweringModel
from slimgate.run.artifact_maker import ArtifactJob, BuildSettings
from slimgate.run.build import Builder
from slimgate.run.measure.quality import has_answers
from slimgate.run.past_times import CASCADE, LOAD, Estimate, digest_model, digest_steps
from slimgate.run.run import SuiteRun
from slimgate.store.store import Artifact
from slimgate.suite.named_plugin import SuiteStep
from slimgate.suite.suite import Variant, dump_params


@dataclass(frozen=True)
class PlannedStep:
    """A step of a model. seconds: how long it took before, if it has to be built and that is known."""

    name: str
    recipe: str
    bytes: int | None = None
    stored: bool = False
    seconds: Estimate | None = None


@dataclass(frozen=True)
class PlannedModel:
    """A model: what it starts from, its own steps, its answers on the gate rows.

    predicting: how long answering took before. error: why it cannot be built.
    """

    name: str
    start: str
    recipe: str
    steps: tuple[PlannedStep, ...]
    answered: bool
    predicting: Estimate | None
    error: str | None

    @property
    def missing(self) -> tuple[PlannedStep, ...]:
        """The steps to build."""
        return tuple(step for step in self.steps if not step.stored)

    @property
    def bytes(self) -> int | None:
        """The size of the artifact, if the store has it."""
        return self.steps[-1].bytes if self.steps else None


class NotStored(Exception):
    """A step that the store does not have."""


class Lookup(Builder):
    """A builder that only looks into the store: it raises NotStored at the first step that is missing."""

    def __init__(self, run: SuiteRun, seed: int | None = None, teacher: Builder | None = None) -> None:
        """seed, teacher: see Builder."""
        settings = BuildSettings(run.device)
        super().__init__(run.suite, run.rows, run.store, settings, seed=seed, teacher=teacher)
        self.artifacts: dict[str, Artifact] = {}

    def _make_artifact(self, job: ArtifactJob) -> Artifact:
        entry = self._store.find("artifacts", digest_json(job.key))
        if entry is None:
            raise NotStored(job.where)
        artifact = self.artifacts[job.place.recipe] = Artifact(entry)
        return artifact


def plan_models(run: SuiteRun) -> list[PlannedModel]:
    """The teacher and the variants, in the suite's order. Cuts the splits if that was not done."""
    lookup = Lookup(run)
    return [_plan_model(run, lookup, run.suite.model(name)) for name in (TEACHER, *run.suite.variants)]


def _plan_model(run: SuiteRun, lookup: Lookup, variant: Variant) -> PlannedModel:
    answered, predicting, error = False, None, None
    try:
        with suppress(NotStored):  # the steps that are missing are planned below
            artifact = lookup.build(variant.name).artifact
            model = AnsweringModel(run.suite, run.rows, artifact, variant.runtime, run.device)
            answered = has_answers(model, GATE, run.store)
    except SlimgateError as failure:
        error = str(failure)
    if not answered:
        work = run.describe_prediction(variant.name, variant.runtime, GATE)
        predicting = run.past.estimate_prediction(work)
    loading = [None] if variant.ref else []
    steps = zip([*loading, *variant.steps], digest_steps(run.suite, variant), strict=True)
    return PlannedModel(
        name=variant.name,
        start=str(variant.ref.text if variant.ref else variant.parent or TEACHER),
        recipe=digest_model(run.suite, variant.name),
        steps=tuple(_plan_step(run, lookup, variant, *step) for step in steps),
        answered=answered,
        predicting=predicting,
        error=error,
    )


def _plan_step(
    run: SuiteRun, lookup: Lookup, variant: Variant, plugin: SuiteStep | None, recipe: str
) -> PlannedStep:
    """Plans a step. plugin: None for loading the model that the variant names, and for a cascade."""
    params: object
    teachers: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    if plugin is not None:
        name, params = plugin.name, dump_params(plugin.params)
        teachers, reads = plugin.teachers, plugin.reads
    elif variant.cascade is not None:
        name, params = CASCADE, dump_params(variant.cascade)
    else:
        name, params = LOAD, variant.ref.text if variant.ref else None
    shown_name = name if teachers in ((), (TEACHER,)) else f"{name} from {' and '.join(teachers)}"
    if (artifact := lookup.artifacts.get(recipe)) is not None:
        return PlannedStep(shown_name, recipe, artifact.manifest["bytes"], stored=True)
    work = lookup.maker.describe_work(name, params, recipe, reads)
    return PlannedStep(shown_name, recipe, seconds=run.past.estimate_step(work))

"""What a run would do: what the store has of each model, and what the rest took before. Builds nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from slimgate.errors import SlimgateError
from slimgate.protocols import GATE
from slimgate.run import keys
from slimgate.run.build import Builder
from slimgate.run.measure.quality import has_answers
from slimgate.run.past_times import CASCADE, LOAD, Estimate, recipe, recipes
from slimgate.run.run import SuiteRun
from slimgate.store.artifact import Artifact
from slimgate.suite.suite import TEACHER, SuiteStep, Variant, params_json


@dataclass(frozen=True)
class PlannedStep:
    """A step of a model. seconds: what it took before, where it is to be built and that is known."""

    name: str
    recipe: str
    bytes: int | None = None
    stored: bool = False
    seconds: Estimate | None = None


@dataclass(frozen=True)
class PlannedModel:
    """A model: what it starts from, its own steps, its answers on the gate rows.

    predicting: what answering took before. error: why it cannot be built.
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
        """Of the artifact, where the store has it."""
        return self.steps[-1].bytes if self.steps else None


class NotStored(Exception):
    """A step that the store does not have."""


class Lookup(Builder):
    """A builder that only looks: it stops at the first step that would have to be built."""

    def __init__(self, run: SuiteRun, seed: int | None = None, teacher: Builder | None = None) -> None:
        """seed, teacher: as of a builder."""
        super().__init__(run.suite, run.rows, run.store, device=run.device, seed=seed, teacher=teacher)
        self.found: dict[str, Artifact] = {}

    def _make(self, where: str, method: str, params: Any, key: Any, *others: Any, **more: Any) -> Artifact:  # noqa: ARG002
        entry = self._store.find("artifacts", keys.to_key(key))
        if entry is None:
            raise NotStored(where)
        self.found[more["place"].recipe] = Artifact(entry)
        return self.found[more["place"].recipe]


def planned_models(run: SuiteRun) -> list[PlannedModel]:
    """The teacher and the variants, in the suite's order. Cuts the splits where that was not done."""
    lookup = Lookup(run)
    return [_plan_model(run, lookup, run.suite.model(name)) for name in (TEACHER, *run.suite.variants)]


def _plan_model(run: SuiteRun, lookup: Lookup, variant: Variant) -> PlannedModel:
    answers, error = False, None
    try:
        artifact = lookup.build(variant.name).artifact
        answers = has_answers(
            run.suite, run.rows, artifact, variant.runtime, GATE, run.store, device=run.device
        )
    except NotStored:
        answers = False
    except SlimgateError as found:
        error = str(found)
    plugins = [*([None] if variant.ref else []), *variant.steps]
    steps = zip(plugins, recipes(run.suite, variant), strict=True)
    return PlannedModel(
        name=variant.name,
        start=str(variant.ref.text if variant.ref else variant.parent or TEACHER),
        recipe=recipe(run.suite, variant.name),
        steps=tuple(_step(run, lookup, variant, *one) for one in steps),
        answered=answers,
        predicting=None
        if answers
        else run.past.prediction(run.predicting(variant.name, variant.runtime, GATE)),
        error=error,
    )


def _step(
    run: SuiteRun, lookup: Lookup, variant: Variant, plugin: SuiteStep | None, recipe: str
) -> PlannedStep:
    """plugin: None for loading the model that the variant names."""
    name = (CASCADE if variant.cascade else LOAD) if plugin is None else plugin.name
    teachers = () if plugin is None else plugin.teachers
    told = name if teachers in ((), (TEACHER,)) else f"{name} from {' and '.join(teachers)}"
    if (found := lookup.found.get(recipe)) is not None:
        return PlannedStep(told, recipe, found.manifest["bytes"], stored=True)
    params = variant.ref.text if plugin is None and variant.ref else plugin and params_json(plugin.params)
    if variant.cascade is not None:
        params = params_json(variant.cascade)
    work = lookup.work(name, params, recipe, () if plugin is None else plugin.reads)
    return PlannedStep(told, recipe, seconds=run.past.step(work))

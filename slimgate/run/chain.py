"""The stages of a model: the artifacts on its way, each with the model whose step made it."""

from __future__ import annotations

from collections.abc import Iterator

from slimgate.run.run import SuiteRun
from slimgate.store.artifact import Artifact
from slimgate.suite.suite import TEACHER


def stages(run: SuiteRun, name: str) -> Iterator[tuple[str, str | None, Artifact]]:
    """(owner, step, artifact after it); the first is the teacher, or the model that was loaded."""
    parent = run.suite.model(name).parent
    if run.suite.model(name).ref is None:
        if parent in (None, TEACHER):
            yield TEACHER, None, run.built(TEACHER).artifact
        else:
            yield from stages(run, str(parent))
    yield from own_stages(run, name)


def own_stages(run: SuiteRun, name: str) -> Iterator[tuple[str, str | None, Artifact]]:
    """Those of a model's own steps; where it is loaded, that comes first. The teacher is one stage."""
    variant, built = run.suite.model(name), run.built(name)
    if name == TEACHER:
        yield name, None, built.artifact
        return
    steps = [step.name for step in variant.steps]
    told = steps if variant.ref is None else [None, *steps]
    for step, artifact in zip(told, built.steps, strict=True):
        yield name, step, artifact

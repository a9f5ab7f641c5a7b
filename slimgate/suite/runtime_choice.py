"""Chooses the runtime of a model if the suite names none."""

from __future__ import annotations

from dataclasses import replace

from slimgate.errors import BuildError
from slimgate.plugins.loading import find_default_runtime, load_plugins
from slimgate.results.checks import TEACHER
from slimgate.suite.named_plugin import Plugin, SuiteRuntime
from slimgate.suite.suite import Suite, find_kind


def find_runtime(kind: str) -> SuiteRuntime:
    """The runtime whose `default_for` holds the kind, without options. Raises BuildError."""
    named_runtime = find_default_runtime(kind)
    if named_runtime is None:
        raise BuildError(
            f"no runtime executes artifacts of kind {kind}; known: {', '.join(load_plugins('runtime'))}"
        )
    name, runtime = named_runtime
    return Plugin(name, runtime, runtime.Params())


def add_default_runtimes(suite: Suite, stated: frozenset[str]) -> Suite:
    """The suite with a default runtime for each model, by the kind of its artifact.

    stated: the variants whose runtime the suite names; they keep it. If no known runtime executes the kind,
    the model keeps its runtime and `check_models` reports it.
    """
    models = dict(suite.models)
    for name, variant in models.items():
        kind = find_kind(variant, models)
        if name not in stated and kind not in variant.runtime.object.kinds:
            try:
                models[name] = replace(variant, runtime=find_runtime(kind))
            except BuildError:
                continue
    teacher = models.pop(TEACHER)
    return replace(suite, teacher=teacher, variants=models)

"""Which runtime executes an artifact where the suite names none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from slimgate.errors import BuildError
from slimgate.loading import plugins, runtime_of
from slimgate.suite.suite import TEACHER, Plugin, Suite, SuiteRuntime, Variant


def runtime_for(kind: str) -> SuiteRuntime:
    """The runtime whose `default_for` holds the kind, without options. Raises BuildError."""
    found = runtime_of(kind)
    if found is None:
        raise BuildError(
            f"no runtime executes artifacts of kind {kind}; known: {', '.join(plugins('runtime'))}"
        )
    name, runtime = found
    return Plugin(name, runtime, runtime.Params())


def with_default_runtimes(suite: Suite, stated: frozenset[str]) -> Suite:
    """The suite in which every variant but the stated ones has the runtime of its artifact's kind.

    A kind that no known runtime executes keeps the runtime it has: `check_models` says so.
    """
    models: dict[str, Variant] = {TEACHER: suite.teacher, **suite.variants}
    for name, variant in models.items():
        kind = kind_of(variant, models)
        if name not in stated and kind not in variant.runtime.object.kinds:
            try:
                models[name] = replace(variant, runtime=runtime_for(kind))
            except BuildError:
                continue
    teacher = models.pop(TEACHER)
    return replace(suite, teacher=teacher, variants=models)


def kind_of(variant: Variant, models: Mapping[str, Variant]) -> str:
    """The kind of artifact that a variant's steps leave."""
    for step in reversed(variant.steps):
        if step.object.gives is not None:
            return str(step.object.gives)
    if variant.ref is not None:
        return variant.ref.kind
    return kind_of(models[variant.parent or TEACHER], models)

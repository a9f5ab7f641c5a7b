"""How a model comes about, as a digest a step: what it starts from and the steps on the way, without data."""

from __future__ import annotations

from slimgate._system.digests import json_digest
from slimgate.suite.suite import SELF, TEACHER, Suite, Variant, params_json

LOAD = "load_model"


def recipes(suite: Suite, variant: Variant) -> list[str]:
    """Of each of a variant's own steps; loading its model comes first where it names one."""
    if variant.ref is None:
        found = [recipe(suite, variant.parent or TEACHER)]
    else:
        found = [json_digest([LOAD, variant.ref.text, *(["new_head"] if variant.ref.new_head else [])])]
    for step in variant.steps:
        learns = [name if name == SELF else recipe(suite, name) for name in step.teachers]
        found.append(json_digest([found[-1], step.name, params_json(step.params), *(learns or (None,))]))
    return found if variant.ref is not None else found[1:]


def recipe(suite: Suite, name: str) -> str:
    """Of a whole model."""
    variant = suite.model(name)
    return (recipes(suite, variant) or [recipe(suite, variant.parent or TEACHER)])[-1]

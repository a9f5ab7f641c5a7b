"""A drawn step list -> a variant, by the checks that a suite's variants pass."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from slimgate.errors import SuiteError
from slimgate.suite.errors import Loc
from slimgate.suite.tune_space import Drawn

if TYPE_CHECKING:
    from slimgate.suite.reader import Reader
    from slimgate.suite.suite import Suite, Variant


def candidate(reader: Reader, suite: Suite, one: Drawn, name: str) -> Variant:
    """The variant of that name. Raises SuiteError for steps that cannot be, with their place in [tune]."""
    from slimgate.suite.checks import check_models, known_teachers
    from slimgate.suite.runtime_choice import with_default_runtimes
    from slimgate.suite.suite import Variant

    loc: Loc = ("tune", "space", one.space.number)
    if not one.steps:
        raise reader.error(loc, "every step is left out")
    variant = Variant(
        name=name,
        parent=one.space.parent,
        ref=None,
        steps=tuple(reader.step(step, (*loc, "steps", place)) for place, step in one.steps),
        runtime=reader.runtime(one.space.runtime, loc),
    )

    def error_at(where: Loc, problem: str) -> SuiteError:
        """The error at the step's place in the space: steps before it may have been left out."""
        if tuple(where[:2]) != ("variants", name):
            return reader.error(where, problem)
        rest = list(where[2:])
        if len(rest) > 1 and rest[0] == "steps":
            rest[1] = one.steps[int(rest[1])][0]
        return reader.error((*loc, *rest), problem)

    stated = frozenset() if one.space.runtime is None else frozenset({name})
    whole = replace(suite, variants={**suite.variants, name: variant})
    whole = with_default_runtimes(whole, stated)
    known_teachers(whole.variants, error_at)
    check_models(whole, error_at, folders=reader.check_data)
    return whole.variants[name]


def free_name(wanted: str, suite: Suite) -> str:
    """The name, or one like it where a variant of the suite has it: its steps may start from that one."""
    while wanted in suite.variants:
        wanted += "-again"
    return wanted

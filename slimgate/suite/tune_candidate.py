"""Makes a variant of a drawn step list, with the same checks as for the suite's variants."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from slimgate.errors import SuiteError
from slimgate.suite.errors import Loc
from slimgate.suite.tune_space import Drawn

if TYPE_CHECKING:
    from slimgate.suite.reader import Reader
    from slimgate.suite.suite import Suite, Variant


def make_candidate(reader: Reader, suite: Suite, drawn: Drawn, name: str) -> Variant:
    """The step list as a variant. Raises SuiteError, with its place in [tune], if it is invalid."""
    from slimgate.suite.checks import check_models
    from slimgate.suite.runtime_choice import add_default_runtimes
    from slimgate.suite.step_checks import check_teachers_exist
    from slimgate.suite.suite import Variant

    loc: Loc = ("tune", "space", drawn.space.number)
    if not drawn.steps:
        raise reader.make_error(loc, "every step is left out")
    variant = Variant(
        name=name,
        parent=drawn.space.parent,
        ref=None,
        steps=tuple(reader.read_step(step, (*loc, "steps", number)) for number, step in drawn.steps),
        runtime=reader.read_runtime(drawn.space.runtime, loc),
    )

    def error_at(where: Loc, problem: str) -> SuiteError:
        """The error at the step's place in the space: steps before it may have been left out."""
        if tuple(where[:2]) != ("variants", name):
            return reader.make_error(where, problem)
        rest = list(where[2:])
        if len(rest) > 1 and rest[0] == "steps":
            rest[1] = drawn.steps[int(rest[1])][0]
        return reader.make_error((*loc, *rest), problem)

    stated = frozenset() if drawn.space.runtime is None else frozenset({name})
    extended_suite = replace(suite, variants={**suite.variants, name: variant})
    extended_suite = add_default_runtimes(extended_suite, stated)
    check_teachers_exist(extended_suite.variants, error_at)
    check_models(extended_suite, error_at, folders=reader.check_data)
    return extended_suite.variants[name]


def find_free_name(name: str, suite: Suite) -> str:
    """The name, or a longer one if a variant of the suite has it already."""
    while name in suite.variants:
        name += "-again"
    return name

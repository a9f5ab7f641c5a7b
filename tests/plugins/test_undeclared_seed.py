"""A step from outside of slimgate depends on the seed unless it says otherwise.

With `over = "builds"`, one build would else stand for the builds of all seeds.
"""

from __future__ import annotations

from typing import Any

import pytest

from slimgate.plugins.step import Step
from slimgate.steps.finetune import fine_tune
from slimgate.steps.prune import magnitude_prune
from slimgate.steps.quantize import int8_dynamic


class Undeclared(Step):
    def apply(self, model: Any, params: Any, context: Any) -> Any:
        raise NotImplementedError


class Declared(Undeclared):
    stochastic = False


class Heir(Declared):
    pass


class Pruned(type(magnitude_prune.step)):  # type: ignore[misc]
    pass


class Tuned(type(fine_tune.step)):  # type: ignore[misc]
    pass


@pytest.mark.parametrize(
    ("step", "stochastic"),
    [
        (Undeclared, True),
        (Declared, False),
        (Heir, False),
        (Pruned, True),
        (Tuned, True),
        (type(int8_dynamic.step), False),
        (type(fine_tune.step), True),
    ],
    ids=["undeclared", "declared", "inherited", "of a step", "of training", "int8", "training"],
)
def test_a_step_from_outside_depends_on_the_seed(step: type[Step[Any]], stochastic: bool) -> None:
    assert step.stochastic is stochastic

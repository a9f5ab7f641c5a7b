"""When two releases of a model answered alike."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.releases import INT8, make_answers

from slimgate.outcomes import Outcomes
from slimgate.record.comparing.answers import has_same_answers

IDS = np.asarray(["a", "b"])
PLAIN = Outcomes(IDS, values={"nats": np.asarray([1.0, 2.0])}, answers=np.asarray(["x", "y"]))


def test_equal_answers_are_the_same() -> None:
    assert has_same_answers(make_answers(INT8), make_answers(INT8))
    assert has_same_answers(PLAIN, replace(PLAIN))


@pytest.mark.parametrize(
    "other",
    [
        replace(PLAIN, values={"nats": np.asarray([1.0, 2.0 + 1e-12])}),
        replace(PLAIN, values={"bits": np.asarray([1.0, 2.0])}),
        replace(PLAIN, answers=np.asarray(["x", "z"])),
        replace(PLAIN, answers=None),
    ],
    ids=["a digit", "another value", "a word", "no words"],
)
def test_whatever_differs_is_another_answer(other: Outcomes) -> None:
    assert not has_same_answers(PLAIN, other)


def test_a_class_or_its_probability_is_an_answer() -> None:
    outcomes = make_answers(INT8)
    shares = np.full((len(outcomes), 4), 0.25)
    assert not has_same_answers(outcomes, make_answers({**INT8, "loan": range(116)}))
    assert not has_same_answers(outcomes, replace(outcomes, probabilities=shares))
    assert has_same_answers(
        replace(outcomes, probabilities=shares), replace(outcomes, probabilities=shares.copy())
    )

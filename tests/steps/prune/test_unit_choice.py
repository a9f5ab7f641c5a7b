"""Which units stay, on scores worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from slimgate.errors import BuildError
from slimgate.steps.prune._unit_choice import choose_units, select_best_units

SCORES = {"a": np.array([0.9, 0.1, 0.8, 0.7]), "b": np.array([0.2, 0.3, 0.05, 0.01])}


def test_half_of_every_layer_stays() -> None:
    assert choose_units(SCORES, 0.5, "layer") == {"a": [0, 2], "b": [0, 1]}


def test_half_of_the_model_stays_wherever_it_is() -> None:
    # by score alone: 0.9, 0.8, 0.7, 0.3
    assert choose_units(SCORES, 0.5, "global") == {"a": [0, 2, 3], "b": [1]}


def test_every_layer_keeps_its_best_even_if_all_is_worth_less() -> None:
    # two of eight stay: 0.9 and 0.8 by score, but 0.3 is b's best
    assert choose_units(SCORES, 0.75, "global") == {"a": [0], "b": [1]}


@pytest.mark.parametrize(
    ("ratio", "scope", "largest"), [(0.9, "global", "0.75"), (0.9, "layer", "0.75")], ids=["global", "layer"]
)
def test_a_ratio_that_empties_a_layer_says_how_much_can_go(ratio: float, scope: str, largest: str) -> None:
    with pytest.raises(BuildError, match=rf"every layer must keep one; give at most {largest}"):
        choose_units(SCORES, ratio, scope)  # type: ignore[arg-type]


def test_widths_are_rounded_to_the_nearest_multiple() -> None:
    scores = {"a": np.arange(16.0), "b": -np.arange(16.0)}
    # 0 to 15 of a are above all of b but b's best: 16 of 32 stay as 15 and 1, and so as 16 and 4
    units = choose_units(scores, 0.5, "global", multiple_of=4)
    assert units == {"a": list(range(16)), "b": [0, 1, 2, 3]}


def test_a_layer_narrower_than_the_multiple_stays_whole() -> None:
    assert choose_units({"a": np.array([1.0, 2.0])}, 0.5, "layer", multiple_of=8) == {"a": [0, 1]}


def test_of_equal_scores_the_earlier_units_stay() -> None:
    assert select_best_units(np.zeros(5), 3) == [0, 1, 2]
    assert choose_units({"a": np.zeros(4), "b": np.zeros(4)}, 0.5, "global") == {"a": [0, 1, 2], "b": [0]}


def test_the_units_that_stay_ignore_the_scale_of_all_scores() -> None:
    scaled = {name: 1e-9 * values for name, values in SCORES.items()}
    assert choose_units(scaled, 0.5, "global") == choose_units(SCORES, 0.5, "global")

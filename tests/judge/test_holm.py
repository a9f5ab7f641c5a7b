from __future__ import annotations

import numpy as np
import pytest

from slimgate.judge.slices import adjust_by_holm


def test_an_example_worked_by_hand() -> None:
    # sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1: 0.02, 0.03, 0.06, 0.04, and none below the one before
    assert adjust_by_holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@pytest.mark.parametrize(
    ("p_values", "rejected"),
    [
        # Holm stops at the first that is above alpha / (tests left): 0.02 <= 0.05 / 2, but 0.02 > 0.05 / 3
        ([0.02, 0.02, 0.02], [False, False, False]),
        ([0.016, 0.02, 0.02], [True, True, True]),
        ([0.016, 0.03, 0.001], [True, True, True]),
        ([0.012, 0.2, 0.026, 0.011], [True, False, False, True]),
        ([0.05], [True]),
        ([0.0501], [False]),
    ],
)
def test_rejected_at_5_percent_is_what_the_step_down_rejects(
    p_values: list[float], rejected: list[bool]
) -> None:
    assert (adjust_by_holm(np.array(p_values)) <= 0.05).tolist() == rejected
    assert step_down(p_values, 0.05) == rejected


def step_down(p_values: list[float], alpha: float) -> list[bool]:
    """The procedure as Holm wrote it: from the smallest on, each against alpha / (tests left)."""
    rejected = [False] * len(p_values)
    for left, place in zip(
        range(len(p_values), 0, -1), sorted(range(len(p_values)), key=p_values.__getitem__), strict=True
    ):
        if p_values[place] > alpha / left:
            break
        rejected[place] = True
    return rejected


def test_it_agrees_with_the_step_down_on_many_random_sets() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        p_values = rng.beta(0.3, 3, size=rng.integers(1, 20))
        assert (adjust_by_holm(p_values) <= 0.05).tolist() == step_down(p_values.tolist(), 0.05)


def test_no_tests_are_no_p_values() -> None:
    assert adjust_by_holm(np.array([])).shape == (0,)


def test_true_hypotheses_are_rejected_in_at_most_5_percent() -> None:
    rng = np.random.default_rng(1)
    runs = 4000
    false = sum((adjust_by_holm(rng.random(80)) <= 0.05).any() for _ in range(runs))
    # 5 % with a standard error of 0.34 %
    assert 0.035 <= false / runs <= 0.06


def test_a_corrected_p_value_is_at_most_one() -> None:
    assert adjust_by_holm(np.array([0.4, 0.9, 0.6])).tolist() == [1.0, 1.0, 1.0]

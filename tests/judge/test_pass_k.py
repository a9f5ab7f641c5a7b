"""pass@k and pass^k of a sample, by the number of right answers."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from slimgate.judge.pass_k import PassMetric, compute_pass_scores


@pytest.mark.parametrize("kind", ["@", "^"])
@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_a_sample_has_the_mean_over_all_choices_of_k_answers(kind: str, k: int) -> None:
    metric = PassMetric.parse(f"pass{kind}{k}")
    assert metric is not None
    judge = any if kind == "@" else all
    for right in range(6):
        answers = [True] * right + [False] * (5 - right)
        expected = np.mean([judge(chosen) for chosen in combinations(answers, k)])
        values, _ = compute_pass_scores(metric, np.array([float(right)]), np.array([5.0]))
        assert values[0] == pytest.approx(expected)


def test_the_slope_is_the_chance_of_the_other_answers() -> None:
    # of a wrong answer among 8, 4 of the 7 others are right: two of them are with a chance of 4/7 · 3/6
    power, any_of = PassMetric("^", 3), PassMetric("@", 3)
    right, repeats = np.array([0.0, 1.0, 4.0]), np.full(3, 8.0)
    assert compute_pass_scores(power, right, repeats)[1] == pytest.approx([0.0, 0.0, 3 * 4 / 7 * 3 / 6])
    wrong = 8 - right
    assert compute_pass_scores(any_of, wrong, repeats)[1] == pytest.approx([0.0, 0.0, 3 * 4 / 7 * 3 / 6])
    odd = compute_pass_scores(any_of, np.array([1.0]), np.array([3.0]))[1]
    assert odd == pytest.approx([3.0])  # both others are wrong


@pytest.mark.parametrize("name", ["pass", "pass@", "pass^0", "pass3", "pass@-1", "my_pass^3", "pass^3 "])
def test_other_names_are_no_pass(name: str) -> None:
    assert PassMetric.parse(name) is None


def test_a_pass_is_called_as_it_was_named() -> None:
    assert [PassMetric.parse(name).name for name in ("pass@1", "pass^10")] == ["pass@1", "pass^10"]  # type: ignore[union-attr]

from __future__ import annotations

from math import log

import numpy as np
import pytest
from scipy.stats import entropy
from support.class_answers import FOUR, answered, without_probabilities

from slimgate.judge import answer_figures
from slimgate.judge.answer_figures import kl_to_teacher


def test_the_divergence_of_two_rows_by_hand() -> None:
    teacher = answered([0, 0], [[0.5, 0.5], [1.0, 0.0]])
    variant = answered([0, 0], [[0.25, 0.75], [0.5, 0.5]])
    # 0.5 ln 2 + 0.5 ln (2/3), and ln 2; a class of probability 0 adds nothing
    assert kl_to_teacher(teacher, variant) == pytest.approx((0.5 * log(2) + 0.5 * log(2 / 3) + log(2)) / 2)


def test_it_is_that_of_scipy_in_whatever_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer_figures, "_ROWS_AT_ONCE", 7)
    rng = np.random.default_rng(0)
    before, after = rng.dirichlet(np.ones(6), 40), rng.dirichlet(np.ones(6), 40)
    divergence = kl_to_teacher(answered([0] * 40, before), answered([0] * 40, after))
    assert divergence == pytest.approx(entropy(before, after, axis=1).mean())


def test_a_copy_is_at_zero_and_an_impossible_class_stays_finite() -> None:
    assert kl_to_teacher(FOUR, FOUR) == 0.0
    sure, opposite = answered([0], [[1.0, 0.0]]), answered([0], [[0.0, 1.0]])
    assert kl_to_teacher(sure, opposite) == pytest.approx(-log(1e-12))


def test_without_probabilities_of_both_there_is_none() -> None:
    assert kl_to_teacher(without_probabilities(FOUR), FOUR) is None
    assert kl_to_teacher(FOUR, without_probabilities(FOUR)) is None

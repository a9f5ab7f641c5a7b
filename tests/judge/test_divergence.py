from __future__ import annotations

from math import log

import numpy as np
import pytest
from scipy.stats import entropy
from support.class_answers import FOUR, drop_probabilities, make_class_answers

from slimgate.judge import answer_figures
from slimgate.judge.answer_figures import compute_kl_to_teacher


def test_the_divergence_of_two_rows_by_hand() -> None:
    teacher = make_class_answers([0, 0], [[0.5, 0.5], [1.0, 0.0]])
    variant = make_class_answers([0, 0], [[0.25, 0.75], [0.5, 0.5]])
    # 0.5 ln 2 + 0.5 ln (2/3), and ln 2; a class of probability 0 adds nothing
    assert compute_kl_to_teacher(teacher, variant) == pytest.approx(
        (0.5 * log(2) + 0.5 * log(2 / 3) + log(2)) / 2
    )


def test_it_is_that_of_scipy_in_whatever_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer_figures, "_ROWS_AT_ONCE", 7)
    rng = np.random.default_rng(0)
    before, after = rng.dirichlet(np.ones(6), 40), rng.dirichlet(np.ones(6), 40)
    divergence = compute_kl_to_teacher(
        make_class_answers([0] * 40, before), make_class_answers([0] * 40, after)
    )
    assert divergence == pytest.approx(entropy(before, after, axis=1).mean())


def test_a_copy_is_at_zero_and_an_impossible_class_stays_finite() -> None:
    assert compute_kl_to_teacher(FOUR, FOUR) == 0.0
    sure, opposite = make_class_answers([0], [[1.0, 0.0]]), make_class_answers([0], [[0.0, 1.0]])
    assert compute_kl_to_teacher(sure, opposite) == pytest.approx(-log(1e-12))


def test_without_probabilities_of_both_there_is_none() -> None:
    assert compute_kl_to_teacher(drop_probabilities(FOUR), FOUR) is None
    assert compute_kl_to_teacher(FOUR, drop_probabilities(FOUR)) is None

"""Simulated verdicts on lengths and on slices of logs, in small; they are those of the judge itself."""

from __future__ import annotations

import numpy as np
import pytest

from tools.simulations import length_verdicts, log_slice_verdicts
from tools.simulations.length_verdicts import (
    ANSWERS,
    LONGEST,
    Answers,
    draw_lengths,
    judge_by_test,
    judge_lengths,
)
from tools.simulations.log_slice_verdicts import ALL, EVERY, NAMED, ONE

# 6 % and two standard errors of 200 runs
LIMIT = 0.06 + 2 * (0.06 * 0.94 / 200) ** 0.5
KNOWN = [answers for answers in ANSWERS if answers.longest == LONGEST]


@pytest.mark.parametrize("answers", KNOWN, ids=lambda answers: answers.label)
def test_answers_at_their_limit_seldom_pass(answers: Answers) -> None:
    shares = length_verdicts.Cell(answers, 300, (0,)).simulate(200)
    assert shares.passed <= LIMIT
    assert shares.failed <= LIMIT


@pytest.mark.parametrize("answers", KNOWN[::3], ids=lambda answers: answers.label)
def test_the_quick_verdict_on_lengths_is_the_judges(answers: Answers) -> None:
    rng = np.random.default_rng(0)
    for limit in (answers.ratio, answers.ratio + 0.2, answers.ratio - 0.2):
        drawn = draw_lengths(answers, rng, 100)
        by_test = judge_by_test(*drawn, answers.kind, limit, LONGEST)
        assert by_test is judge_lengths(*drawn, answers.kind, limit, LONGEST)


@pytest.mark.parametrize("budgets", [EVERY, NAMED])
@pytest.mark.parametrize("group", [1, 4])
def test_slices_at_limits_seldom_pass_and_equal_ones_seldom_fail(budgets: str, group: int) -> None:
    for at_limit in (ONE, ALL):
        shares = log_slice_verdicts.Cell(budgets, at_limit, 4, 200, 0.12, group, (0,)).simulate(200)
        assert shares.passed <= LIMIT
        assert shares.equal_failed <= LIMIT


@pytest.mark.parametrize("group", [1, 4])
@pytest.mark.parametrize("budgets", [EVERY, NAMED])
def test_the_quick_verdict_on_slices_is_that_of_judged_logs(budgets: str, group: int) -> None:
    cell = log_slice_verdicts.Cell(budgets, ONE, 4, 60, 0.12, group, (0,))
    for seed, drop in enumerate((0.0, 0.05, 0.15, 0.3)):
        drawn = cell.draw(np.random.default_rng(seed), 1, drop)
        assert cell._judge_without_logs(np.random.default_rng(seed), 1, drop) is cell.judge(*drawn)

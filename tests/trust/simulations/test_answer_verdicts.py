"""Simulated verdicts on answers, in small: true values, and how often a variant at its budget passes."""

from __future__ import annotations

import numpy as np
import pytest

from tools.simulations.answer_verdicts import LITTLE, OTHER_KINDS, WHOLLY, Cell, list_cells
from tools.simulations.answers import KINDS, Choices, Population, Written

WRITTEN = [Written(kind, WHOLLY, 0.02, 4) for kind in KINDS]


@pytest.mark.parametrize("population", [*WRITTEN, OTHER_KINDS[0][1]], ids=lambda population: population.label)
def test_the_stated_values_are_those_of_very_many_prompts(population: Population) -> None:
    drawn = population.draw(np.random.default_rng(0), 200_000, worse=True)
    for answers, value in zip(drawn, population.values, strict=True):
        error = answers.mean(axis=1).std() / np.sqrt(len(answers))
        assert abs(answers.mean() - value) <= 4 * error
    equal = population.draw(np.random.default_rng(1), 200_000, worse=False)
    assert abs(equal[0].mean() - equal[1].mean()) < 0.004


@pytest.mark.parametrize("metric", ["acc", "acc_norm", "acc_norm_tokens"])
def test_more_noise_chooses_worse_and_as_much_noise_does_not(metric: str) -> None:
    population = Choices(metric, 1.5)  # type: ignore[arg-type]
    drops = [
        float(np.subtract(*population.draw(np.random.default_rng(0), 200_000, worse=worse)).mean())
        for worse in (True, False)
    ]
    assert drops[0] > 0.01
    assert abs(drops[1]) < 0.004


@pytest.mark.parametrize("population", [WRITTEN[1], Written("teacher 2 %", LITTLE, 0.02, 8)])
def test_at_its_budget_only_answers_taken_for_rows_often_pass(population: Written) -> None:
    shares = Cell(population, "drop_points", 300, (0,)).simulate(300)
    # 6 % and two standard errors of 300 runs
    assert shares.passed <= 0.06 + 0.028
    assert shares.equal_failed <= 0.06 + 0.028
    assert shares.as_if_alone > 2 * shares.passed


def test_every_cell_has_a_limit_and_draws_of_its_own() -> None:
    some = [cell for cell in list_cells(0) if isinstance(cell.population, Written)]
    assert all(cell.limit > 0 for cell in some)
    assert len({cell.seed for cell in some}) == len({cell.label + cell.rule for cell in some}) == len(some)

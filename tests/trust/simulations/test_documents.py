from __future__ import annotations

import numpy as np
import pytest

from tools.simulations.documents import Documents
from tools.simulations.perplexity_verdicts import CASES, Cell


@pytest.mark.parametrize("population", CASES.values(), ids=CASES)
def test_the_computed_log_ratio_is_that_of_very_many_documents(population: Documents) -> None:
    drawn = population.draw(np.random.default_rng(0), 400_000)
    change = drawn.variant - drawn.teacher
    measured = change.sum() / drawn.tokens.sum()
    error = np.std(change - measured * drawn.tokens) / np.sqrt(len(change)) / drawn.tokens.mean()
    assert abs(measured - population.log_ratio) < 4 * error


@pytest.mark.parametrize("documents", [50, 200])
def test_an_increase_of_the_margin_seldom_passes_and_is_covered(documents: int) -> None:
    shares = Cell("documents differ", Documents(), documents, "increase_relative").simulate(300, seed=2)
    # 6 % and 87 %, and two standard errors of 300 runs
    assert shares.passed <= 0.06 + 0.028
    assert shares.covered >= 0.87 - 0.039

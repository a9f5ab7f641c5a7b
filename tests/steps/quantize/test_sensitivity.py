"""Rankings and the fewest modules that stay wide, worked by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import rel_entr, softmax
from torch import nn

from slimgate.steps.quantize.mixed_precision import (
    TwoForms,
    compute_mean_divergence,
    compute_sensitivities,
    find_fewest_wide,
)


def test_the_divergence_is_scipys() -> None:
    random = np.random.default_rng(0)
    p, q = random.normal(size=(2, 5, 3)).astype(np.float32)
    expected = rel_entr(softmax(p, axis=1), softmax(q, axis=1)).sum(axis=1).mean()
    assert compute_mean_divergence(p, q) == pytest.approx(expected, rel=1e-5)
    assert compute_mean_divergence(p, p) == 0


class Half(nn.Module):
    """x / 2, or less."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return values * self.factor


def form() -> TwoForms:
    wide: dict[str, nn.Module] = {name: Half(1.0) for name in "012"}
    network = nn.Sequential(*wide.values())
    return TwoForms(network, wide, {"0": Half(0.9), "1": Half(0.2), "2": Half(0.7)})


def scores(network: nn.Module) -> Any:
    with torch.no_grad():
        return network(torch.tensor([[2.0, -1.0, 0.5]])).numpy()


def test_the_module_that_changes_the_answers_most_comes_first() -> None:
    modules = form()
    ranking = compute_sensitivities(modules, lambda: scores(modules.network))
    assert list(ranking) == ["1", "2", "0"]
    alone = np.array([[1.4, -0.7, 0.35]], dtype=np.float32)
    assert ranking["2"] == pytest.approx(compute_mean_divergence(scores(nn.Identity()), alone))
    assert np.array_equal(scores(modules.network), [[2.0, -1.0, 0.5]])


def test_the_named_modules_are_wide_and_the_others_narrow() -> None:
    modules = form()
    modules.keep_wide_(["1"])
    assert scores(modules.network)[0, 0] == pytest.approx(2 * 0.9 * 0.7)


@pytest.mark.parametrize("needed", [0, 1, 2, 5, 8, 9])
def test_the_fewest_are_found_in_few_looks(needed: int) -> None:
    looks: list[int] = []

    def holds(count: int) -> bool:
        looks.append(count)
        return count >= needed

    assert find_fewest_wide(9, holds) == (needed, True)
    assert len(looks) <= 6
    assert len(set(looks)) == len(looks)


def test_a_limit_that_the_most_does_not_hold_is_reported() -> None:
    assert find_fewest_wide(3, lambda count: count >= 4) == (3, False)
    assert find_fewest_wide(0, lambda count: count > 0) == (0, False)

"""slimgate.steps.prune.gradual_magnitude_prune: the cubic schedule by hand, and a hook whose zeros only
become more.
"""

from __future__ import annotations

import pytest
import torch
from torch import nn

from slimgate.steps.prune.gradual_magnitude_prune import CubicSchedule, GradualPruning


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (0, 0.0),
        (9, 0.0),
        (10, 0.1),  # it begins
        (20, 0.9 - 0.8 * 0.75**3),
        (30, 0.9 - 0.8 * 0.5**3),
        (50, 0.9),
        (99, 0.9),
    ],
)
def test_the_share_of_zeros_rises_by_the_cube(step: int, expected: float) -> None:
    schedule = CubicSchedule(final=0.9, initial=0.1, begin=0.1, end=0.5)
    assert schedule.compute_sparsity(step, 100) == pytest.approx(expected)


@pytest.mark.parametrize("steps", [1, 2, 3, 7])
def test_the_last_of_a_few_steps_is_final(steps: int) -> None:
    schedule = CubicSchedule(final=0.5)
    shares = [schedule.compute_sparsity(step, steps) for step in range(steps)]
    # 140 · 0.6 · (1 - 0.7³), (1 - 0.4³), (1 - 0.1³)
    assert shares == sorted(shares)
    assert shares[-1] == 0.5


def test_what_is_gone_stays_gone_while_the_rest_is_moved() -> None:
    layers = {"a": nn.Linear(10, 10), "b": nn.Linear(10, 4)}
    hook = GradualPruning(layers, CubicSchedule(0.6, end=0.5), scope="global", frequency=3)
    gone = [torch.zeros_like(layer.weight, dtype=torch.bool) for layer in layers.values()]
    generator = torch.Generator().manual_seed(0)
    shares, settled = [], []
    for step in range(20):
        hook.before_step(step, 20)
        settled.append(hook.settled)
        with torch.no_grad():
            for layer in layers.values():
                layer.weight += torch.rand(layer.weight.shape, generator=generator) - 0.5
        hook.after_step(step, 20)
        now = [layer.weight == 0 for layer in layers.values()]
        assert all((new | ~old).all() for old, new in zip(gone, now, strict=True))
        gone = now
        shares.append(sum(int(mask.sum()) for mask in gone))
    assert shares == [0] * 3 + [55] * 3 + [79] * 3 + [84] * 11
    assert settled == [False] * 10 + [True] * 10
    assert [step for step, _ in hook.history] == [0, 3, 6, 9, 10]

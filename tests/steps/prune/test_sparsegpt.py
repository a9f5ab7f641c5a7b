"""slimgate.steps.prune.sparsegpt_prune: against least squares, and better than leaving weights out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from slimgate.models.sparsity import keep_n_of_m, make_keep_masks
from slimgate.steps.prune.sparsegpt_prune import Pattern, prune_by_sparsegpt


def inputs(tokens: int = 400, features: int = 16, seed: int = 0) -> torch.Tensor:
    """Inputs that go together, as those of real layers do."""
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.normal(size=(tokens, features)) @ rng.normal(size=(features, features)))


def moments(x: torch.Tensor) -> torch.Tensor:
    return x.t() @ x / len(x)


def random_weight(rows: int = 8, columns: int = 16) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(1).normal(size=(rows, columns)))


@pytest.mark.parametrize("block_size", [2, 3, 128])
def test_remaining_weights_are_the_least_squares_solution(block_size: int) -> None:
    x, weight = inputs(), random_weight()
    weight[:, :6] *= 1e-6  # they have the lowest scores
    pruned = prune_by_sparsegpt(weight, moments(x), pattern=Pattern(6 / 16), block_size=16, damping=0.0)
    best, *_ = np.linalg.lstsq(x[:, 6:].numpy(), (x @ weight.t()).numpy(), rcond=None)
    assert (pruned[:, :6] == 0).all()
    np.testing.assert_allclose(pruned[:, 6:].numpy(), best.T, rtol=1e-6, atol=1e-9)
    # the errors of a block reach the columns after it just as those of one big block do
    blocks = prune_by_sparsegpt(weight, moments(x), pattern=Pattern(0.5), block_size=block_size, damping=0.01)
    assert int((blocks == 0).sum()) == pytest.approx(64, abs=8)


def test_blocks_pass_their_errors_on_to_later_columns() -> None:
    x, weight = inputs(), random_weight()
    weight[:, [0, 4, 8, 12]] *= 1e-6  # one in each block of four, so that all block sizes choose the same
    pattern = Pattern(0.25)
    single, parts = (
        prune_by_sparsegpt(weight, moments(x), pattern=pattern, block_size=size, damping=0.0)
        for size in (16, 4)
    )
    np.testing.assert_allclose(parts.numpy(), single.numpy(), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("pattern", [Pattern(0.5), Pattern(n=2, m=4), Pattern(n=1, m=4)], ids=str)
def test_outputs_change_less_than_by_magnitude_pruning(pattern: Pattern) -> None:
    x, weight = inputs(), random_weight()
    pruned = prune_by_sparsegpt(weight, moments(x), pattern=pattern, damping=0.01)
    keep = (
        keep_n_of_m(weight.abs(), pattern.n, pattern.m)
        if pattern.m
        else make_keep_masks([weight.abs()], 0.5, "layer")[0]
    )
    assert int((pruned == 0).sum()) == int((~keep).sum())
    error, plain = (((x @ (w - weight).t()) ** 2).mean() for w in (pruned, weight * keep))
    assert error < 0.9 * plain


def test_every_group_of_m_has_its_zeros_for_any_block_size() -> None:
    pruned = prune_by_sparsegpt(random_weight(), moments(inputs()), pattern=Pattern(n=2, m=4), block_size=6)
    assert ((pruned.view(-1, 4) == 0).sum(dim=1) == 2).all()


def test_uncorrelated_inputs_leave_the_other_weights() -> None:
    weight = random_weight()
    pruned = prune_by_sparsegpt(
        weight, torch.eye(16, dtype=torch.float64), pattern=Pattern(0.5), damping=0.01
    )
    keep = pruned != 0
    np.testing.assert_allclose(pruned[keep], weight[keep], rtol=1e-12)
    assert torch.equal(keep, make_keep_masks([weight.abs()], 0.5, "layer")[0])


def test_zeros_stay_zero_and_count() -> None:
    weight = random_weight()
    weight[:, 3:14] = 0
    pruned = prune_by_sparsegpt(weight, moments(inputs()), pattern=Pattern(0.5))
    assert (pruned[:, 3:14] == 0).all()
    assert int((pruned == 0).sum()) == 8 * 11


def test_an_input_that_is_always_zero_does_not_break_it() -> None:
    x = inputs()
    x[:, 5] = 0
    assert torch.isfinite(prune_by_sparsegpt(random_weight(), moments(x), pattern=Pattern(0.5))).all()

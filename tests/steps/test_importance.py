"""Importance by the gradient of masks, against masks that are really put into a network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from fixtures.models.masking import make_tiny_model
from slimgate.errors import DataError
from slimgate.models.blocks import blocks
from slimgate.steps.importance import compute_mask_importance, list_labelled_batches


@pytest.mark.parametrize("architecture", ["bert", "gpt2", "llama", "bert-mean"])
def test_it_is_the_mean_of_each_rows_derivative_by_a_head_mask(tmp_path: Path, architecture: str) -> None:
    model, context = make_tiny_model(tmp_path, architecture)
    name = blocks(model.network)[1].attention.output
    importance = compute_mask_importance(model, {name: 4}, context, batch_size=5)
    total = torch.zeros(4)
    for batch, labels in list_labelled_batches(
        model, context, batch_size=1
    ):  # a row at a time, with a real mask
        mask = torch.ones(4, requires_grad=True)
        handle = model.network.get_submodule(name).register_forward_pre_hook(
            lambda _module, args, mask=mask: args[0] * mask.repeat_interleave(8)
        )
        loss = nn.functional.cross_entropy(model.network(**batch).logits, labels)
        handle.remove()
        total += torch.autograd.grad(loss, mask)[0].abs()
    assert importance[name] == pytest.approx((total / 12).numpy(), rel=1e-3, abs=1e-6)
    assert importance[name].max() > 1e-4


def test_it_does_not_depend_on_the_batches(tmp_path: Path) -> None:
    model, context = make_tiny_model(tmp_path, "bert")
    sites = {block.feed_forward.output: 64 for block in blocks(model.network)}
    alone, together = (compute_mask_importance(model, sites, context, batch_size=size) for size in (1, 12))
    for name in sites:
        np.testing.assert_allclose(alone[name], together[name], rtol=2e-3, atol=1e-6)


def test_it_works_with_frozen_weights_and_leaves_no_gradients(tmp_path: Path) -> None:
    model, context = make_tiny_model(tmp_path, "bert")
    sites = {blocks(model.network)[0].feed_forward.output: 64}
    free = compute_mask_importance(model, sites, context)
    assert all(parameter.grad is None for parameter in model.network.parameters())
    model.network.requires_grad_(False)
    frozen = compute_mask_importance(model, sites, context)
    assert all(np.array_equal(free[name], frozen[name]) for name in sites)


def test_without_calibration_rows_it_is_an_error_that_says_so(tmp_path: Path) -> None:
    model, context = make_tiny_model(tmp_path, "bert")
    context.splits = {name: rows for name, rows in context.splits.items() if name != "calibration"}
    with pytest.raises(DataError, match="needs rows of the split calibration"):
        compute_mask_importance(model, {blocks(model.network)[0].feed_forward.output: 64}, context)

"""Layers with features taken out: the numbers that stay, and what cannot be cut."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from slimgate.errors import BuildError
from slimgate.models.linear_layers import cut_embedding, cut_linear, cut_norm_
from slimgate.steps.layers.int8_linear import Int8Linear


def model(**modules: nn.Module) -> SimpleNamespace:
    return SimpleNamespace(network=nn.ModuleDict(modules))


def test_rows_and_columns_are_taken_in_the_order_given() -> None:
    layer = nn.Linear(3, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, 2, 3], [4, 5, 6]]))
        layer.bias.copy_(torch.tensor([7.0, 8]))
    cut = cut_linear(model(x=layer), "x", rows=[1], columns=[2, 0])
    assert cut.weight.tolist() == [[6.0, 4.0]]
    assert cut.bias.tolist() == [8.0]
    assert (cut.in_features, cut.out_features) == (2, 1)
    assert layer.weight.shape == (2, 3)


def test_what_was_frozen_and_without_a_bias_stays_so() -> None:
    layer = nn.Linear(3, 2, bias=False).requires_grad_(False).to(torch.bfloat16)
    cut = cut_linear(model(x=layer), "x", columns=[0])
    assert cut.bias is None
    assert not cut.weight.requires_grad
    assert cut.weight.dtype == torch.bfloat16


def test_an_embedding_keeps_its_rows_and_its_padding() -> None:
    table = nn.Embedding(4, 3, padding_idx=1)
    cut = cut_embedding(model(x=table), "x", [0, 2])
    assert torch.equal(cut.weight, table.weight[:, [0, 2]])
    assert cut.padding_idx == 1


def test_a_norm_takes_its_statistics_over_what_stays() -> None:
    norm = nn.LayerNorm(3)
    cut_norm_(norm, [0, 2])
    assert norm(torch.tensor([1.0, 3.0])).tolist() == pytest.approx([-1, 1], abs=1e-4)


def test_cutting_leaves_the_random_state_as_it_was() -> None:
    layer = nn.Linear(3, 2)
    before = torch.random.get_rng_state()
    cut_linear(model(x=layer), "x", rows=[0])
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("cut", [cut_linear, cut_embedding], ids=["linear", "embedding"])
def test_a_foreign_class_cannot_be_cut_and_the_error_helps(cut: object) -> None:
    with pytest.raises(
        BuildError, match=r"x is Int8Linear, and only nn.* put the cutting step before the step"
    ):
        cut(model(x=Int8Linear(3, 2)), "x", columns=[0])  # type: ignore[operator]

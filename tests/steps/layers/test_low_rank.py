"""LowRankLinear and FactorizedEmbedding: products of two thin matrices, and empty ones of the same shape."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from slimgate.steps.layers.low_rank import FactorizedEmbedding, LowRankLinear


def test_outputs_are_those_of_the_product_worked_by_hand() -> None:
    layer = LowRankLinear.from_factors(
        torch.tensor([[1.0], [2.0], [-1.0]]), torch.tensor([[3.0, 4.0]]), torch.tensor([0.5, 0.0, 0.0])
    )
    # the weight is [[3, 4], [6, 8], [-3, -4]]
    assert layer(torch.tensor([[1.0, 1.0], [0.0, 2.0]])).tolist() == [[7.5, 14, -7], [8.5, 16, -8]]
    assert (layer.in_features, layer.out_features, layer.rank) == (2, 3, 1)
    assert sum(p.numel() for p in layer.parameters()) == 2 + 3 + 3


@pytest.mark.parametrize("bias", [True, False])
def test_an_empty_one_of_its_options_takes_its_weights(bias: bool) -> None:
    torch.manual_seed(0)
    layer = LowRankLinear.from_factors(torch.randn(6, 2), torch.randn(2, 5), torch.randn(6) if bias else None)
    again = LowRankLinear(**layer.list_options())
    again.load_state_dict(layer.state_dict())
    inputs = torch.randn(3, 4, 5)
    assert torch.equal(again(inputs), layer(inputs))
    assert again(inputs).shape == (3, 4, 6)


def test_its_halves_are_plain_linear_layers_that_train() -> None:
    layer = LowRankLinear(4, 3, 2)
    layer(torch.ones(1, 4)).sum().backward()
    assert type(layer.down) is type(layer.up) is nn.Linear
    assert all(p.grad is not None for p in layer.parameters())


def test_vectors_are_those_of_the_product_worked_by_hand() -> None:
    table = FactorizedEmbedding.from_factors(
        torch.tensor([[1.0], [2.0], [0.0]]), torch.tensor([[3.0, 4.0]]), torch.tensor([0.5, 0.0])
    )
    assert table(torch.tensor([[2, 1]])).tolist() == [[[0.5, 0.0], [6.5, 8.0]]]
    assert (table.num_embeddings, table.embedding_dim, table.rank) == (3, 2, 1)


def test_an_empty_table_of_its_options_takes_its_weights() -> None:
    torch.manual_seed(0)
    table = FactorizedEmbedding.from_factors(torch.randn(7, 2), torch.randn(2, 5), padding_idx=1)
    assert table.list_options()["padding_idx"] == 1
    assert table.list_options()["bias"] is False
    again = FactorizedEmbedding(**table.list_options())
    again.load_state_dict(table.state_dict())
    ids = torch.arange(7)
    assert torch.equal(again(ids), table(ids))


def test_the_parts_of_a_table_are_plain_layers() -> None:
    table = FactorizedEmbedding(7, 5, 2)
    assert type(table.table) is nn.Embedding
    assert type(table.projection) is nn.Linear

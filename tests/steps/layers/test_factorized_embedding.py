"""FactorizedEmbedding: narrow vectors projected, and an empty one of the same shape."""

from __future__ import annotations

import torch
from torch import nn

from slimgate.steps.layers.low_rank import FactorizedEmbedding


def test_vectors_are_those_of_the_product_worked_by_hand() -> None:
    table = FactorizedEmbedding.from_factors(
        torch.tensor([[1.0], [2.0], [0.0]]), torch.tensor([[3.0, 4.0]]), torch.tensor([0.5, 0.0])
    )
    assert table(torch.tensor([[2, 1]])).tolist() == [[[0.5, 0.0], [6.5, 8.0]]]
    assert (table.num_embeddings, table.embedding_dim, table.rank) == (3, 2, 1)


def test_an_empty_one_of_its_options_takes_its_weights() -> None:
    torch.manual_seed(0)
    table = FactorizedEmbedding.from_factors(torch.randn(7, 2), torch.randn(2, 5), padding_idx=1)
    assert table.list_options()["padding_idx"] == 1
    assert table.list_options()["bias"] is False
    again = FactorizedEmbedding(**table.list_options())
    again.load_state_dict(table.state_dict())
    ids = torch.arange(7)
    assert torch.equal(again(ids), table(ids))


def test_its_halves_are_plain_layers() -> None:
    table = FactorizedEmbedding(7, 5, 2)
    assert type(table.table) is nn.Embedding
    assert type(table.projection) is nn.Linear

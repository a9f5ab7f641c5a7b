"""Int8 layers as an exporter sees them: the levels and sums of the layers themselves."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from slimgate.steps.layers import int8_in_graph
from slimgate.steps.layers.int8_in_graph import (
    Int8EmbeddingInGraph,
    Int8LinearInGraph,
    use_integer_operators_,
)
from slimgate.steps.layers.int8_linear import Int8Embedding, Int8Linear


def _products(_: str, inputs: Any, **__: Any) -> torch.Tensor:
    """MatMulInteger, by int64."""
    levels, weight = inputs
    return (levels.long() @ weight.long()).int()


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("scale", [1.0, 1e-4, 1e4])
def test_a_layer_gives_the_same_to_the_bit(monkeypatch: pytest.MonkeyPatch, bias: bool, scale: float) -> None:
    monkeypatch.setattr(int8_in_graph.torch.onnx.ops, "symbolic", _products)
    torch.manual_seed(0)
    layer = Int8Linear.from_linear(nn.Linear(64, 24, bias=bias))
    inputs = scale * torch.randn(3, 7, 64)
    inputs[0, 0] = 0.0
    assert torch.equal(Int8LinearInGraph(layer)(inputs), layer(inputs))


def test_a_table_gives_the_same_to_the_bit() -> None:
    torch.manual_seed(0)
    table = Int8Embedding.from_embedding(nn.Embedding(40, 16))
    ids = torch.randint(0, 40, (3, 7))
    assert torch.equal(Int8EmbeddingInGraph(table)(ids), table(ids))


def test_int8_layers_are_exchanged_and_others_stay() -> None:
    network = nn.Sequential(nn.Linear(8, 8), Int8Linear.from_linear(nn.Linear(8, 8)))
    assert use_integer_operators_(network) == 1
    assert [type(module) for module in network] == [nn.Linear, Int8LinearInGraph]

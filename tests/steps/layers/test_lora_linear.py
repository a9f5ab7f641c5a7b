"""Layers with an adapter, and gradients through layers that hold integers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from slimgate.errors import BuildError
from slimgate.steps.layers.binary_linear import BinaryLinear
from slimgate.steps.layers.int8_linear import Int8Linear
from slimgate.steps.layers.lora_linear import (
    LoraLinear,
    SparseLoraLinear,
    compute_float_weight,
    gradients_through,
)


def set_adapter(layer: LoraLinear) -> LoraLinear:
    with torch.no_grad():
        layer.lora_a.copy_(torch.tensor([[1.0, 2.0, 0.0]]))
        layer.lora_b.copy_(torch.tensor([[1.0], [-1.0]]))
    return layer


def plain_linear() -> nn.Linear:
    linear = nn.Linear(3, 2)
    with torch.no_grad():
        linear.weight.copy_(torch.tensor([[1.0, 0.0, 3.0], [0.0, 5.0, 6.0]]))
        linear.bias.copy_(torch.tensor([0.5, -0.5]))
    return linear


def test_a_fresh_adapter_changes_nothing() -> None:
    linear = plain_linear()
    layer = LoraLinear(linear, r=2, scaling=4.0)
    assert torch.equal(layer(torch.ones(3)), linear(torch.ones(3)))
    assert torch.count_nonzero(layer.lora_a) == 6


def test_an_adapter_adds_scaling_times_b_a_also_when_merged() -> None:
    layer = set_adapter(LoraLinear(plain_linear(), r=1, scaling=2.0))
    # base (4.5, 10.5), A x = 3, B A x = (3, -3), times 2
    assert layer(torch.ones(3)).tolist() == [10.5, 4.5]
    merged = layer.merge_adapter()
    assert type(merged) is nn.Linear
    assert merged.weight.tolist() == [[3.0, 4.0, 3.0], [-2.0, 1.0, 6.0]]
    assert merged(torch.ones(3)).tolist() == [10.5, 4.5]


def test_a_sparse_adapter_changes_no_zero() -> None:
    layer = set_adapter(SparseLoraLinear(plain_linear(), r=1, scaling=2.0))
    outputs = layer(torch.ones(3))
    merged = layer.merge_adapter()
    assert merged.weight.tolist() == [[3.0, 0.0, 3.0], [0.0, 1.0, 6.0]]
    assert torch.equal(merged(torch.ones(3)), outputs)


def test_an_adapter_beside_integers_reloads_and_cannot_be_merged() -> None:
    torch.manual_seed(0)
    layer = LoraLinear(Int8Linear.from_linear(nn.Linear(8, 4)), r=2, scaling=1.0)
    nn.init.normal_(layer.lora_b)
    inputs = torch.randn(3, 8)
    again = LoraLinear(**layer.list_options())
    again.load_state_dict(layer.state_dict())
    assert torch.equal(again(inputs), layer(inputs))
    with pytest.raises(BuildError, match=r"cannot be merged into Int8Linear.*set merge = false"):
        layer.merge_adapter()


def test_the_float_weight_is_the_integers_with_smoothing_undone() -> None:
    layer = Int8Linear(2, 1, bias=False)
    layer.weight, layer.weight_scale = torch.tensor([[3, -4]], dtype=torch.int8), torch.tensor([0.5])
    assert compute_float_weight(layer).tolist() == [[1.5, -2.0]]
    layer.register_buffer("smoothing", torch.tensor([2.0, 4.0]))
    assert compute_float_weight(layer).tolist() == [[0.75, -0.5]]


def test_dropout_acts_on_the_adapter_while_training_alone() -> None:
    torch.manual_seed(0)
    layer = set_adapter(LoraLinear(plain_linear(), r=1, scaling=2.0, dropout=0.9)).train()
    assert len({tuple(layer(torch.ones(3)).tolist()) for _ in range(20)}) > 1
    layer.eval()
    assert layer(torch.ones(3)).tolist() == [10.5, 4.5]


@pytest.mark.parametrize("kind", ["int8", "binary inputs"])
def test_gradients_pass_integers_as_the_floats_they_stand_for(kind: str) -> None:
    torch.manual_seed(0)
    quantized: nn.Module
    if kind == "int8":
        quantized = Int8Linear.from_linear(nn.Linear(6, 3))
    else:
        quantized = BinaryLinear.from_weights(
            torch.randn(3, 6), torch.rand(3), threshold=torch.zeros(6), gain=torch.tensor(1.0)
        )
    network = nn.Sequential(quantized)
    inputs = torch.randn(2, 6, requires_grad=True)
    plain = network(inputs)
    assert not plain.requires_grad
    with gradients_through(network) as names:
        assert names == ["0"]
        outputs = network(inputs)
        outputs.backward(torch.ones(2, 3))
    assert torch.equal(outputs, plain)
    assert inputs.grad is not None
    assert torch.allclose(inputs.grad, compute_float_weight(quantized).sum(0).expand(2, 6))
    assert not network(inputs).requires_grad

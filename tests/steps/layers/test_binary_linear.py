"""Layers of one bit a weight: what is stored, what they compute, that they load again the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from slimgate.errors import BuildError
from slimgate.steps.layers.binary_linear import (
    BinaryEmbedding,
    BinaryLinear,
    compute_signs,
    pack_signs,
    unpack_signs,
)


def test_eight_signs_are_a_byte_the_first_the_lowest_bit() -> None:
    values = torch.tensor([[0.5, -1.0, 0.0, -0.1, -2.0, -3.0, -4.0, 9.0, 1.0]])
    packed = pack_signs(values)
    assert packed.tolist() == [[0b10000101, 0b1]]
    assert unpack_signs(packed, 9).tolist() == [[1, -1, 1, -1, -1, -1, -1, 1, 1]]


def test_a_layer_multiplies_by_the_sign_times_the_rows_scale() -> None:
    layer = BinaryLinear.from_weights(
        torch.tensor([[0.3, -0.2, 0.1], [-5.0, 4.0, 0.0]]),
        torch.tensor([0.5, 2.0]),
        bias=torch.tensor([10.0, 20.0]),
    )
    # 0.5 · (1 - 2 + 3) + 10 and 2 · (-1 + 2 + 3) + 20
    assert layer(torch.tensor([1.0, 2.0, 3.0])).tolist() == [11.0, 28.0]
    assert layer.weight.tolist() == [[0.5, -0.5, 0.5], [-2.0, 2.0, 2.0]]
    assert layer.weight_numbers() == (6, 6)


def test_binary_inputs_equal_the_documented_reconstruction() -> None:
    random = np.random.default_rng(0)
    weight, scale = random.normal(size=(5, 11)), random.uniform(0.1, 1, 5)
    bias, threshold = random.normal(size=5), random.normal(size=11)
    inputs = random.normal(size=(2, 3, 11))
    distance = inputs - threshold
    size = 0.7 * np.abs(distance).mean(axis=-1, keepdims=True)
    two_valued = threshold + size * np.where(distance >= 0, 1, -1)
    expected = two_valued @ (np.where(weight >= 0, 1, -1) * scale[:, None]).T + bias
    tensors = [torch.from_numpy(a).float() for a in (weight, scale, bias, threshold)]
    layer = BinaryLinear.from_weights(
        tensors[0], tensors[1], bias=tensors[2], threshold=tensors[3], gain=torch.tensor(0.7)
    )
    assert np.allclose(layer(torch.from_numpy(inputs).float()).numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("activations", [False, True], ids=["weights", "weights and inputs"])
def test_a_loaded_layer_gives_equal_outputs_from_a_bit_a_weight(activations: bool) -> None:
    torch.manual_seed(0)
    binary_inputs = {"threshold": torch.randn(20), "gain": torch.tensor(1.2)} if activations else {}
    layer = BinaryLinear.from_weights(torch.randn(16, 20), torch.rand(16) + 0.1, **binary_inputs)
    inputs = torch.randn(4, 20)
    outputs = layer(inputs)
    empty = BinaryLinear(**layer.list_options())
    empty(inputs)  # what it has unpacked of its empty state must not outlive loading
    empty.load_state_dict(layer.state_dict())
    assert torch.equal(empty(inputs), outputs)
    assert layer.packed.dtype == torch.uint8
    assert layer.packed.shape == (16, 3)
    assert set(layer.state_dict()) == {"packed", "scale"} | (
        {"bias", "threshold", "gain"} if activations else set()
    )


def test_a_rows_result_with_binary_inputs_is_equal_in_any_batch() -> None:
    torch.manual_seed(0)
    layer = BinaryLinear.from_weights(
        torch.randn(8, 33), torch.rand(8), threshold=torch.randn(33), gain=torch.tensor(1.0)
    )
    inputs = torch.randn(17, 33)
    alone = torch.cat([layer(row.unsqueeze(0)) for row in inputs])
    assert torch.equal(layer(inputs), alone)


def test_gradients_pass_binary_weights_to_the_inputs() -> None:
    layer = BinaryLinear.from_weights(torch.tensor([[1.0, -1.0]]), torch.tensor([3.0]))
    inputs = torch.zeros(2, requires_grad=True)
    layer(inputs).sum().backward()
    assert inputs.grad is not None
    assert inputs.grad.tolist() == [3.0, -3.0]


def test_an_embedding_gives_signs_times_the_scale_of_each_id() -> None:
    table = BinaryEmbedding.from_weights(
        torch.tensor([[0.0, -1.0], [-2.0, -0.5], [3.0, 1.0]]), torch.tensor([1.0, 2.0, 4.0]), padding_idx=0
    )
    assert table(torch.tensor([[2, 0], [1, 1]])).tolist() == [[[4, 4], [1, -1]], [[-2, -2], [-2, -2]]]
    assert table.list_options() == {"num_embeddings": 3, "embedding_dim": 2, "padding_idx": 0}
    assert table.weight_numbers() == (6, 6)
    again = BinaryEmbedding(**table.list_options())
    again.load_state_dict(table.state_dict())
    assert torch.equal(again(torch.arange(3)), table(torch.arange(3)))


def test_weights_that_are_not_finite_are_a_clear_error() -> None:
    weight = torch.tensor([[1.0, float("nan")]])
    with pytest.raises(BuildError, match="binary weights: weight holds NaN or infinity"):
        BinaryLinear.from_weights(weight, torch.ones(1))
    with pytest.raises(BuildError, match="binary weights: scale holds NaN or infinity"):
        BinaryEmbedding.from_weights(torch.ones(1, 2), torch.tensor([float("inf")]))


def test_moving_a_layer_keeps_nothing_that_was_unpacked_before() -> None:
    layer = BinaryLinear.from_weights(torch.randn(4, 4), torch.ones(4))
    single = layer(torch.ones(4))
    doubled = nn.Sequential(layer).double()(torch.ones(4, dtype=torch.float64))
    assert torch.allclose(doubled.float(), single)


def test_the_sign_of_zero_is_plus() -> None:
    assert compute_signs(torch.tensor([0.0, -0.0, -1e-30, 2.0])).tolist() == [1, 1, -1, 1]

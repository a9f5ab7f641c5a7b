"""Latent layers: wholly binary in evaluation, on the way there in training, gradients straight through."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from slimgate.steps.layers.binary_linear import (
    LatentEmbedding,
    LatentLinear,
    binarize_values,
    compute_mean_size,
)


@pytest.mark.parametrize("thresholds", [None, torch.linspace(-1, 1, 12)], ids=["weights", "inputs too"])
def test_the_packed_layer_predicts_what_the_latent_one_does(thresholds: torch.Tensor | None) -> None:
    torch.manual_seed(0)
    layer = LatentLinear(nn.Linear(12, 5), thresholds=thresholds).eval()
    inputs = torch.randn(3, 4, 12)
    assert torch.allclose(layer.to_packed()(inputs), layer(inputs), atol=1e-5)
    table = LatentEmbedding(nn.Embedding(6, 9)).eval()
    ids = torch.tensor([[0, 5], [3, 3]])
    assert torch.equal(table.to_packed()(ids), table(ids))


def test_in_training_a_zero_share_is_float_evaluation_is_binary() -> None:
    torch.manual_seed(0)
    linear = nn.Linear(8, 3)
    layer = LatentLinear(linear, thresholds=torch.zeros(8)).train()
    inputs = torch.randn(5, 8)
    layer.weight_share = layer.input_share = 0.0
    assert torch.allclose(layer(inputs), linear(inputs), atol=1e-6)
    layer.weight_share = 0.5
    half = (linear.weight + layer.to_packed().weight) / 2
    assert torch.allclose(layer(inputs), inputs @ half.T + linear.bias, atol=1e-5)
    assert not torch.allclose(layer.eval()(inputs), linear(inputs), atol=1e-2)


def test_the_scale_is_the_mean_size_of_the_row() -> None:
    assert compute_mean_size(torch.tensor([[1.0, -3.0], [0.0, 0.5]])).tolist() == [2.0, 0.25]


def test_gradients_pass_the_sign_up_to_the_clip_to_the_scale() -> None:
    values = torch.tensor([0.5, -1.5, 3.0], requires_grad=True)
    scale = torch.tensor(1.0, requires_grad=True)
    outputs = binarize_values(values, scale, clip=2.0)
    assert outputs.tolist() == [1.0, -1.0, 1.0]
    torch.autograd.backward((outputs * torch.tensor([1.0, 10.0, 100.0])).sum())
    assert values.grad is not None
    assert values.grad.tolist() == [1.0, 10.0, 0.0]
    assert scale.grad is not None
    assert scale.grad.item() == 1.0 - 10.0 + 100.0


@pytest.mark.parametrize("thresholds", [None, torch.zeros(16)], ids=["weights", "inputs too"])
def test_a_binary_layer_learns_what_a_binary_layer_can_do(thresholds: torch.Tensor | None) -> None:
    torch.manual_seed(0)
    target = LatentLinear(nn.Linear(16, 4), thresholds=thresholds).eval()
    layer = LatentLinear(nn.Linear(16, 4), thresholds=thresholds).train()
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.02)
    losses = []
    for step in range(300):
        layer.weight_share = layer.input_share = min(1.0, step / 100)
        inputs = torch.randn(64, 16)
        loss = nn.functional.mse_loss(layer(inputs), target(inputs).detach())
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]

"""Rounding with compensation, against the update of Optimal Brain Surgeon written out in numpy."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

from fixtures.models.architectures import make_tokenizer, write_tiny
from fixtures.models.building import make_tiny_context
from slimgate.models.torch_model import TorchModel
from slimgate.steps.calibration import Moments
from slimgate.steps.layers.grid import Grid, Scheme, dequantize, fit_grid, quantize
from slimgate.steps.layers.packed import PackedEmbedding, PackedLinear
from slimgate.steps.quantize import gptq
from slimgate.steps.quantize._gptq import compute_output_error, round_with_compensation

DAMPING = 0.01


def correlated_inputs(features: int, tokens: int = 400) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    mixing = torch.randn(features, features, generator=generator) * torch.linspace(0.1, 2, features)
    return torch.randn(tokens, features, generator=generator) @ mixing + 0.5


def seen(tokens: Tensor) -> Moments:
    inputs = Moments.empty(tokens.shape[1], tokens.device)
    for part in tokens.split(150):  # type: ignore[no-untyped-call]
        inputs.add_(part)
    return inputs


def random_weight(rows: int, columns: int) -> Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(2)) * 0.05


def by_brain_surgeon(weight: Tensor, grid: Grid, hessian: Tensor, *, keep_zeros: bool = False) -> np.ndarray:
    """Levels, a column at a time; the inverse of what is left of the Hessian by elimination."""
    mask = weight.numpy() != 0 if keep_zeros else np.ones(weight.shape)
    matrix = hessian.numpy().copy()
    matrix += DAMPING * np.diag(matrix).mean() * np.eye(len(matrix))
    inverse, left = np.linalg.inv(matrix), weight.double().numpy().copy()
    width = grid.scheme.to_groups(weight).shape[-1]
    scale = np.repeat(grid.scale.double().numpy(), width, axis=1)[:, : weight.shape[1]]
    zero = np.repeat(grid.zero_point.double().numpy(), width, axis=1)[:, : weight.shape[1]]
    levels = np.empty_like(left)
    for column in np.argsort(-np.diag(hessian.numpy()), kind="stable"):
        step = scale[:, column]
        nearest = np.round(left[:, column] * mask[:, column] / step)
        levels[:, column] = np.clip(nearest + zero[:, column], 0, grid.scheme.top)
        error = left[:, column] - (levels[:, column] - zero[:, column]) * step
        left -= np.outer(error / inverse[column, column], inverse[column])
        inverse -= np.outer(inverse[:, column], inverse[column]) / inverse[column, column]
    return levels


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize(("granularity", "columns"), [("group", 40), ("channel", 24), ("group", 150)])
def test_levels_are_those_of_optimal_brain_surgeon(granularity: str, columns: int, symmetric: bool) -> None:
    weight = random_weight(10, columns)
    grid = fit_grid(weight, Scheme(3, granularity, 16, symmetric))  # type: ignore[arg-type]
    hessian = seen(correlated_inputs(columns)).second_moment
    levels = round_with_compensation(weight, grid, hessian, damping=DAMPING)
    expected = by_brain_surgeon(weight, grid, hessian)
    # float32 against float64: a weight half-way between two levels may fall to the other side
    assert (levels.numpy() == expected).mean() > 0.995


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_outputs_change_much_less_than_by_plain_rounding(bits: int) -> None:
    weight, tokens = random_weight(16, 64), correlated_inputs(64)
    grid, hessian = fit_grid(weight, Scheme(bits)), seen(tokens).second_moment
    rounded = dequantize(round_with_compensation(weight, grid, hessian, damping=DAMPING), grid)
    nearest = dequantize(quantize(weight, grid), grid)
    lost = [float((tokens @ (weight - each).T).square().mean()) for each in (rounded, nearest)]
    assert lost[0] < 0.6 * lost[1]
    reference = float((tokens @ weight.T).square().mean())
    assert compute_output_error(weight, rounded, hessian) == pytest.approx(lost[0] / reference, rel=1e-4)


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_zeros_stay_and_their_errors_are_made_up_for(bits: int, symmetric: bool) -> None:
    weight, tokens = random_weight(16, 150), correlated_inputs(150)
    weight[torch.rand(weight.shape, generator=torch.Generator().manual_seed(3)) < 0.5] = 0
    grid, hessian = fit_grid(weight, Scheme(bits, symmetric=symmetric)), seen(tokens).second_moment
    levels = round_with_compensation(weight, grid, hessian, damping=DAMPING, keep_zeros=True)
    rounded = dequantize(levels, grid)
    assert (rounded[weight == 0] == 0).all()
    expected = by_brain_surgeon(weight, grid, hessian, keep_zeros=True)
    assert (levels.numpy() == expected).mean() > 0.99
    nearest = dequantize(quantize(weight, grid), grid)
    assert compute_output_error(weight, rounded, hessian) < 0.8 * compute_output_error(
        weight, nearest, hessian
    )


def test_inputs_without_correlation_leave_nothing_to_make_up_for() -> None:
    weight = random_weight(8, 32)
    grid = fit_grid(weight, Scheme(3))
    levels = round_with_compensation(weight, grid, torch.eye(32, dtype=torch.float64), damping=DAMPING)
    assert torch.equal(levels, quantize(weight, grid))


def test_a_layer_that_sees_nothing_is_rounded_to_the_nearest() -> None:
    weight = random_weight(8, 32)
    grid = fit_grid(weight, Scheme(3), importance=torch.zeros(32))
    levels = round_with_compensation(weight, grid, Moments.empty(32, weight.device).covariance, damping=0.1)
    assert torch.equal(levels, quantize(weight, grid))


@pytest.mark.parametrize(("embeddings", "output_layer"), [(2, False), (2, True), (None, True)])
def test_a_shared_table_and_output_layer_are_rounded_apart(
    tmp_path: Path, embeddings: int | None, output_layer: bool
) -> None:
    folder = write_tiny(tmp_path / "model", "gpt2", causal=True, initializer_range=0.3)
    network = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = make_tokenizer(folder, "llama")
    shared = copy.deepcopy(network.lm_head.weight.detach())
    assert network.lm_head.weight is network.transformer.wte.weight
    model = TorchModel(network, tokenizer, "transformers:AutoModelForCausalLM")
    context = make_tiny_context(tmp_path / "rows", train=16, selection=8, calibration=12)
    params = gptq.Params(bits=8, embeddings=embeddings, output_layer=output_layer)
    gptq.step.apply(model, params, context)

    table, head = network.transformer.wte, network.lm_head
    if embeddings is None:
        assert torch.equal(table.weight, shared)
    else:
        original = torch.nn.Embedding.from_pretrained(shared)
        expected = PackedEmbedding.from_embedding(original, params.make_scheme(2))
        assert torch.equal(table.weight, expected.weight)
    if output_layer:
        assert isinstance(head, PackedLinear)
        torch.testing.assert_close(head.weight, shared, rtol=0, atol=0.02)
    else:
        assert torch.equal(head.weight, shared)
    assert context.log["untied"] == ["transformer.wte", "lm_head"]

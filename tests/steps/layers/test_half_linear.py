"""Layers of 16 bits against torch's own, at the edges of the formats, saved, loaded and copied."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import safetensors.torch
import torch
from support.random_layers import draw_rows
from torch import nn
from torch.nn import functional

from slimgate.errors import BuildError
from slimgate.steps.layers.half_linear import Compute, Half, HalfEmbedding, HalfLinear


def linear(inputs: int = 48, outputs: int = 24) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    with torch.no_grad():
        for values in layer.parameters():
            values.normal_(0, 0.2, generator=torch.Generator().manual_seed(len(values)))
    return layer


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_float32_products_of_rounded_weights_are_torchs_own(dtype: Half) -> None:
    wide = linear()
    layer = HalfLinear.from_linear(wide, dtype=dtype, compute="float32")
    assert layer.weight.dtype == getattr(torch, dtype)
    expected = functional.linear(draw_rows(3, 5, 48), wide.weight.to(layer.weight.dtype).float(), wide.bias)
    assert torch.equal(layer(draw_rows(3, 5, 48)), expected)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_products_in_16_bits_are_torchs_and_give_float32(dtype: Half) -> None:
    wide, half = linear(), getattr(torch, dtype)
    layer = HalfLinear.from_linear(wide, dtype=dtype, compute=dtype)
    expected = functional.linear(draw_rows(4, 48).to(half), wide.weight.to(half), wide.bias.to(half))
    assert torch.equal(layer(draw_rows(4, 48)), expected.float())


@pytest.mark.parametrize("compute", ["float32", "bfloat16"])
def test_a_gradient_passes_to_the_input_also_after_inference(compute: Compute) -> None:
    layer = HalfLinear.from_linear(linear(), dtype="bfloat16", compute=compute)
    with torch.inference_mode():
        layer(draw_rows(2, 48))
    values = draw_rows(2, 48).requires_grad_()
    layer(values).sum().backward()
    assert values.grad is not None
    torch.testing.assert_close(values.grad, layer.weight.float().sum(0).expand(2, -1), rtol=0.02, atol=0.02)
    assert not [p for p in layer.parameters() if p.requires_grad]


@pytest.mark.parametrize("compute", ["float32", "float16"])
def test_a_saved_layer_loads_into_a_fresh_one_to_the_bit(tmp_path: Path, compute: Compute) -> None:
    layer = HalfLinear.from_linear(linear(), dtype="float16", compute=compute)
    expected = layer(draw_rows(5, 48))
    safetensors.torch.save_file(layer.state_dict(), tmp_path / "layer.safetensors")
    assert set(layer.state_dict()) == {"weight", "bias"}
    fresh = HalfLinear(**layer.list_options())
    fresh(draw_rows(5, 48))  # what it widened of its empty weight is given up
    fresh.load_state_dict(safetensors.torch.load_file(tmp_path / "layer.safetensors"))
    assert torch.equal(fresh(draw_rows(5, 48)), expected)
    assert torch.equal(copy.deepcopy(fresh)(draw_rows(5, 48)), expected)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_weight_that_is_not_finite_is_refused(dtype: Half) -> None:
    broken = linear()
    broken.weight.data[0, 0] = torch.inf
    with pytest.raises(BuildError, match=r"weights \(\d+, \d+\) are NaN or infinite, so the model is broken"):
        HalfLinear.from_linear(broken, dtype=dtype, compute="float32")


def test_a_weight_above_float16s_range_is_refused() -> None:
    wide = linear()
    wide.weight.data[0, 0] = 70_000
    with pytest.raises(BuildError, match=r"reach 70000, which float16 cannot represent; use bfloat16"):
        HalfLinear.from_linear(wide, dtype="float16", compute="float32")
    assert HalfLinear.from_linear(wide, dtype="bfloat16", compute="float32").weight.isfinite().all()


def test_a_table_gives_its_rows_as_float32_and_loads_again(tmp_path: Path) -> None:
    embedding = nn.Embedding(50, 16, padding_idx=3)
    table = HalfEmbedding.from_embedding(embedding, dtype="bfloat16")
    ids = torch.arange(50).reshape(2, 25)
    assert torch.equal(table(ids), embedding(ids).detach().bfloat16().float())
    safetensors.torch.save_file(table.state_dict(), tmp_path / "table.safetensors")
    fresh = HalfEmbedding(**table.list_options())
    fresh.load_state_dict(safetensors.torch.load_file(tmp_path / "table.safetensors"))
    assert torch.equal(fresh(ids), table(ids))
    assert fresh.padding_idx == 3


def test_a_table_that_renormalizes_its_rows_is_refused() -> None:
    with pytest.raises(BuildError, match="max_norm"):
        HalfEmbedding.from_embedding(nn.Embedding(5, 4, max_norm=1.0), dtype="float16")

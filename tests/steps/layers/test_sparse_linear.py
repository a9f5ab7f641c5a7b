"""slimgate.steps.layers.sparse_linear and sparse_integers: outputs as of dense layers, and no zeros in
the state.
"""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import nn
from torch.nn import functional

from slimgate.errors import BuildError
from slimgate.models.replace_modules import describe
from slimgate.models.sparsity import keep_n_of_m, make_keep_masks, zero_
from slimgate.models.torch_model import measure_size
from slimgate.steps.layers.grid import Scheme
from slimgate.steps.layers.int8_linear import Int8Linear, quantize_weight
from slimgate.steps.layers.int8_static_linear import Int8StaticLinear
from slimgate.steps.layers.packed import PackedLinear
from slimgate.steps.layers.sparse_linear import (
    SparseInt8Linear,
    SparseInt8StaticLinear,
    SparseLinear,
    SparsePackedLinear,
)

INPUTS = torch.randn(3, 5, 24, generator=torch.Generator().manual_seed(1))


def pruned(share: float = 0.5, bias: bool = True) -> nn.Linear:
    layer = nn.Linear(24, 40, bias=bias)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(40, 24, generator=generator))
    zero_(layer.weight, make_keep_masks([layer.weight.detach().abs()], share, "layer")[0])
    return layer


def again(layer: Any, path: Path) -> Any:
    """What an artifact's loader makes of it."""
    safetensors.torch.save_model(layer, str(path))
    empty = type(layer)(**layer.list_options())
    safetensors.torch.load_model(empty, str(path))
    return empty


@pytest.mark.parametrize("bias", [True, False])
def test_in_float32_outputs_equal_the_dense_layers_to_the_bit(bias: bool, tmp_path: Path) -> None:
    dense = pruned(bias=bias)
    layer = SparseLinear.from_linear(dense)
    with torch.no_grad():
        assert torch.equal(layer(INPUTS), dense(INPUTS))
        assert torch.equal(again(layer, tmp_path / "x.safetensors")(INPUTS), dense(INPUTS))


def test_in_float16_outputs_are_those_of_the_rounded_weights(tmp_path: Path) -> None:
    dense = pruned()
    layer = SparseLinear.from_linear(dense, values="float16")
    with torch.no_grad():
        expected = functional.linear(INPUTS, dense.weight.half().float(), dense.bias)
        assert torch.equal(layer(INPUTS), expected)
        assert torch.equal(again(layer, tmp_path / "x.safetensors")(INPUTS), expected)


def test_in_int8_outputs_are_those_of_levels_times_scales(tmp_path: Path) -> None:
    dense = pruned()
    layer = SparseLinear.from_linear(dense, values="int8")
    levels, scale = quantize_weight(dense.weight)
    with torch.no_grad():
        expected = functional.linear(INPUTS, levels.float() * scale[:, None], dense.bias)
        assert torch.equal(layer(INPUTS), expected)
        assert torch.equal(again(layer, tmp_path / "x.safetensors")(INPUTS), expected)
    assert torch.equal(layer.read_stored_weight(), levels)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.8, 0.97])
def test_int8_layers_keep_their_integers_and_their_outputs(share: float, tmp_path: Path) -> None:
    dense = Int8Linear.from_linear(pruned(share))
    layer = SparseInt8Linear.from_dense(dense)
    assert torch.equal(layer(INPUTS), dense(INPUTS))
    loaded = again(layer, tmp_path / "x.safetensors")
    assert torch.equal(loaded.weight, dense.weight)
    assert torch.equal(loaded(INPUTS), dense(INPUTS))


@pytest.mark.parametrize("smoothed", [False, True])
def test_static_int8_layers_keep_their_outputs_too(smoothed: bool, tmp_path: Path) -> None:
    smoothing = torch.linspace(0.5, 2.0, 24) if smoothed else None
    dense = Int8StaticLinear.from_linear(pruned(0.8), low=-3.0, high=3.0, smoothing=smoothing)
    layer = SparseInt8StaticLinear.from_dense(dense)
    assert layer.layout in ("gaps2", "gaps4")
    assert torch.equal(layer(INPUTS), dense(INPUTS))
    assert torch.equal(again(layer, tmp_path / "x.safetensors")(INPUTS), dense(INPUTS))


def test_the_state_holds_a_bit_a_weight_and_values_and_no_dense() -> None:
    state = SparseLinear.from_linear(pruned()).state_dict()
    assert set(state) == {"pattern", "values", "bias"}
    assert (len(state["pattern"]), len(state["values"])) == (24 * 40 // 8, 24 * 40 // 2)
    state = SparseInt8Linear.from_dense(Int8Linear.from_linear(pruned())).state_dict()
    assert set(state) == {"pattern", "values", "weight_scale", "bias"}
    assert state["values"].dtype == torch.int8


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
def test_packed_layers_keep_levels_and_store_others_in_few_bits(
    bits: int, share: float, tmp_path: Path
) -> None:
    dense = PackedLinear.from_linear(pruned(share), Scheme(bits=bits, group_size=8))
    layer = SparsePackedLinear.from_dense(dense)
    assert torch.equal(layer(INPUTS), dense(INPUTS))
    loaded = again(layer, tmp_path / "x.safetensors")
    assert torch.equal(loaded.packed, dense.packed)
    assert torch.equal(loaded(INPUTS), dense(INPUTS))
    assert loaded.weight_numbers() == dense.weight_numbers()
    state = layer.state_dict()
    assert set(state) == {"pattern", "values", "scale", "bias"}
    stored = dense.weight_numbers()[1] if layer.layout != "dense" else 24 * 40
    assert len(state["values"]) == math.ceil(stored * bits / 8)
    assert (layer.layout == "dense") == (share == 0.0)


def test_two_of_four_in_4_bits_take_2_and_2_thirds_bits_a_weight() -> None:
    dense = pruned(0.5)
    zero_(dense.weight, keep_n_of_m(torch.rand(40, 24), 2, 4))
    layer = SparsePackedLinear.from_dense(
        PackedLinear.from_linear(dense, Scheme(bits=4, granularity="tensor"))
    )
    state = layer.state_dict()
    assert len(state["pattern"]) + len(state["values"]) <= 24 * 40 * (2 + 2 / 3) / 8


def test_an_affine_grid_whose_zero_differs_by_group_is_refused() -> None:
    affine = PackedLinear.from_linear(pruned(), Scheme(bits=4, symmetric=False))
    with pytest.raises(BuildError, match="expected a symmetric grid"):
        SparsePackedLinear.from_dense(affine)


def test_a_size_counts_all_weights_and_those_other_than_zero() -> None:
    size = measure_size(nn.Sequential(SparseLinear.from_linear(pruned()), pruned(0.75)))
    assert size["parameters"] == 2 * (24 * 40 + 40)
    assert size["nonzero_parameters"] == 24 * 40 // 2 + 24 * 40 // 4 + 80


def test_a_layer_of_zeros_alone_is_stored_in_nothing(tmp_path: Path) -> None:
    dense = pruned()
    nn.init.zeros_(dense.weight)
    layer = SparseLinear.from_linear(dense)
    assert [len(layer.state_dict()[key]) for key in ("pattern", "values")] == [0, 0]
    assert torch.equal(again(layer, tmp_path / "x.safetensors")(INPUTS), layer(INPUTS))


def test_a_zero_with_a_sign_loses_it_at_once_and_not_on_loading() -> None:
    dense = pruned()
    with torch.no_grad():
        dense.weight.mul_(torch.where(dense.weight == 0, -1.0, 1.0))
    layer = SparseLinear.from_linear(dense)
    assert not torch.signbit(layer.weight[layer.weight == 0]).any()


def test_it_can_be_copied_and_moved_and_says_its_options() -> None:
    layer = SparseLinear.from_linear(pruned(), values="float16")
    twin = copy.deepcopy(layer).to("cpu")
    assert torch.equal(twin(INPUTS), layer(INPUTS))
    assert describe(layer) == (
        "slimgate.steps.layers.sparse_linear:SparseLinear",
        {"in_features": 24, "out_features": 40, "bias": True, "values": "float16", "layout": "mask"},
    )
    assert not any(parameter.requires_grad for parameter in layer.parameters())


def test_a_state_that_lacks_or_breaks_a_part_is_not_loaded() -> None:
    layer = SparseLinear.from_linear(pruned())
    state = layer.state_dict()
    with pytest.raises(RuntimeError, match="places in 960 weights, but 479 values were given"):
        layer.load_state_dict({**state, "values": state["values"][:-1]})
    del state["pattern"]
    with pytest.raises(RuntimeError, match=r"Missing key.*pattern"):
        layer.load_state_dict(state)


def test_weights_beyond_float16_and_unknown_values_are_errors() -> None:
    dense = pruned()
    with torch.no_grad():
        dense.weight[0, 0] = 1e6
    with pytest.raises(BuildError, match="not finite as float16"):
        SparseLinear.from_linear(dense, values="float16")
    with pytest.raises(BuildError, match="expected one of float32, float16, int8"):
        SparseLinear(2, 2, values="int4", layout="mask")  # type: ignore[arg-type]

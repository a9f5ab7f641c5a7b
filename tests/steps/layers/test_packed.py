"""Packed layers against float ones of the same values, saved and loaded, and counted."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import safetensors.torch
import torch
from support.random_layers import draw_rows
from torch import nn

from slimgate.errors import BuildError
from slimgate.models.torch_model import measure_size
from slimgate.steps.layers.grid import Granularity, Scheme, dequantize, fit_grid, quantize
from slimgate.steps.layers.int8_linear import Int8Linear
from slimgate.steps.layers.packed import PackedEmbedding, PackedLinear

FORMS: tuple[tuple[int, Granularity], ...] = (
    (2, "group"),
    (3, "channel"),
    (4, "tensor"),
    (4, "group"),
    (8, "group"),
)
SCHEMES = [
    pytest.param(Scheme(bits, granularity, 16, symmetric), id=f"{bits}-{granularity}-{symmetric}")
    for bits, granularity in FORMS
    for symmetric in (True, False)
]


def linear(inputs: int = 40, outputs: int = 24) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_(0, 0.05, generator=torch.Generator().manual_seed(3))
    return layer


def embedding(rows: int = 50, columns: int = 24) -> nn.Embedding:
    table = nn.Embedding(rows, columns, padding_idx=0)
    with torch.no_grad():
        table.weight.normal_(0, 0.05, generator=torch.Generator().manual_seed(4))
    return table


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_packed_layer_multiplies_by_the_rounded_weights(scheme: Scheme) -> None:
    layer = linear()
    grid = fit_grid(layer.weight, scheme)
    weight = dequantize(quantize(layer.weight.detach(), grid), grid)
    rows = draw_rows(2, 3, 40)
    packed = PackedLinear.from_linear(layer, scheme)
    assert torch.equal(packed(rows), nn.functional.linear(rows, weight, layer.bias))
    assert (weight - layer.weight).norm() < {2: 0.6, 3: 0.3, 4: 0.2, 8: 0.01}[
        scheme.bits
    ] * layer.weight.norm()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_lookup_gives_the_rows_of_the_whole_table(scheme: Scheme) -> None:
    packed = PackedEmbedding.from_embedding(embedding(), scheme)
    ids = torch.tensor([[3, 0, 49], [3, 7, 7]])
    assert torch.equal(packed(ids), packed.weight[ids])


@pytest.mark.parametrize("scheme", SCHEMES)
def test_layers_come_back_from_safetensors_to_the_bit(tmp_path: Path, scheme: Scheme) -> None:
    table, layer = (
        PackedEmbedding.from_embedding(embedding(), scheme),
        PackedLinear.from_linear(linear(24), scheme),
    )
    model = nn.Sequential(table, layer)
    ids = torch.tensor([[1, 2, 3]])
    expected = model(ids)
    safetensors.torch.save_model(model, str(tmp_path / "model.safetensors"))
    again = nn.Sequential(PackedEmbedding(**table.list_options()), PackedLinear(**layer.list_options()))
    assert not torch.equal(again(ids), expected)  # what was made before loading must be forgotten
    safetensors.torch.load_model(again, str(tmp_path / "model.safetensors"))
    assert torch.equal(again(ids), expected)


def test_the_state_holds_only_packed_weights_also_after_a_call() -> None:
    layer = PackedLinear.from_linear(linear(), Scheme(3, "group", 8, symmetric=False))
    layer(draw_rows(1, 40))
    shapes = {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in layer.state_dict().items()}
    assert shapes == {
        "packed": (torch.uint8, (24, 15)),
        "scale": (torch.float16, (24, 5)),
        "zero_points": (torch.uint8, (1, 45)),
        "bias": (torch.float32, (24,)),
    }


def test_packed_weights_are_counted_one_by_one() -> None:
    layer = linear(16, 4)
    with torch.no_grad():
        layer.weight[0] = 0
    assert measure_size(layer)["nonzero_parameters"] == 4 * 16 - 16 + 4
    packed = measure_size(PackedLinear.from_linear(layer, Scheme(8)))
    assert packed["parameters"] == 4 * 16 + 4
    assert packed["nonzero_parameters"] == 4 * 16 - 16 + 4


def test_gradients_reach_what_comes_before_also_after_inference() -> None:
    layer = PackedLinear.from_linear(linear(), Scheme(4))
    with torch.inference_mode():
        layer(draw_rows(2, 40))
    rows = draw_rows(2, 40).requires_grad_()
    layer(rows).sum().backward()
    assert rows.grad is not None
    assert torch.allclose(rows.grad[0], layer.weight.sum(0))
    assert [p.requires_grad for p in layer.parameters()] == [False]


def test_a_copy_and_a_moved_layer_answer_the_same() -> None:
    layer = PackedLinear.from_linear(linear(), Scheme(4, symmetric=False))
    expected = layer(draw_rows(2, 40))
    assert torch.equal(copy.deepcopy(layer)(draw_rows(2, 40)), expected)
    assert torch.equal(layer.to("cpu")(draw_rows(2, 40)), expected)


def test_half_precision_inputs_give_half_precision_outputs() -> None:
    layer = PackedLinear.from_linear(linear(), Scheme(8))
    assert layer(draw_rows(2, 40).bfloat16()).dtype == torch.bfloat16


def test_levels_of_another_scheme_are_an_error() -> None:
    grid = fit_grid(linear().weight, Scheme(4))
    with pytest.raises(BuildError, match=r"was given levels \(24, 40\) of Scheme\(bits=4"):
        PackedLinear(40, 24, bits=3).set_levels_(quantize(linear().weight.detach(), grid), grid)


def test_a_table_with_max_norm_is_an_error() -> None:
    with pytest.raises(BuildError, match=r"max_norm 1\.0 is not supported"):
        PackedEmbedding.from_embedding(nn.Embedding(4, 8, max_norm=1.0), Scheme(4))


def test_int8_activations_compute_as_an_int8_layer_unpacked(tmp_path: Path) -> None:
    plain, scheme = linear(), Scheme(4, "group", 8)
    layer = PackedLinear.from_linear(plain, scheme, activations="int8")
    unpacked = PackedLinear.from_linear(plain, scheme)
    rows = draw_rows(3, 40)
    expected = Int8Linear.from_weight(unpacked.weight, plain.bias)(rows)
    assert torch.equal(layer(rows), expected)
    assert torch.allclose(expected, unpacked(rows), atol=0.05)
    assert layer.state_dict().keys() == unpacked.state_dict().keys()
    assert layer._weight is None  # the float weight is not kept beside the int8 one
    safetensors.torch.save_model(layer, str(tmp_path / "layer.safetensors"))
    again = PackedLinear(**layer.list_options())
    safetensors.torch.load_model(again, str(tmp_path / "layer.safetensors"))
    assert torch.equal(again(rows), expected)


def test_a_row_in_int8_does_not_depend_on_the_rows_beside_it() -> None:
    layer = PackedLinear.from_linear(linear(), Scheme(3), activations="int8")
    rows = draw_rows(5, 40)
    assert torch.equal(layer(rows)[2], layer(rows[2:3])[0])

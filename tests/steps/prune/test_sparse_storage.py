"""The step sparse_storage: pruned artifacts shrink, answers stay, and it works after int8."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from fixtures.models.building import MEAN, PARAMS, compute_scores, make_tiny_classifier, save_model
from slimgate.errors import BuildError
from slimgate.models.linear_layers import find_linear_layers
from slimgate.models.torch_model import load_torch_model
from slimgate.plugins.loading import load
from slimgate.steps.layers.grid import dequantize
from slimgate.steps.layers.sparse_linear import SparseInt8Linear, SparseLinear
from slimgate.steps.prune import magnitude_prune, sparse_storage

build = partial(make_tiny_classifier, calibration=12)

PRUNED = ("magnitude_prune", {"sparsity": 0.5, "scope": "layer"})


def apply_step(model: Any, context: Any, name: str, options: Any) -> Any:
    step = load("step", name)
    model = step.apply(model, step.Params.model_validate(options), context)
    model.kind = step.gives or model.kind
    return model


def saved(model: Any, folder: Path) -> int:
    """Bytes of the weights file, without its header of names and shapes."""
    save_model(model, folder)
    content = (folder / "model.safetensors").read_bytes()
    return len(content) - 8 - int.from_bytes(content[:8], "little")


INT8 = ("int8_dynamic", {"embeddings": True})
GPTQ = ("gptq", {"bits": 3, "embeddings": 8})
THREE_BITS = ("weight_only", {"bits": 3, "embeddings": 8})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("architecture", "mean", "quantize"),
    [
        ("bert", False, None),
        ("distilbert", False, None),
        ("roberta", False, INT8),
        ("distilbert", False, ("int8_static", {})),
        ("electra", False, THREE_BITS),
        ("gpt2", False, None),
        ("gpt2", False, INT8),
        ("gpt2", False, THREE_BITS),
        ("llama", False, None),
        ("llama", False, THREE_BITS),
        ("distilbert", False, GPTQ),
        ("bert", True, INT8),
        ("bert", True, THREE_BITS),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else str(value),
)
def test_answers_stay_to_the_bit_before_and_after_loading(
    tmp_path: Path, architecture: str, mean: bool, quantize: Any
) -> None:
    model, context = build(tmp_path, architecture, params=MEAN if mean else PARAMS)
    apply_step(model, context, *PRUNED)
    if quantize:
        apply_step(model, context, *quantize)
    before, size = compute_scores(model, context), model.measure_size()
    apply_step(model, context, "sparse_storage", {})
    assert np.array_equal(compute_scores(model, context), before)
    counted = ("parameters", "nonzero_parameters")
    assert [model.measure_size()[key] for key in counted] == [size[key] for key in counted]
    saved(model, tmp_path / "saved")
    again = load_torch_model(tmp_path / "saved")
    assert np.array_equal(compute_scores(again, context), before)
    assert again.measure_size() == model.measure_size()
    assert again.kind == "torch_quantized"


@pytest.mark.parametrize("architecture", ["bert", "gpt2"])
def test_gptq_leaves_pruned_weights_at_zero_to_be_stored_sparse(tmp_path: Path, architecture: str) -> None:
    model, context = build(tmp_path, architecture)
    apply_step(model, context, "sparsegpt_prune", {"n": 2, "m": 4})
    zeros = {name: layer.weight == 0 for name, layer in find_linear_layers(model).items()}
    apply_step(model, context, "gptq", {"bits": 4})
    for name, mask in zeros.items():
        layer = model.network.get_submodule(name)
        assert 2 * int(mask.sum()) == mask.numel()
        assert (dequantize(layer.unpack_levels(), layer.make_grid())[mask] == 0).all()
    assert context.log["output_error"] < context.log["output_error_of_nearest"]
    apply_step(model, context, "sparse_storage", {})
    assert context.log["layers"] == (24 if architecture == "bert" else 16)
    # 4 bits a weight become half of that and 2/3 of a bit for the pattern of 2:4 (scales and biases stay)
    assert context.log["layer_bytes_after"] < 0.85 * context.log["layer_bytes_before"]


def test_the_weights_file_is_smaller_by_what_the_zeros_took(tmp_path: Path) -> None:
    model, context = build(tmp_path)
    apply_step(model, context, *PRUNED)
    before = saved(model, tmp_path / "before")
    apply_step(model, context, "sparse_storage", {})
    matrices, biases = 4 * (4 * 32 * 32 + 2 * 32 * 64), 4 * (5 * 32 + 64)
    assert context.log["layer_bytes_before"] == matrices * 4 + biases * 4
    assert context.log["layer_bytes_after"] == matrices * 2 + matrices // 8 + biases * 4
    assert context.log["layers"] == 24
    assert context.log["layouts"] == {"mask": 24}
    assert before - saved(model, tmp_path / "after") == matrices * 15 / 8


def test_two_of_four_in_int8_takes_less_than_five_bits_a_weight(tmp_path: Path) -> None:
    model, context = build(tmp_path)
    for name, options in (
        ("sparsegpt_prune", {"n": 2, "m": 4}),
        ("int8_dynamic", {}),
        ("sparse_storage", {}),
    ):
        apply_step(model, context, name, options)
    assert context.log["layouts"] == {"2:4": 24}
    matrices, floats = 4 * (4 * 32 * 32 + 2 * 32 * 64), 2 * 4 * (5 * 32 + 64)  # biases and scales
    assert (context.log["layer_bytes_after"] - 4 * floats) * 8 / matrices < 4 + 0.7
    kinds = [type(module) for module in model.network.modules()]
    assert kinds.count(SparseInt8Linear) == 24


@pytest.mark.parametrize(("values", "bits"), [("float32", 32), ("float16", 16), ("int8", 8)])
def test_values_are_stored_in_the_dtype_asked_for(tmp_path: Path, values: str, bits: int) -> None:
    model, context = build(tmp_path)
    apply_step(model, context, "magnitude_prune", {"sparsity": 0.9, "scope": "layer"})
    before = compute_scores(model, context)
    apply_step(model, context, "sparse_storage", {"values": values})
    assert np.abs(compute_scores(model, context) - before).max() <= {32: 0.0, 16: 1e-3, 8: 0.1}[
        bits
    ] * np.ptp(before)
    saved(model, tmp_path / "saved")
    stored = safetensors.torch.load_file(tmp_path / "saved" / "model.safetensors")
    name = "bert.encoder.layer.0.attention.self.query"
    assert stored[f"{name}.values"].dtype == getattr(torch, values)
    assert len(stored[f"{name}.values"]) <= 1024 - round(0.9 * 1024)
    assert stored[f"{name}.pattern"].dtype == torch.uint8
    assert f"{name}.weight" not in stored
    assert stored["classifier.weight"].dtype == torch.float32
    options = json.loads((tmp_path / "saved" / "slimgate.json").read_text("utf-8"))["modifications"][-1]
    assert options["spec"]["modules"][name][0] == "slimgate.steps.layers.sparse_linear:SparseLinear"


def test_layers_that_would_not_become_smaller_stay_dense(tmp_path: Path) -> None:
    model, context = build(tmp_path)
    apply_step(model, context, *PRUNED)
    apply_step(model, context, "sparse_storage", {})
    assert type(model.network.bert.pooler.dense) is torch.nn.Linear
    assert type(model.network.classifier) is torch.nn.Linear
    assert type(model.network.bert.encoder.layer[0].output.dense) is SparseLinear


def test_a_model_without_zeros_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    model, context = build(tmp_path)
    with pytest.raises(BuildError, match=r"none of 25 linear layers .* of float32: prune first"):
        apply_step(model, context, "sparse_storage", {})


def test_a_weight_that_is_an_embeddings_too_stays_tied(tmp_path: Path) -> None:
    model, context = build(tmp_path)
    magnitude_prune.step.apply(model, magnitude_prune.Params(sparsity=0.5), context)
    network = model.network
    table = network.bert.embeddings.word_embeddings
    network.bert.pooler.dense = torch.nn.Linear(32, table.num_embeddings)
    network.bert.pooler.dense.weight = table.weight
    with torch.no_grad():
        table.weight.mul_(torch.arange(32) % 2)
    sparse_storage.step.apply(model, sparse_storage.Params(), context)
    assert network.bert.pooler.dense.weight is table.weight

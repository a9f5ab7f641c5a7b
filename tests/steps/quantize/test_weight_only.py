"""The steps weight_only and gptq on tiny models: values, bits, and what is packed."""

from __future__ import annotations

import copy
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from support.refused_options import read_refusal
from torch import nn

from fixtures.models.building import compute_scores, load_tiny, make_tiny_classifier, save_model
from slimgate.errors import BuildError, DataError
from slimgate.steps.layers.int8_linear import Int8Embedding
from slimgate.steps.layers.packed import PackedEmbedding, PackedLinear
from slimgate.steps.prune import keep_layers, magnitude_prune
from slimgate.steps.quantize import gptq, int8_dynamic, weight_only

scores = partial(compute_scores, split="train")


@pytest.mark.parametrize("step", [weight_only.step, gptq.step], ids=["weight_only", "gptq"])
def test_eight_bits_hardly_change_answers(tmp_path: Path, step: Any) -> None:
    model, context = make_tiny_classifier(tmp_path, "roberta", calibration=8)
    before, parameters = scores(model, context), model.measure_size()["parameters"]
    step.apply(model, step.Params(bits=8, group_size=16, embeddings=8, symmetric=False), context)
    after = scores(model, context)
    assert np.abs(after - before).max() < 0.02 * np.ptp(before) + 0.01
    assert not np.array_equal(after, before)
    assert model.measure_size()["parameters"] == parameters


def test_outputs_are_those_of_a_float_model_with_rounded_weights(tmp_path: Path) -> None:
    model, context = make_tiny_classifier(tmp_path, "gpt2")
    weight_only.step.apply(
        model, weight_only.Params(bits=4, granularity="channel", observer="minmax"), context
    )
    plain = load_tiny(tmp_path / "hub", context)
    with torch.no_grad():
        for block in plain.network.transformer.h:
            for layer in (block.attn.c_attn, block.attn.c_proj, block.mlp.c_fc, block.mlp.c_proj):
                columns = layer.weight.amax(0), layer.weight.amin(0)  # Conv1D: an output is a column
                extreme = torch.where(columns[0] >= -columns[1], *columns)
                scale = (extreme / -8).half().float()
                layer.weight.copy_((layer.weight / scale).round().clamp(-8, 7) * scale)
    assert np.allclose(scores(model, context), scores(plain, context), atol=1e-5)


def test_weights_are_stored_in_their_bits(tmp_path: Path) -> None:
    model, context = make_tiny_classifier(tmp_path)
    weight_only.step.apply(model, weight_only.Params(bits=3, group_size=16, embeddings=4), context)
    stored = safetensors.torch.load_file(save_model(model, tmp_path / "saved") / "model.safetensors")
    query = "bert.encoder.layer.0.attention.self.query"
    shapes = {name: tuple(tensor.shape) for name, tensor in stored.items() if name.startswith(query)}
    assert shapes == {f"{query}.packed": (32, 12), f"{query}.scale": (32, 2), f"{query}.bias": (32,)}
    assert stored["bert.embeddings.word_embeddings.packed"].shape[1] == 16
    assert stored["classifier.weight"].dtype == torch.float32
    assert context.log["bits_per_weight"] == pytest.approx(
        4.0, abs=0.15
    )  # 3 + 16 / 16, and 4 + 16 / 16 of few


def test_what_becomes_packed_is_what_was_asked_for(tmp_path: Path) -> None:
    model, context = make_tiny_classifier(tmp_path)
    weight_only.step.apply(model, weight_only.Params(embeddings=8, output_layer=True), context)
    kinds = [type(m) for m in model.network.modules()]
    assert kinds.count(PackedLinear) == 4 * 6 + 2  # blocks, pooler, classifier
    assert kinds.count(PackedEmbedding) == 1
    assert kinds.count(nn.Linear) == 0
    assert kinds.count(nn.Embedding) == 2  # positions and types
    assert (context.log["linear_layers"], context.log["embedding_tables"]) == (26, 1)


def test_fewer_bits_lose_more(tmp_path: Path) -> None:
    model, context = make_tiny_classifier(tmp_path)
    errors = []
    for bits in (8, 4, 2):
        weight_only.step.apply(copy.deepcopy(model), weight_only.Params(bits=bits), context)
        errors.append(context.log["weight_error"])
    assert errors == sorted(errors)
    assert errors[0] < 0.01 < 0.3 < errors[-1] < 0.5


@pytest.mark.parametrize("architecture", ["bert", "distilbert", "gpt2", "llama"])
def test_gptq_changes_outputs_less_than_plain_rounding(tmp_path: Path, architecture: str) -> None:
    model, context = make_tiny_classifier(tmp_path, architecture, calibration=24)
    before = scores(model, context)
    plain = load_tiny(tmp_path / "hub", context)
    weight_only.step.apply(plain, weight_only.Params(bits=3), context)
    gptq.step.apply(model, gptq.Params(bits=3), context)
    lost = [float(np.square(scores(each, context) - before).mean()) for each in (model, plain)]
    assert lost[0] < 0.8 * lost[1]
    assert context.log["output_error"] < 0.6 * context.log["output_error_of_nearest"]


def test_gptq_needs_calibration_rows(tmp_path: Path) -> None:
    model, context = make_tiny_classifier(tmp_path)
    with pytest.raises(DataError, match=r"calibration, which has none"):
        gptq.step.apply(model, gptq.Params(), context)
    assert gptq.step.reads == ("calibration",)
    assert weight_only.step.reads == ()


def test_zeros_of_a_pruning_stay_and_dropped_layers_stay_away(tmp_path: Path) -> None:
    model, context = make_tiny_classifier(tmp_path)
    magnitude_prune.step.apply(model, magnitude_prune.Params(sparsity=0.5), context)
    keep_layers.step.apply(model, keep_layers.Params.model_validate([0, 2]), context)
    nonzero = model.measure_size()["nonzero_parameters"]
    weight_only.step.apply(model, weight_only.Params(bits=8), context)
    assert 0.9 * nonzero < model.measure_size()["nonzero_parameters"] <= nonzero
    assert context.log["linear_layers"] == 2 * 6 + 1


@pytest.mark.parametrize("architecture", ["bert", "gpt2"])
@pytest.mark.parametrize(
    ("second", "options", "kind"),
    [
        (weight_only.step, {"bits": 4, "embeddings": 4}, PackedEmbedding),
        (int8_dynamic.step, {"embeddings": True}, Int8Embedding),
    ],
    ids=["weight_only", "int8_dynamic"],
)
def test_embeddings_alone_are_quantized_after_the_blocks_were(
    tmp_path: Path, architecture: str, second: Any, options: dict[str, Any], kind: type[nn.Module]
) -> None:
    model, context = make_tiny_classifier(tmp_path, architecture)
    weight_only.step.apply(model, weight_only.Params(), context)
    packed = {name: m for name, m in model.network.named_modules() if isinstance(m, PackedLinear)}
    second.apply(model, second.Params.model_validate(options), context)
    assert [type(m) for m in model.network.modules()].count(kind) == 1
    assert all(model.network.get_submodule(name) is layer for name, layer in packed.items())
    assert (context.log["linear_layers"], context.log["embedding_tables"]) == (0, 1)
    with pytest.raises(BuildError, match="they are already quantized"):  # now nothing is left
        second.apply(model, second.Params.model_validate(options), context)


@pytest.mark.parametrize("second", [weight_only.step, int8_dynamic.step], ids=["weight_only", "int8_dynamic"])
def test_a_model_that_is_packed_already_is_a_clear_error(tmp_path: Path, second: Any) -> None:
    model, context = make_tiny_classifier(tmp_path)
    weight_only.step.apply(model, weight_only.Params(), context)
    with pytest.raises(BuildError, match="have no float matrices: they are already quantized"):
        second.apply(model, second.Params(), context)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bits": 1}, "bits: Input should be greater than or equal to 2"),
        ({"bits": 9}, "bits: Input should be less than or equal to 8"),
        ({"group_size": 4}, "group_size: Input should be greater than or equal to 8"),
        ({"granularity": "row"}, "granularity: Input should be 'group', 'channel' or 'tensor'"),
        ({"bit": 4}, "unknown key bit. Did you mean bits?"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    for step in (weight_only.step, gptq.step):
        assert read_refusal(step.Params, options).startswith(message)


def test_they_declare_their_kind() -> None:
    for step in (weight_only.step, gptq.step):
        assert step.takes == {"torch", "torch_quantized"}
        assert step.gives == "torch_quantized"
        assert step.claims == ("smaller",)

"""The method int8_dynamic: what becomes int8, what stays, and how near the answers are."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from fixtures.models.building import compute_scores, make_tiny_classifier, save_model
from slimgate.errors import BuildError
from slimgate.steps.layers.int8_linear import Int8Embedding, Int8Linear
from slimgate.steps.quantize import int8_dynamic

scores = partial(compute_scores, split="train")


@pytest.mark.parametrize("architecture", ["bert", "llama", "gpt2"])
@pytest.mark.parametrize("embeddings", [False, True], ids=["linear", "embeddings"])
def test_answers_stay_close(tmp_path: Path, architecture: str, embeddings: bool) -> None:
    model, context = make_tiny_classifier(tmp_path, architecture)
    before, state_bytes = scores(model, context), model.measure_size()["state_bytes"]
    parameters = model.measure_size()["parameters"]
    int8_dynamic.step.apply(model, int8_dynamic.Params(embeddings=embeddings), context)
    after = scores(model, context)
    assert np.abs(after - before).max() < 0.1 * np.ptp(before) + 0.02
    assert not np.array_equal(after, before)
    assert model.measure_size()["parameters"] == parameters
    assert model.measure_size()["state_bytes"] < 0.7 * state_bytes


def test_linear_layers_are_int8_and_the_output_layer_is_not(tmp_path: Path) -> None:
    model, context = make_tiny_classifier(tmp_path, "bert")
    int8_dynamic.step.apply(model, int8_dynamic.Params(), context)
    kinds = [type(m) for m in model.network.modules()]
    assert kinds.count(Int8Linear) == 4 * 6 + 1  # blocks, pooler
    assert kinds.count(nn.Linear) == 1
    assert kinds.count(Int8Embedding) == 0
    assert context.log["linear_layers"] == 25
    stored = safetensors.torch.load_file(save_model(model, tmp_path / "saved") / "model.safetensors")
    assert stored["bert.encoder.layer.0.attention.self.query.weight"].dtype == torch.int8
    assert stored["classifier.weight"].dtype == torch.float32
    assert json.loads((tmp_path / "saved" / "slimgate.json").read_text("utf-8"))["modifications"]


def test_the_output_layer_and_the_token_table_on_request(tmp_path: Path) -> None:
    model, context = make_tiny_classifier(tmp_path, "bert")
    int8_dynamic.step.apply(model, int8_dynamic.Params(output_layer=True, embeddings=True), context)
    kinds = [type(m) for m in model.network.modules()]
    assert kinds.count(nn.Linear) == 0
    assert kinds.count(Int8Embedding) == 1
    assert kinds.count(nn.Embedding) == 2  # positions and types


def test_a_rows_answer_does_not_depend_on_its_batch(tmp_path: Path) -> None:
    model, context = make_tiny_classifier(tmp_path, "bert")
    int8_dynamic.step.apply(model, int8_dynamic.Params(embeddings=True), context)
    alone = scores(model, context, batch_size=1)
    spread = float(np.ptp(alone))
    order = np.random.default_rng(0).permutation(len(alone))
    for together in (scores(model, context), scores(model, context, order=order, batch_size=7)):
        # float32 attention may round otherwise in another shape, and an activation then to the next level
        assert np.abs(together - alone).max() < 0.01 * spread


def test_gpt2_whose_blocks_are_conv1d_becomes_int8_whole(tmp_path: Path) -> None:
    model, context = make_tiny_classifier(tmp_path, "gpt2")
    int8_dynamic.step.apply(model, int8_dynamic.Params(), context)
    kinds = [type(m).__name__ for m in model.network.modules()]
    assert kinds.count("Int8Linear") == 4 * 4  # c_attn, c_proj, c_fc, c_proj of four blocks
    assert kinds.count("Conv1D") == 0


def test_a_model_that_is_int8_already_is_a_clear_error(tmp_path: Path) -> None:
    model, context = make_tiny_classifier(tmp_path, "bert")
    int8_dynamic.step.apply(model, int8_dynamic.Params(), context)
    with pytest.raises(BuildError, match="have no float matrices: they are already quantized"):
        int8_dynamic.step.apply(model, int8_dynamic.Params(), context)


def test_one_scale_a_tensor_is_coarser_than_one_a_channel(tmp_path: Path) -> None:
    errors = {}
    for granularity in ("channel", "tensor"):
        model, context = make_tiny_classifier(tmp_path / granularity, "bert")
        before = scores(model, context)
        params = int8_dynamic.Params.model_validate({"granularity": granularity, "embeddings": True})
        int8_dynamic.step.apply(model, params, context)
        errors[granularity] = float(np.abs(scores(model, context) - before).mean())
        layers = [m for m in model.network.modules() if isinstance(m, Int8Linear | Int8Embedding)]
        same = [len(m.weight_scale.unique()) == 1 for m in layers]
        assert all(same) if granularity == "tensor" else not any(same)
    assert errors["tensor"] > 1.5 * errors["channel"]


def test_it_declares_its_kind() -> None:
    assert int8_dynamic.step.takes == {"torch", "torch_quantized"}
    assert int8_dynamic.step.gives == "torch_quantized"
    assert not int8_dynamic.step.stochastic
    assert int8_dynamic.step.reads == ()

"""The step quantization_aware_training: what it leaves is packed without loss, and answers better."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

from fixtures.models.building import compute_scores, load_tiny, make_tiny_classifier, save_model
from slimgate.steps.finetune import fine_tune
from slimgate.steps.prune import keep_layers, magnitude_prune
from slimgate.steps.quantize import gptq, quantization_aware_training, weight_only

Params = quantization_aware_training.Params


def build(tmp_path: Path, architecture: str = "bert", **rows: Any) -> tuple[Any, Any]:
    model, context = make_tiny_classifier(tmp_path, architecture, **rows)
    context.load_teacher = lambda: load_tiny(tmp_path / "hub", context)
    return model, context


@pytest.mark.parametrize(
    ("architecture", "bits", "symmetric"), [("bert", 2, False), ("gpt2", 3, True), ("electra", 4, True)]
)
def test_weight_only_packs_what_it_leaves_without_loss(
    tmp_path: Path, architecture: str, bits: int, symmetric: bool
) -> None:
    model, context = build(tmp_path, architecture)
    before = compute_scores(model, context)
    grid: dict[str, Any] = {"bits": bits, "group_size": 16, "symmetric": symmetric, "embeddings": 8}
    quantization_aware_training.step.apply(model, Params(epochs=1, learning_rate=1e-3, **grid), context)
    trained = compute_scores(model, context)
    assert not np.array_equal(trained, before)
    assert not [name for name in model.network.state_dict() if "parametrizations" in name]
    weight_only.step.apply(model, weight_only.Params(**grid), context)
    assert np.array_equal(compute_scores(model, context), trained)
    assert context.log["weight_error"] == 0


@pytest.mark.slow
def test_two_bits_answer_the_teacher_better_than_plain_rounding(tmp_path: Path) -> None:
    model, context = build(tmp_path, train=160, selection=48)
    training: dict[str, Any] = {"learning_rate": 1e-3, "batch_size": 8, "precision": "float32"}
    fine_tune.step.apply(model, fine_tune.Params(epochs=4, **training), context)
    save_model(model, tmp_path / "teacher")
    context.load_teacher = lambda: load_tiny(tmp_path / "teacher", context)
    answers, plain = compute_scores(model, context), context.load_teacher()
    weight_only.step.apply(plain, weight_only.Params(bits=2), context)
    options = Params(bits=2, alpha=0.0, epochs=2, keep_best=False, **training)
    quantization_aware_training.step.apply(model, options, context)
    lost = [float(np.square(compute_scores(each, context) - answers).mean()) for each in (model, plain)]
    assert lost[0] < 0.6 * lost[1]
    assert context.log["scale_change"] > 0


def test_training_may_start_where_gptq_ends(tmp_path: Path) -> None:
    model, context = build(tmp_path, calibration=16)
    rounded = load_tiny(tmp_path / "hub", context)
    gptq.step.apply(rounded, gptq.Params(bits=2), context)
    error = context.log["output_error"]
    options: dict[str, Any] = {"epochs": 1, "learning_rate": 1e-12, "weight_decay": 0.0}
    quantization_aware_training.step.apply(model, Params(bits=2, start="gptq", **options), context)
    assert context.log["output_error"] == error
    assert np.allclose(compute_scores(model, context), compute_scores(rounded, context), atol=1e-5)


def test_zeros_of_a_pruning_stay_zero(tmp_path: Path) -> None:
    model, context = build(tmp_path)
    magnitude_prune.step.apply(model, magnitude_prune.Params(sparsity=0.5), context)
    layer = model.network.bert.encoder.layer[0].output.dense
    zeros = layer.weight == 0
    quantization_aware_training.step.apply(model, Params(bits=4, epochs=1, learning_rate=1e-2), context)
    assert (layer.weight[zeros] == 0).all()
    assert layer.weight.count_nonzero() > 0


def test_scales_keep_still_on_request_and_the_output_stays_float(tmp_path: Path) -> None:
    model, context = build(tmp_path)
    quantization_aware_training.step.apply(model, Params(bits=2, epochs=1, learned_scales=False), context)
    assert context.log["scale_change"] == 0
    assert context.log["linear_layers"] == 4 * 6 + 1
    assert model.network.classifier.weight.unique().numel() == model.network.classifier.weight.numel()
    assert isinstance(model.network.classifier, nn.Linear)


def test_it_declares_what_it_needs() -> None:
    assert quantization_aware_training.step.takes == {"torch"}
    assert quantization_aware_training.step.gives is None
    assert quantization_aware_training.step.reads == ("train", "selection", "calibration")
    assert quantization_aware_training.step.uses_teacher


def test_the_rounded_table_is_not_taken_for_the_single_block(tmp_path: Path) -> None:
    model, context = build(tmp_path)
    keep_layers.step.apply(model, keep_layers.Params((0,)), context)
    params = Params(epochs=1, embeddings=8, hidden_weight=1.0, batch_size=16, precision="float32")
    quantization_aware_training.step.apply(model, params, context)
    assert "hidden" in context.log["loss_parts"]

"""The step binarize: one bit a weight on disk, trained back from the teacher, the same when loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from support.refused_options import read_refusal
from torch import nn

from fixtures.models.building import (
    MEAN,
    compute_scores,
    load_tiny,
    make_tiny_classifier,
    make_tiny_context,
    save_and_load,
    save_model,
)
from slimgate.errors import SuiteError
from slimgate.steps.layers.binary_linear import BinaryEmbedding, BinaryLinear, LatentLinear
from slimgate.steps.layers.packed import PackedEmbedding
from slimgate.steps.prune import keep_layers, magnitude_prune
from slimgate.steps.quantize import binarize, int8_dynamic, weight_only
from slimgate.steps.quantize._binarize import Ramp, compute_mean_inputs, compute_sign_error
from slimgate.steps.training.scoring import compute_quality

SHORT: dict[str, Any] = {"epochs": 1, "batch_size": 16, "precision": "float32"}


def build(tmp_path: Path, architecture: str = "bert", **options: Any) -> Any:
    model, context = make_tiny_classifier(tmp_path, architecture, **options)
    teacher_context = make_tiny_context(tmp_path / "teacher", **options)
    context.load_teacher = lambda: load_tiny(tmp_path / "hub", teacher_context)
    return model, context


def test_stored_weights_take_a_bit_each_and_the_head_stays_float(tmp_path: Path) -> None:
    model, context = build(tmp_path)
    parameters = model.measure_size()["parameters"]
    binarize.step.apply(model, binarize.Params(**SHORT), context)
    kinds = [type(module) for module in model.network.modules()]
    assert kinds.count(BinaryLinear) == 4 * 6 + 1
    assert kinds.count(nn.Linear) == 1
    # a number for each weight as before, and a scale for each row of the 25 matrices is no parameter
    assert model.measure_size()["parameters"] == parameters
    stored = safetensors.torch.load_file(save_model(model, tmp_path / "saved") / "model.safetensors")
    name = "bert.encoder.layer.0.intermediate.dense"
    assert stored[f"{name}.packed"].shape == (64, 32 // 8)
    assert stored[f"{name}.packed"].dtype == torch.uint8
    assert f"{name}.weight" not in stored
    assert stored["classifier.weight"].dtype == torch.float32
    assert context.log["bits"] == 1
    assert 0 < context.log["signs_flipped_by_training"] < 0.5


@pytest.mark.slow
def test_training_brings_a_binary_model_far_above_chance(tmp_path: Path) -> None:
    model, context = build(tmp_path, train=400)
    options = {**SHORT, "epochs": 3, "learning_rate": 3e-3, "alpha": 1.0}
    binarize.step.apply(model, binarize.Params(**options, ramp=0.2, hidden_weight=0.0), context)
    assert compute_quality(model, context) >= 0.9


@pytest.mark.slow
@pytest.mark.parametrize("activations", [False, True], ids=["weights", "weights and inputs"])
def test_the_loaded_model_gives_the_same_scores_to_the_bit(tmp_path: Path, activations: bool) -> None:
    model, context = build(tmp_path, params=MEAN)
    options = binarize.Params(**SHORT, activations=activations, embeddings=True)
    binarize.step.apply(model, options, context)
    assert sum(isinstance(module, BinaryEmbedding) for module in model.network.modules()) == 1
    again = save_and_load(model, tmp_path / "saved")
    assert np.array_equal(compute_scores(again, context), compute_scores(model, context))
    assert again.measure_size() == model.measure_size()


def test_a_rows_answer_does_not_depend_on_its_batch(tmp_path: Path) -> None:
    model, context = build(tmp_path)
    binarize.step.apply(model, binarize.Params(**SHORT), context)
    assert np.allclose(
        compute_scores(model, context, batch_size=1), compute_scores(model, context), atol=1e-5
    )


def test_float_blocks_stay_float_until_a_later_step_makes_int8(tmp_path: Path) -> None:
    model, context = build(tmp_path)
    binarize.step.apply(model, binarize.Params(**SHORT, float_blocks=(0, 3)), context)
    layers = {n: m for n, m in model.network.named_modules() if isinstance(m, nn.Linear)}
    assert len(layers) == 2 * 6 + 1
    assert all(name == "classifier" or "layer.0." in name or "layer.3." in name for name in layers)
    int8_dynamic.step.apply(model, int8_dynamic.Params(), context)
    kinds = [type(module).__name__ for module in model.network.modules()]
    assert kinds.count("Int8Linear") == 2 * 6
    assert kinds.count("BinaryLinear") == 2 * 6 + 1


def test_a_float_block_that_is_not_there_is_a_clear_error(tmp_path: Path) -> None:
    model, context = build(tmp_path)
    message = r"float_blocks \[4\] was given, but the model has blocks 0 to 3"
    with pytest.raises(SuiteError, match=message):
        binarize.step.check(binarize.Params(**SHORT, float_blocks=(4,)), {"num_hidden_layers": 4})
    with pytest.raises(SuiteError, match=message):
        binarize.step.apply(model, binarize.Params(**SHORT, float_blocks=(4,)), context)


def test_it_follows_pruning_whose_zeros_it_gives_up(tmp_path: Path) -> None:
    model, context = build(tmp_path)
    keep_layers.step.apply(model, keep_layers.Params((0, 3)), context)
    magnitude_prune.step.apply(model, magnitude_prune.Params(sparsity=0.5), context)
    binarize.step.apply(model, binarize.Params(**SHORT), context)
    assert [change["spec"].get("pruned") for change in model.modifications] == [[], None]
    assert sum(isinstance(m, BinaryLinear) for m in model.network.modules()) == 2 * 6 + 1
    assert np.isfinite(compute_scores(model, context)).all()


def test_the_ramp_leads_weights_then_inputs_from_float_to_binary() -> None:
    with_inputs = LatentLinear(nn.Linear(2, 2), thresholds=torch.zeros(2))
    weights = LatentLinear(nn.Linear(2, 2))
    ramp = Ramp([with_inputs, weights], 0.5)
    seen = []
    for step in (0, 10, 25, 40, 50, 99):
        ramp.before_step(step, 100)
        seen.append((weights.weight_share, with_inputs.weight_share, with_inputs.input_share))
    expected = [(0, 0, 0), (0.2, 0.4, 0), (0.5, 1, 0), (0.8, 1, 0.6), (1, 1, 1), (1, 1, 1)]
    assert np.allclose(seen, expected)


def test_without_a_ramp_all_is_binary_from_the_first_step() -> None:
    layer = LatentLinear(nn.Linear(2, 2))
    Ramp([layer], 0.0).before_step(0, 100)
    assert layer.weight_share == 1.0


def test_thresholds_start_at_the_mean_of_what_a_layer_receives(tmp_path: Path) -> None:
    model, context = build(tmp_path)
    name = "bert.encoder.layer.0.attention.self.query"
    layer = model.network.get_submodule(name)
    means = compute_mean_inputs(model, {name: layer}, context)
    assert means[name].shape == (32,)
    # LayerNorm's outputs have mean 0 over the features of each token, and so has their mean over tokens
    assert abs(float(means[name].mean())) < 1e-5
    assert float(means[name].abs().max()) > 0.01


def test_the_error_of_plain_signs_is_the_variance_of_the_sizes() -> None:
    layer = nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, -3.0], [2.0, 2.0]]))
    # sizes 1, 3 about 2 and 2, 2 about 2: lost 2 of an energy of 1 + 9 + 4 + 4
    assert compute_sign_error([layer]) == pytest.approx(2 / 18)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ramp": 1.1}, "ramp: Input should be less than or equal to 1"),
        ({"alpha": -0.1}, "alpha: Input should be greater than or equal to 0"),
        ({"temperature": 0.0}, "temperature: Input should be greater than 0"),
        ({"float_blocks": [-1]}, "float_blocks: Input should be greater than or equal to 0"),
        ({"bits": 1}, "unknown key bits"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    assert read_refusal(binarize.Params, options).startswith(message)


def test_it_declares_what_it_needs() -> None:
    assert binarize.step.takes == {"torch"}
    assert binarize.step.gives == "torch_quantized"
    assert binarize.step.uses_teacher
    assert binarize.step.stochastic
    assert binarize.step.claims == ("smaller",)


def test_the_token_table_alone_can_get_fewer_bits_afterwards(tmp_path: Path) -> None:
    model, context = build(tmp_path)
    binarize.step.apply(model, binarize.Params(**SHORT), context)
    weight_only.step.apply(model, weight_only.Params(bits=4, embeddings=4), context)
    kinds = [type(module) for module in model.network.modules()]
    assert kinds.count(BinaryLinear) == 4 * 6 + 1
    assert kinds.count(PackedEmbedding) == 1
    after = compute_scores(model, context)
    assert np.array_equal(compute_scores(save_and_load(model, tmp_path / "saved"), context), after)

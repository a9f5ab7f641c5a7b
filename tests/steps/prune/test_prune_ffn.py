"""The step prune_ffn: the model answers as with masked neurons, and the neurons are really gone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fixtures.models.building import save_and_load
from fixtures.models.masking import ALL, compute_logits, make_tiny_model, zeroed_inputs
from slimgate.errors import BuildError, SuiteError
from slimgate.models.blocks import blocks
from slimgate.steps.importance import compute_mask_importance
from slimgate.steps.prune import keep_layers, prune_ffn, prune_heads
from slimgate.steps.quantize import int8_dynamic


def down(network: Any, block: int) -> Any:
    """The weight (outputs, neurons) of a feed-forward's output layer."""
    layer = network.get_submodule(blocks(network)[block].feed_forward.output)
    return layer.weight.t() if hasattr(layer, "nx") else layer.weight


@pytest.mark.parametrize("architecture", ALL)
def test_half_the_neurons_are_gone_outputs_are_as_masked(tmp_path: Path, architecture: str) -> None:
    model, context = make_tiny_model(tmp_path, architecture)
    original, _ = make_tiny_model(tmp_path, architecture)
    plain = compute_logits(original)
    width = blocks(original.network)[0].feed_forward.width
    sites = {block.feed_forward.output: width for block in blocks(original.network)}
    scores = compute_mask_importance(original, sites, context)
    prune_ffn.step.apply(model, prune_ffn.Params(pruning_ratio=0.5, scope="layer", multiple_of=1), context)
    gone = {name: np.argsort(values)[: width // 2].tolist() for name, values in scores.items()}
    with zeroed_inputs(original.network, gone):
        masked = compute_logits(original)
    assert (masked - plain).abs().max() > 1e-4
    torch.testing.assert_close(compute_logits(model), masked, atol=1e-5, rtol=1e-5)
    assert context.log["widths_before"] == [width] * 4
    assert [block.feed_forward.width for block in blocks(model.network)] == [width // 2] * 4
    assert torch.equal(compute_logits(save_and_load(model, tmp_path / "saved")), compute_logits(model))


@pytest.mark.parametrize("architecture", ["bert", "gpt2", "llama"])
def test_neurons_that_say_nothing_go_first_wherever_they_are(tmp_path: Path, architecture: str) -> None:
    model, context = make_tiny_model(tmp_path, architecture)
    width = blocks(model.network)[0].feed_forward.width
    with torch.no_grad():
        down(model.network, 0)[:, : width - 8] = 0
        down(model.network, 3)[:, 8:24] = 0
    before, ratio = compute_logits(model), (width - 8 + 16) / (4 * width)
    prune_ffn.step.apply(model, prune_ffn.Params(pruning_ratio=ratio), context)
    assert context.log["widths_after"] == [8, width, width, width - 16]
    torch.testing.assert_close(compute_logits(model), before, atol=1e-5, rtol=1e-5)
    again = save_and_load(model, tmp_path / "saved")
    assert torch.equal(compute_logits(again), compute_logits(model))


@pytest.mark.parametrize("architecture", ["bert", "llama"])
def test_by_magnitude_the_neurons_of_least_weights_go(tmp_path: Path, architecture: str) -> None:
    model, context = make_tiny_model(tmp_path, architecture)
    context.splits = {}  # it reads no rows
    part = blocks(model.network)[2].feed_forward
    with torch.no_grad():
        for name in part.inputs:
            layer: Any = model.network.get_submodule(name)
            layer.weight[5] = 0
        down(model.network, 2)[:, 5] = 0
    last = down(model.network, 2).clone()
    params = prune_ffn.Params(pruning_ratio=1 / (4 * part.width), importance="magnitude", multiple_of=1)
    prune_ffn.step.apply(model, params, context)
    assert context.log["widths_after"] == [part.width, part.width, part.width - 1, part.width]
    neurons = [neuron for neuron in range(part.width) if neuron != 5]
    assert torch.equal(down(model.network, 2), last[:, neurons])


@pytest.mark.parametrize("scope", ["global", "layer"])
def test_only_the_named_blocks_are_narrowed(tmp_path: Path, scope: Any) -> None:
    model, context = make_tiny_model(tmp_path, "bert")
    width = blocks(model.network)[0].feed_forward.width
    before = down(model.network, 3).clone()
    prune_ffn.step.apply(model, prune_ffn.Params(pruning_ratio=0.75, scope=scope, blocks=(0, 1)), context)
    after = [block.feed_forward.width for block in blocks(model.network)]
    assert context.log["widths_after"] == after
    assert after[2:] == [width, width]
    assert sum(after[:2]) == width // 2
    assert context.log["pruning_ratio"] == 0.75
    assert torch.equal(down(model.network, 3), before)
    assert torch.equal(compute_logits(save_and_load(model, tmp_path / "saved")), compute_logits(model))


def test_a_block_that_is_not_there_is_a_clear_error() -> None:
    params = prune_ffn.Params(pruning_ratio=0.5, blocks=(4,))
    assert prune_ffn.step.check(params, {"n_layer": 5}) == {"n_layer": 5}
    with pytest.raises(
        SuiteError, match=r"blocks \[4\] was given, but the model has blocks 0 to 3 at this step"
    ):
        prune_ffn.step.check(params, {"n_layer": 4})


def test_widths_are_multiples_and_the_reached_ratio_is_logged(tmp_path: Path) -> None:
    model, context = make_tiny_model(tmp_path, "bert")
    before = model.measure_size()["parameters"]
    prune_ffn.step.apply(model, prune_ffn.Params(pruning_ratio=0.4, multiple_of=8), context)
    widths = context.log["widths_after"]
    assert all(width % 8 == 0 for width in widths)
    assert context.log["pruning_ratio"] == round(1 - sum(widths) / 256, 4)
    assert context.log["pruning_ratio"] == pytest.approx(0.4, abs=4 * 4 / 256)
    # a neuron: a row of 32 with its bias, a column of 32
    assert before - model.measure_size()["parameters"] == (256 - sum(widths)) * 65


def test_it_combines_with_heads_dropped_blocks_and_int8(tmp_path: Path) -> None:
    model, context = make_tiny_model(tmp_path, "llama")
    prune_heads.step.apply(model, prune_heads.Params(pruning_ratio=0.5), context)
    prune_ffn.step.apply(model, prune_ffn.Params(pruning_ratio=0.5), context)
    widths = context.log["widths_after"]
    keep_layers.step.apply(model, keep_layers.Params((1, 2)), context)
    int8_dynamic.step.apply(model, int8_dynamic.Params(), context)
    again = save_and_load(model, tmp_path / "saved")
    assert [block.feed_forward.width for block in blocks(again.network)] == widths[1:3]
    assert torch.equal(compute_logits(again), compute_logits(model))


@pytest.mark.parametrize("importance", ["gradient", "magnitude"])
def test_a_model_with_int8_layers_is_a_clear_error(tmp_path: Path, importance: Any) -> None:
    model, context = make_tiny_model(tmp_path, "bert")
    int8_dynamic.step.apply(model, int8_dynamic.Params(), context)
    params = prune_ffn.Params(pruning_ratio=0.5, importance=importance)
    with pytest.raises(BuildError, match=r"is Int8Linear, and only nn\.Linear can be cut"):
        prune_ffn.step.apply(model, params, context)


def test_a_ratio_that_rounds_to_nothing_is_refused(tmp_path: Path) -> None:
    model, context = make_tiny_model(tmp_path, "bert")
    with pytest.raises(BuildError, match="multiple_of = 8 was given, which would keep all 256 units"):
        prune_ffn.step.apply(model, prune_ffn.Params(pruning_ratio=0.01), context)
    with pytest.raises(BuildError, match="heads = 4 was given, which would keep all 16 units"):
        prune_heads.step.apply(model, prune_heads.Params(heads=4), context)

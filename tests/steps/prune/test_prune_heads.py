"""The step prune_heads: the model answers as with masked heads, and the heads are really gone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from fixtures.models.building import save_and_load
from fixtures.models.masking import ALL, compute_logits, make_tiny_model, zeroed_inputs
from slimgate.errors import BuildError, SuiteError
from slimgate.models.blocks import blocks
from slimgate.steps.prune import keep_layers, magnitude_prune, prune_heads
from slimgate.steps.quantize import int8_dynamic
from slimgate.steps.training.callbacks import KeepZeros


def gone_features(model: Any, remaining: list[list[int]]) -> dict[str, list[int]]:
    """Of each output layer's inputs, those that belong to units that do not stay."""
    features = {}
    for block, units in zip(blocks(model.network), remaining, strict=True):
        attention = block.attention
        width = attention.head_dim * attention.heads // attention.kv_heads
        inner = range(attention.heads * attention.head_dim)
        features[attention.output] = [feature for feature in inner if feature // width not in units]
    return features


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("architecture", ALL)
def test_half_the_heads_are_gone_outputs_are_as_masked(
    tmp_path: Path, architecture: str, attention: str
) -> None:
    model, context = make_tiny_model(tmp_path, architecture)
    original, _ = make_tiny_model(tmp_path, architecture)
    plain = compute_logits(original, attention)
    prune_heads.step.apply(model, prune_heads.Params(pruning_ratio=0.5), context)
    with zeroed_inputs(original.network, gone_features(original, context.log["kept"])):
        masked = compute_logits(original, attention)
    assert (masked - plain).abs().max() > 1e-3
    torch.testing.assert_close(compute_logits(model, attention), masked, atol=1e-5, rtol=1e-5)
    assert sum(context.log["heads_after"]) == 8
    assert [block.attention.heads for block in blocks(model.network)] == context.log["heads_after"]
    again = save_and_load(model, tmp_path / "saved")
    assert torch.equal(compute_logits(again, attention), compute_logits(model, attention))


@pytest.mark.parametrize("architecture", ["bert", "distilbert", "gpt2", "electra"])
def test_blocks_keep_as_many_heads_as_they_are_worth(tmp_path: Path, architecture: str) -> None:
    model, context = make_tiny_model(tmp_path, architecture)
    for name, weight in ((0, 1.0), (1, 1.0), (2, 1e-3), (3, 1e-3)):  # a block whose heads are alike, …
        attention = blocks(model.network)[name].attention
        with torch.no_grad():  # … and one where a single head stands out
            layer: Any = model.network.get_submodule(attention.output)
            features = layer.weight if architecture == "gpt2" else layer.weight.t()
            features[8:].mul_(weight)
    prune_heads.step.apply(model, prune_heads.Params(pruning_ratio=0.375), context)
    assert context.log["heads_after"][2:] == [1, 1]
    assert context.log["heads_after"] == [4, 4, 1, 1]
    again = save_and_load(model, tmp_path / "saved")
    assert [block.attention.heads for block in blocks(again.network)] == [4, 4, 1, 1]
    assert torch.equal(compute_logits(again), compute_logits(model))


def test_the_head_that_matters_least_to_the_loss_goes_first(tmp_path: Path) -> None:
    model, context = make_tiny_model(tmp_path, "bert")
    output: Any = model.network.get_submodule(blocks(model.network)[2].attention.output)
    with torch.no_grad():
        output.weight[:, 8:16] = 0  # head 1 of block 2 says nothing
    before = compute_logits(model)
    prune_heads.step.apply(model, prune_heads.Params(pruning_ratio=1 / 16), context)
    assert context.log["kept"] == [[0, 1, 2, 3], [0, 1, 2, 3], [0, 2, 3], [0, 1, 2, 3]]
    torch.testing.assert_close(compute_logits(model), before, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("architecture", ["bert", "gpt2", "llama"])
def test_by_magnitude_the_head_of_least_weights_goes(tmp_path: Path, architecture: str) -> None:
    model, context = make_tiny_model(tmp_path, architecture)
    attention = blocks(model.network)[0].attention
    first = attention.head_dim * attention.heads // attention.kv_heads  # unit 0
    with torch.no_grad():
        value: Any = model.network.get_submodule(attention.value).weight
        output: Any = model.network.get_submodule(attention.output).weight
        if architecture == "gpt2":
            value[:, 64:72] = 0
            output[:8] = 0
        else:
            value[: attention.head_dim] = 0
            output[:, :first] = 0
    params = prune_heads.Params(pruning_ratio=1 / (4 * attention.kv_heads), importance="magnitude")
    prune_heads.step.apply(model, params, context)
    assert context.log["kept"][0] == list(range(1, attention.kv_heads))


def test_a_number_of_heads_stays_in_each_block_of_fewer_weights(tmp_path: Path) -> None:
    model, context = make_tiny_model(tmp_path, "bert")
    before = model.measure_size()["parameters"]
    prune_heads.step.apply(model, prune_heads.Params(heads=3), context)
    assert context.log["heads_after"] == [3, 3, 3, 3]
    # a head of 8: query, key, value with biases, columns of the output layer, in four blocks
    assert before - model.measure_size()["parameters"] == 4 * (3 * (32 * 8 + 8) + 32 * 8)
    attention: Any = model.network.get_submodule(blocks(model.network)[0].attention.module)
    assert (attention.num_attention_heads, attention.all_head_size) == (3, 24)


@pytest.mark.parametrize("options", [{"pruning_ratio": 0.5}, {"heads": 2}], ids=["ratio", "heads"])
@pytest.mark.parametrize("architecture", ["bert", "llama"])
def test_only_the_named_blocks_are_cut(tmp_path: Path, architecture: str, options: dict[str, Any]) -> None:
    model, context = make_tiny_model(tmp_path, architecture)
    had = blocks(model.network)[0].attention.heads
    query = model.network.get_submodule(blocks(model.network)[3].attention.query)
    before = query.weight.clone()
    prune_heads.step.apply(model, prune_heads.Params(**options, blocks=(0, 2), scope="layer"), context)
    assert context.log["heads_before"] == [had] * 4
    assert context.log["heads_after"] == [had // 2, had, had // 2, had]
    assert context.log["pruning_ratio"] == 0.5
    assert [block.attention.heads for block in blocks(model.network)] == context.log["heads_after"]
    untouched = model.network.get_submodule(blocks(model.network)[3].attention.query)
    assert torch.equal(untouched.weight, before)
    again = save_and_load(model, tmp_path / "saved")
    assert torch.equal(compute_logits(again), compute_logits(model))


def test_a_block_that_is_not_there_is_a_clear_error(tmp_path: Path) -> None:
    message = r"blocks \[0, 4\] was given, but the model has blocks 0 to 3 at this step"
    params = prune_heads.Params(pruning_ratio=0.5, blocks=(0, 4))
    with pytest.raises(SuiteError, match=message):
        prune_heads.step.check(params, {"num_hidden_layers": 4})
    model, context = make_tiny_model(tmp_path, "bert")
    with pytest.raises(SuiteError, match=message):
        prune_heads.step.apply(model, params, context)


def test_llamas_grouped_heads_go_by_groups(tmp_path: Path) -> None:
    model, context = make_tiny_model(tmp_path, "llama")
    prune_heads.step.apply(model, prune_heads.Params(heads=2), context)
    attention = blocks(model.network)[0].attention
    assert (attention.heads, attention.kv_heads) == (2, 1)
    with pytest.raises(BuildError, match="share keys and values by 2; give a multiple of 2 up to 2"):
        prune_heads.step.apply(model, prune_heads.Params(heads=1), context)


def test_it_combines_with_dropped_blocks_and_int8(tmp_path: Path) -> None:
    model, context = make_tiny_model(tmp_path, "gpt2")
    prune_heads.step.apply(model, prune_heads.Params(pruning_ratio=0.25), context)
    heads = context.log["heads_after"]
    keep_layers.step.apply(model, keep_layers.Params((3, 1)), context)
    assert [block.attention.heads for block in blocks(model.network)] == [heads[3], heads[1]]
    prune_heads.step.apply(model, prune_heads.Params(heads=1), context)
    int8_dynamic.step.apply(model, int8_dynamic.Params(), context)
    again = save_and_load(model, tmp_path / "saved")
    assert [block.attention.heads for block in blocks(again.network)] == [1, 1]
    assert torch.equal(compute_logits(again), compute_logits(model))


def test_weights_that_were_pruned_to_zero_stay_zero_in_training(tmp_path: Path) -> None:
    model, context = make_tiny_model(tmp_path, "bert")
    magnitude_prune.step.apply(model, magnitude_prune.Params(sparsity=0.5), context)
    prune_heads.step.apply(model, prune_heads.Params(pruning_ratio=0.5), context)
    weight: Any = model.network.get_submodule(blocks(model.network)[0].attention.value).weight
    zeros = weight == 0
    keep = KeepZeros(model)
    with torch.no_grad():
        weight.add_(1.0)
    keep.on_step_end()
    assert 0 < int(zeros.sum()) < zeros.numel()
    assert bool((weight[zeros] == 0).all())
    assert bool((weight[~zeros] != 0).all())


def test_a_ratio_that_would_empty_a_block_is_a_clear_error(tmp_path: Path) -> None:
    model, context = make_tiny_model(tmp_path, "bert")
    with pytest.raises(BuildError, match=r"every layer must keep one; give at most 0\.75"):
        prune_heads.step.apply(model, prune_heads.Params(pruning_ratio=0.9), context)


@pytest.mark.parametrize("importance", ["gradient", "magnitude"])
def test_a_model_with_int8_layers_is_a_clear_error(tmp_path: Path, importance: Any) -> None:
    model, context = make_tiny_model(tmp_path, "bert")
    int8_dynamic.step.apply(model, int8_dynamic.Params(), context)
    params = prune_heads.Params(pruning_ratio=0.5, importance=importance)
    with pytest.raises(BuildError, match=r"is Int8Linear, and only nn\.Linear can be cut"):
        prune_heads.step.apply(model, params, context)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "none of them given, expected exactly one of pruning_ratio, heads"),
        ({"pruning_ratio": 0.5, "heads": 2}, "pruning_ratio and heads given, expected exactly one"),
        ({"pruning_ratio": 1.0}, "less than 1"),
        ({"heads": 2, "blocks": [-1]}, "greater than or equal to 0"),
        ({"heads": 0}, "greater than or equal to 1"),
        ({"pruning_ratio": 0.5, "importance": "random"}, "'gradient' or 'magnitude'"),
    ],
    ids=["nothing", "both", "all", "block", "none", "unknown"],
)
def test_wrong_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        prune_heads.Params.model_validate(options)

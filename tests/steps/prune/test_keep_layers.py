"""The step keep_layers: the blocks that stay are the original's, and the model runs and loads again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from support.versions import has_version

from fixtures.models.architectures import ENCODER_DECODERS, SHAPES
from fixtures.models.building import (
    make_tiny_classifier,
    save_and_load,
    save_model,
)
from fixtures.models.encoder_decoders import compute_answers, make_tiny_pair_model
from fixtures.models.masking import INPUTS, make_tiny_model
from slimgate.errors import BuildError, SuiteError
from slimgate.models.blocks import find_block_lists, find_only_block_list
from slimgate.runtimes.eager import EagerPredictor
from slimgate.steps.prune import keep_layers


@pytest.mark.parametrize("numbers", [(0, 2), (3, 1), (2,)])
@pytest.mark.parametrize(
    "architecture", [*(name for name in SHAPES if name not in ENCODER_DECODERS), "bert-mean"]
)
def test_the_blocks_that_stay_are_the_originals_in_stated_order(
    tmp_path: Path, architecture: str, numbers: tuple[int, ...]
) -> None:
    if architecture == "modernbert" and len(numbers) == 1 and not has_version("transformers>=5.17"):
        pytest.skip("transformers below 5.17 reads no config.json of a ModernBERT with blocks of one kind")
    model, context = make_tiny_model(tmp_path, architecture)
    original = [
        {key: value.clone() for key, value in block.state_dict().items()}
        for block in find_only_block_list(model.network)
    ]
    keep_layers.step.apply(model, keep_layers.Params(numbers), context)
    again = save_and_load(model, tmp_path / "saved")
    for network in (model.network, again.network):
        blocks = find_only_block_list(network)
        assert len(blocks) == len(numbers)
        for number, block in zip(numbers, blocks, strict=True):
            state = block.state_dict()
            assert state.keys() == original[number].keys()
            assert all(torch.equal(state[key], value) for key, value in original[number].items())
        indices = [m.layer_idx for block in blocks for m in block.modules() if hasattr(m, "layer_idx")]
        assert sorted(set(indices)) in ([], list(range(len(numbers))))
    assert again.config.num_hidden_layers == len(numbers)
    assert context.log["blocks_before"] == 4
    assert context.log["blocks_after"] == len(numbers)
    with torch.inference_mode():
        assert torch.equal(again.network(**INPUTS).logits, model.network(**INPUTS).logits)


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_the_cache_of_a_decoder_fits_the_blocks_that_stay(tmp_path: Path, architecture: str) -> None:
    model, context = make_tiny_classifier(tmp_path, architecture)
    keep_layers.step.apply(model, keep_layers.Params((1, 3)), context)
    inner = model.network.transformer if architecture == "gpt2" else model.network.model
    ids = torch.tensor([[2, 5, 6, 9]])
    with torch.inference_mode():
        at_once = inner(input_ids=ids, use_cache=True)
        first = inner(input_ids=ids[:, :3], use_cache=True)
        rest = inner(input_ids=ids[:, 3:], past_key_values=first.past_key_values, use_cache=True)
    assert len(at_once.past_key_values.layers) == 2
    torch.testing.assert_close(
        rest.last_hidden_state[:, -1], at_once.last_hidden_state[:, -1], atol=1e-5, rtol=1e-4
    )


def test_all_blocks_in_order_change_nothing(tmp_path: Path) -> None:
    model, context = make_tiny_classifier(tmp_path)
    with torch.inference_mode():
        before = model.network(**INPUTS).logits
        keep_layers.step.apply(model, keep_layers.Params((0, 1, 2, 3)), context)
        assert torch.equal(model.network(**INPUTS).logits, before)


def test_fewer_blocks_are_fewer_parameters_and_bytes(tmp_path: Path) -> None:
    model, context = make_tiny_classifier(tmp_path)
    before = model.measure_size()
    keep_layers.step.apply(model, keep_layers.Params((0, 2)), context)
    after = model.measure_size()
    # a block: 4 matrices 32x32, 2 of 32x64, their biases, 2 layer norms
    block = 4 * (32 * 32 + 32) + (32 * 64 + 64) + (64 * 32 + 32) + 4 * 32
    assert before["parameters"] - after["parameters"] == 2 * block
    assert before["state_bytes"] - after["state_bytes"] > 8 * block


def test_settings_that_hold_a_value_a_block_are_shortened_too(tmp_path: Path) -> None:
    model, context = make_tiny_classifier(tmp_path, "llama")
    model.config.layer_marks = ["a", "b", "c", "d"]
    keep_layers.step.apply(model, keep_layers.Params((3, 1)), context)
    assert model.config.layer_marks == ["d", "b"]
    save_model(model, tmp_path / "saved")
    assert json.loads((tmp_path / "saved" / "config.json").read_text("utf-8"))["num_hidden_layers"] == 2


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ([], "expected the numbers of the blocks"),
        ([1, 1], "expected each block once"),
        ([-1], "greater than"),
        ([0.0], "valid integer"),
    ],
    ids=["none", "twice", "negative", "float"],
)
def test_wrong_numbers_are_refused(numbers: list[Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        keep_layers.Params.model_validate(numbers)


@pytest.mark.parametrize("key", ["num_hidden_layers", "n_layers", "n_layer"])
def test_a_block_the_model_lacks_is_an_error_before_it_is_loaded(key: str) -> None:
    assert keep_layers.step.check(keep_layers.Params((0, 3)), {key: 4})["num_hidden_layers"] == 2
    with pytest.raises(SuiteError, match=r"\[0, 4\] was given, but the model has blocks 0 to 3 at this step"):
        keep_layers.step.check(keep_layers.Params((0, 4)), {key: 4})


def test_a_second_step_counts_the_blocks_of_the_first() -> None:
    config = keep_layers.step.check(keep_layers.Params((0, 3)), {"n_layer": 4})
    with pytest.raises(SuiteError, match="blocks 0 to 1"):
        keep_layers.step.check(keep_layers.Params((2,)), config)


# --- encoder-decoders


def kept_in_both(model: Any, context: Any, **lists: Any) -> Any:
    params = keep_layers.Params(lists)
    return keep_layers.step.resolve(params).apply(model, params, context)


@pytest.mark.parametrize("architecture", ENCODER_DECODERS)
@pytest.mark.parametrize(
    ("lists", "sizes"),
    [
        ({"encoder": (0, 2), "decoder": (2,)}, (2, 1)),
        ({"decoder": (1, 0)}, (3, 2)),
        ({"encoder": (2,)}, (1, 3)),
    ],
)
def test_an_encoder_decoder_keeps_blocks_of_both_lists(
    tmp_path: Path, architecture: str, lists: dict[str, Any], sizes: tuple[int, int]
) -> None:
    three = {"encoder_layers": 3, "decoder_layers": 3, "num_layers": 3, "num_decoder_layers": 3}
    names = {"t5": ("num_layers", "num_decoder_layers")}.get(
        architecture, ("encoder_layers", "decoder_layers")
    )
    model, context = make_tiny_pair_model(tmp_path, architecture, **{name: three[name] for name in names})
    original = [list(blocks) for blocks in find_block_lists(model.network).values()]
    tables = [_position_table(blocks[0]) for blocks in original]
    kept_in_both(model, context, **lists)
    for blocks, before, option in zip(
        find_block_lists(model.network).values(), original, ("encoder", "decoder"), strict=True
    ):
        numbers = lists.get(option, range(3))
        assert [id(block) for block in blocks] == [id(before[number]) for number in numbers]
    assert [_position_table(blocks[0]) for blocks in find_block_lists(model.network).values()] == tables
    assert tuple(getattr(model.config, name) for name in names) == sizes
    assert (context.log["blocks_before"], context.log["blocks_after"]) == ([3, 3], list(sizes))
    assert ("warning" in context.log) == (architecture == "t5" and sizes[0] < sizes[1])
    again, rows = save_and_load(model, tmp_path / "saved"), context.rows("calibration")
    ours, theirs = (
        [answer.ids for answer in compute_answers(EagerPredictor(m.network, "cpu"), m.tokenizer, rows)]
        for m in (model, again)
    )
    assert ours == theirs
    assert len(set(ours)) > 1


def _position_table(block: Any) -> int | None:
    """The weight that T5's first blocks hold for all of their list; None in other families."""
    attention = getattr(block.layer[0], "SelfAttention", None) if hasattr(block, "layer") else None
    table = getattr(attention, "relative_attention_bias", None)
    return None if table is None else id(table.weight)


def test_a_table_of_positions_stays_with_the_first_block_only(tmp_path: Path) -> None:
    model, context = make_tiny_pair_model(tmp_path, "t5", num_layers=3)
    kept_in_both(model, context, encoder=(1, 0))
    names = [name for name, _ in model.network.named_parameters() if "relative_attention_bias" in name]
    assert names == [
        f"{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
        for stack in ("encoder", "decoder")
    ]


def test_the_configuration_of_an_encoder_decoder_follows() -> None:
    params = keep_layers.Params({"encoder": [0], "decoder": [0, 3]})
    step = keep_layers.step.resolve(params)
    bart = {"model_type": "bart", "encoder_layers": 6, "decoder_layers": 6, "num_hidden_layers": 6}
    assert step.check(params, bart) == {
        **bart,
        "encoder_layers": 1,
        "decoder_layers": 2,
        "num_hidden_layers": 1,
    }
    assert step.check(params, {"model_type": "t5", "num_layers": 4}) == {
        "model_type": "t5",
        "num_layers": 1,
        "num_decoder_layers": 2,
    }
    with pytest.raises(
        SuiteError, match=r"decoder \[0, 3\] was given, but the model has blocks 0 to 1 at this step"
    ):
        step.check(params, {**bart, "decoder_layers": 2})
    assert step.changes == ()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({}, "expected encoder, decoder or both"),
        ({"encoder": [1, 1]}, "expected each block once"),
        ({"encoder": []}, r"\[\] was given, expected the numbers of the blocks to keep"),
        ({"encodr": [1]}, r"unknown key encodr. Did you mean encoder\?"),
    ],
)
def test_lists_that_cannot_be_are_refused(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        keep_layers.Params(options)


def test_two_lists_for_a_model_of_one_are_refused(tmp_path: Path) -> None:
    model, context = make_tiny_classifier(tmp_path)
    with pytest.raises(BuildError, match="has one list of blocks; write keep_layers"):
        kept_in_both(model, context, encoder=(0,))

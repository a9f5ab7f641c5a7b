"""The step drop_layers: which blocks go by each strategy, and that what is left loads again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from fixtures.models.building import save_and_load
from fixtures.models.masking import ALL, compute_logits, make_tiny_model
from slimgate.errors import SuiteError
from slimgate.models.blocks import blocks, find_only_block_list
from slimgate.steps.prune import drop_layers
from slimgate.steps.prune.drop_layers import compute_block_influence, compute_loss_without

pytestmark = pytest.mark.slow

STRATEGIES = ("alternate", "top", "influence", "loss")


@pytest.mark.parametrize("architecture", ALL)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_blocks_that_stay_are_the_originals_in_order(
    tmp_path: Path, architecture: str, strategy: Any
) -> None:
    model, context = make_tiny_model(tmp_path, architecture)
    original = list(find_only_block_list(model.network))
    drop_layers.step.apply(model, drop_layers.Params(pruning_ratio=0.5, strategy=strategy), context)
    numbers = context.log["kept"]
    assert numbers == sorted(numbers)
    assert [id(block) for block in find_only_block_list(model.network)] == [id(original[i]) for i in numbers]
    assert (context.log["blocks_before"], context.log["blocks_after"]) == (4, 2)
    again = save_and_load(model, tmp_path / "saved")
    assert again.config.num_hidden_layers == 2
    assert torch.equal(compute_logits(again), compute_logits(model))


@pytest.mark.parametrize(
    ("strategy", "layers", "numbers"),
    [
        ("alternate", 1, [0, 2, 3]),  # 0, 1.5, 3: halves go to the even number
        ("alternate", 2, [0, 3]),
        ("alternate", 3, [0]),
        ("top", 1, [0, 1, 2]),
        ("top", 3, [0]),
    ],
)
def test_alternate_and_top_go_by_place_alone_and_read_no_rows(
    tmp_path: Path, strategy: Any, layers: int, numbers: list[int]
) -> None:
    model, context = make_tiny_model(tmp_path, "bert")
    context.splits = {}
    drop_layers.step.apply(model, drop_layers.Params(layers=layers, strategy=strategy), context)
    assert context.log["kept"] == numbers


def test_a_block_that_passes_tokens_on_has_no_influence(tmp_path: Path) -> None:
    model, context = make_tiny_model(tmp_path, "llama")
    block = blocks(model.network)[1]
    with torch.no_grad():
        for name in (block.attention.output, block.feed_forward.output):
            model.network.get_submodule(name).weight.zero_()
    before = compute_logits(model)
    drop_layers.step.apply(model, drop_layers.Params(layers=1, strategy="influence"), context)
    assert context.log["kept"] == [0, 2, 3]
    torch.testing.assert_close(compute_logits(model), before, atol=1e-6, rtol=1e-6)


def test_by_loss_the_blocks_that_cost_least_go_and_are_logged(tmp_path: Path) -> None:
    model, context = make_tiny_model(tmp_path, "bert")
    alone = [compute_loss_without(model, context, [block]) for block in range(4)]
    drop_layers.step.apply(model, drop_layers.Params(layers=1, strategy="loss"), context)
    gone = alone.index(min(alone))
    assert context.log["kept"] == [block for block in range(4) if block != gone]
    assert context.log["loss_after_each"] == [{"block": gone, "loss": round(min(alone), 4)}]


def test_by_influence_the_least_of_them_go(tmp_path: Path) -> None:
    model, context = make_tiny_model(tmp_path, "bert")
    influence = compute_block_influence(model, context)
    drop_layers.step.apply(model, drop_layers.Params(layers=2, strategy="influence"), context)
    assert context.log["influence"] == [round(value, 4) for value in influence]
    gone = sorted(range(4), key=lambda block: influence[block])[:2]
    assert context.log["kept"] == [block for block in range(4) if block not in gone]


@pytest.mark.parametrize(
    ("options", "blocks_left"),
    [({"layers": 1}, 5), ({"pruning_ratio": 0.5}, 3), ({"pruning_ratio": 0.4}, 4)],
    ids=["count", "half", "rounded"],
)
@pytest.mark.parametrize("key", ["num_hidden_layers", "n_layers", "n_layer"])
def test_the_new_configuration_is_known_before_the_model_loads(
    options: dict[str, Any], blocks_left: int, key: str
) -> None:
    config = drop_layers.step.check(drop_layers.Params.model_validate(options), {key: 6})
    assert config["num_hidden_layers"] == blocks_left


@pytest.mark.parametrize(("options", "count"), [({"layers": 6}, 6), ({"pruning_ratio": 0.05}, 0)])
def test_no_block_or_all_is_an_error_before_the_model_loads(options: dict[str, Any], count: int) -> None:
    with pytest.raises(SuiteError, match=f"{count} of 6 blocks would be removed, expected 1 to 5"):
        drop_layers.step.check(drop_layers.Params.model_validate(options), {"num_hidden_layers": 6})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "none of them given, expected exactly one of layers, pruning_ratio"),
        ({"layers": 2, "pruning_ratio": 0.5}, "layers and pruning_ratio given, expected exactly one"),
        ({"layers": 2, "strategy": "bottom"}, "'alternate', 'top', 'influence' or 'loss'"),
    ],
    ids=["nothing", "both", "unknown"],
)
def test_wrong_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        drop_layers.Params.model_validate(options)

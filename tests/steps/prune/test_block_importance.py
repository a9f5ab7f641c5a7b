"""Which blocks do least: against values computed from the hidden states, and by hand-made idle blocks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from fixtures.models.masking import make_tiny_model
from slimgate.models.block_choice import keep_blocks_
from slimgate.models.blocks import blocks
from slimgate.steps.importance import list_labelled_batches
from slimgate.steps.prune.drop_layers import (
    compute_block_influence,
    compute_loss_without,
    find_least_loss_order,
)


def idle_(network: Any, number: int) -> None:
    """Makes a block of a pre-norm transformer give what it gets."""
    block = blocks(network)[number]
    for name in (block.attention.output, block.feed_forward.output):
        for parameter in network.get_submodule(name).parameters():
            nn.init.zeros_(parameter)


@pytest.mark.parametrize("architecture", ["bert", "distilbert", "bert-mean"])
def test_influence_is_one_minus_the_mean_cosine_of_real_tokens(tmp_path: Path, architecture: str) -> None:
    model, context = make_tiny_model(tmp_path, architecture)
    cosines: list[list[float]] = [[], [], [], []]
    for batch, _ in list_labelled_batches(model, context, batch_size=1):  # a row alone has no padding
        with torch.inference_mode():
            states = model.network(**batch, output_hidden_states=True).hidden_states
        for number in range(4):
            before, after = states[number][0].double().numpy(), states[number + 1][0].double().numpy()
            norms = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
            cosines[number] += ((before * after).sum(1) / norms).tolist()
    expected = [1 - float(np.mean(values)) for values in cosines]
    assert compute_block_influence(model, context) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_an_idle_block_has_no_influence_and_costs_nothing(tmp_path: Path, architecture: str) -> None:
    model, context = make_tiny_model(tmp_path, architecture)
    idle_(model.network, 2)
    influence = compute_block_influence(model, context)
    assert influence[2] == pytest.approx(0, abs=1e-6)
    assert min(influence[:2] + influence[3:]) > 1e-3
    assert compute_loss_without(model, context, [2]) == pytest.approx(
        compute_loss_without(model, context, []), abs=1e-6
    )


@pytest.mark.parametrize("architecture", ["bert", "gpt2", "llama", "bert-mean"])
def test_the_loss_without_a_block_is_that_of_the_shorter_model(tmp_path: Path, architecture: str) -> None:
    model, context = make_tiny_model(tmp_path, architecture)
    loss = compute_loss_without(model, context, [1, 3])
    keep_blocks_(model, [0, 2])
    assert compute_loss_without(model, context, []) == pytest.approx(loss, abs=1e-6)


def test_blocks_go_one_by_one_each_time_the_one_that_costs_least(tmp_path: Path) -> None:
    model, context = make_tiny_model(tmp_path, "bert")
    gone, losses = find_least_loss_order(model, context, 2)
    alone = [compute_loss_without(model, context, [block]) for block in range(4)]
    assert gone[0] == int(np.argmin(alone))
    pairs = {
        block: compute_loss_without(model, context, [gone[0], block])
        for block in range(4)
        if block != gone[0]
    }
    assert gone[1] == min(pairs, key=lambda block: pairs[block])
    assert losses == [min(alone), min(pairs.values())]

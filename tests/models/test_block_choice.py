"""Blocks that are left, and what earlier steps noted of blocks that move or go."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import (
    GPTNeoConfig,
    GPTNeoForCausalLM,
    LongformerConfig,
    LongformerForSequenceClassification,
    SmolLM3Config,
    SmolLM3ForCausalLM,
)

from fixtures.models.architectures import make_tokenizer
from fixtures.models.building import save_and_load
from fixtures.models.masking import compute_logits, make_tiny_model
from slimgate.models.block_choice import keep_blocks_, spread_block_numbers
from slimgate.models.blocks import blocks
from slimgate.models.torch_model import TorchModel
from slimgate.steps.prune import magnitude_prune
from slimgate.steps.quantize import int8_dynamic


def check_saved(model: TorchModel, tmp_path: Path) -> TorchModel:
    """Asserts that the saved model gives the same answers. Returns the model that was loaded."""
    again = save_and_load(model, tmp_path / "saved")
    assert torch.equal(compute_logits(again), compute_logits(model))
    return again


@pytest.mark.parametrize(
    ("total", "count", "expected"),
    [
        (12, 6, [0, 2, 4, 7, 9, 11]),  # DistilBERT's start, Sanh et al. 2019
        (6, 3, [0, 2, 5]),
        (4, 2, [0, 3]),
        (4, 1, [0]),
        (4, 4, [0, 1, 2, 3]),
        (12, 11, [0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11]),
    ],
)
def test_blocks_are_spread_evenly_from_the_first_to_the_last(
    total: int, count: int, expected: list[int]
) -> None:
    assert spread_block_numbers(total, count) == expected


def test_evenly_spread_blocks_are_distinct_for_every_count() -> None:
    for total in range(1, 25):
        for count in range(1, total + 1):
            assert len(set(spread_block_numbers(total, count))) == count


@pytest.mark.parametrize("architecture", ["bert", "gpt2"])
def test_notes_follow_their_blocks_and_go_with_dropped_ones(tmp_path: Path, architecture: str) -> None:
    model, context = make_tiny_model(tmp_path, architecture)
    magnitude_prune.step.apply(model, magnitude_prune.Params(sparsity=0.5), context)
    int8_dynamic.step.apply(model, int8_dynamic.Params(), context)
    root = "bert.encoder.layer" if architecture == "bert" else "transformer.h"
    keep_blocks_(model, [3, 0])
    pruned = next(change["spec"]["pruned"] for change in model.modifications if "pruned" in change["spec"])
    int8 = model.modifications[-1]["spec"]["modules"]
    for names in (pruned, int8):
        numbers = {name.removeprefix(f"{root}.").split(".")[0] for name in names if name.startswith(root)}
        assert numbers == {"0", "1"}
    assert len(pruned) == 2 * (6 if architecture == "bert" else 4)
    assert ("bert.pooler.dense" in int8) == (architecture == "bert")
    check_saved(model, tmp_path)


def test_attention_scaled_by_a_blocks_number_keeps_its_scale(tmp_path: Path) -> None:
    model, _ = make_tiny_model(tmp_path, "gpt2", scale_attn_by_inverse_layer_idx=True)
    keep_blocks_(model, [1, 3])
    again = check_saved(model, tmp_path)
    for side in (model, again):
        scales = [
            side.network.get_submodule(block.attention.module).scaling for block in blocks(side.network)
        ]
        assert scales == [8**-0.5 / 2, 8**-0.5 / 4]


def test_blocks_without_rotary_positions_keep_that(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = SmolLM3Config(
        vocab_size=30,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        no_rope_layers=[1, 1, 1, 0],
        initializer_range=0.3,
        pad_token_id=0,
    )
    network = SmolLM3ForCausalLM(config).eval()
    model = TorchModel(network, make_tokenizer(tmp_path, "llama"), "transformers:AutoModelForCausalLM")
    keep_blocks_(model, [0, 3])
    assert model.config.no_rope_layers == [1, 0]
    check_saved(model, tmp_path)


def test_each_block_keeps_its_attention_window(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = LongformerConfig(
        vocab_size=30,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=4,
        num_attention_heads=4,
        attention_window=[2, 4, 8, 16],
        max_position_embeddings=66,
        initializer_range=0.3,
        pad_token_id=0,
    )
    network = LongformerForSequenceClassification(config).eval()
    tokenizer = make_tokenizer(tmp_path, "bert")
    model = TorchModel(network, tokenizer, "transformers:AutoModelForSequenceClassification")
    keep_blocks_(model, [1, 3])
    assert model.config.attention_window == [4, 16]
    check_saved(model, tmp_path)


def test_each_block_keeps_its_kind_of_attention(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = GPTNeoConfig(
        vocab_size=30,
        hidden_size=32,
        num_layers=4,
        num_heads=4,
        attention_types=[[["global", "local"], 2]],
        window_size=2,
        max_position_embeddings=64,
        initializer_range=0.3,
        bos_token_id=0,
        eos_token_id=0,
    )
    network = GPTNeoForCausalLM(config).eval()
    model = TorchModel(network, make_tokenizer(tmp_path, "gpt2"), "transformers:AutoModelForCausalLM")
    keep_blocks_(model, [1, 2, 3])
    assert model.config.attention_layers == ["local", "global", "local"]
    again = check_saved(model, tmp_path)
    assert again.config.attention_layers == ["local", "global", "local"]

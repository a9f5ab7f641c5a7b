"""slimgate.steps.convert._first_token: the last block computes one vector a row, and the logits stay as
they were.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    EsmConfig,
    EsmForSequenceClassification,
    MobileBertConfig,
    MobileBertForSequenceClassification,
)

from fixtures.models.architectures import write_tiny
from fixtures.models.building import load_tiny, make_tiny_classifier
from fixtures.models.task_rows import make_task_context
from slimgate.models.blocks import find_only_block_list
from slimgate.steps.convert import to_openvino
from slimgate.steps.convert._first_token import first_token_alone, is_first_token_enough
from slimgate.steps.prune import prune_heads

pytestmark = pytest.mark.slow

LABELS = ("neg", "pos")


def tiny(root: Path, architecture: str, **config: Any) -> tuple[Any, Any]:
    """A model whose weights are large enough for its answers to differ, and its context."""
    return make_tiny_classifier(root, architecture, shape=config, calibration=12)


def batch_of(model: Any, context: Any) -> Any:
    encoded = context.task.encode_rows(context.task_params, context.rows("selection"), model.tokenizer)
    return encoded.batch(list(range(8)))


def logits(network: Any, batch: Any) -> torch.Tensor:
    with torch.inference_mode():
        scores: torch.Tensor = network(**{name: torch.from_numpy(v) for name, v in batch.items()}).logits
    return scores


def tokens_of_the_last_block(network: Any, batch: Any) -> int:
    seen = []
    block = list(find_only_block_list(network))[-1]
    handle = block.register_forward_hook(lambda _m, _given, out: seen.append(out.shape[1]))
    logits(network, batch)
    handle.remove()
    return int(seen[0])


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("architecture", ["bert", "roberta", "electra"])
def test_the_last_block_gives_a_vector_a_row_and_logits_stay(
    tmp_path: Path, architecture: str, attention: str
) -> None:
    model, context = tiny(tmp_path, architecture)
    batch = batch_of(model, context)
    model.network.config._attn_implementation = attention
    before, tokens = logits(model.network, batch), batch["input_ids"].shape[1]
    assert tokens_of_the_last_block(model.network, batch) == tokens > 1
    with first_token_alone(model.network, batch) as narrowed:
        assert narrowed
        assert tokens_of_the_last_block(model.network, batch) == 1
        torch.testing.assert_close(logits(model.network, batch), before, rtol=1e-5, atol=1e-6)
    assert tokens_of_the_last_block(model.network, batch) == tokens
    assert torch.equal(logits(model.network, batch), before)


def test_fewer_heads_are_no_hindrance(tmp_path: Path) -> None:
    model, context = tiny(tmp_path, "bert")
    prune_heads.step.apply(model, prune_heads.Params(heads=2, importance="magnitude"), context)
    batch = batch_of(model, context)
    before = logits(model.network, batch)
    with first_token_alone(model.network, batch) as narrowed:
        assert narrowed
        torch.testing.assert_close(logits(model.network, batch), before, rtol=1e-5, atol=1e-6)


def test_a_head_that_reads_all_tokens_keeps_them(tmp_path: Path) -> None:
    context = make_task_context(tmp_path / "rows", "token_classification")
    model = load_tiny(write_tiny(tmp_path / "hub", "bert"), context)
    batch = batch_of(model, context)
    assert not is_first_token_enough(model.network, batch)
    with first_token_alone(model.network, batch) as narrowed:
        assert not narrowed
        assert tokens_of_the_last_block(model.network, batch) == batch["input_ids"].shape[1]


@pytest.mark.parametrize("architecture", ["distilbert", "gpt2"])
def test_blocks_that_are_not_built_as_berts_are_left_as_they_are(tmp_path: Path, architecture: str) -> None:
    model, context = tiny(tmp_path, architecture)
    with first_token_alone(model.network, batch_of(model, context)) as narrowed:
        assert not narrowed


@pytest.mark.parametrize(
    ("config", "network"),
    [
        (
            EsmConfig(
                position_embedding_type="rotary", pad_token_id=1, mask_token_id=2, initializer_range=0.2
            ),
            EsmForSequenceClassification,
        ),
        (MobileBertConfig(embedding_size=32, intra_bottleneck_size=32), MobileBertForSequenceClassification),
    ],
)
def test_attention_that_only_has_berts_names_stays_whole(config: Any, network: Any) -> None:
    config.update(
        {"vocab_size": 40, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
        | {"intermediate_size": 64, "max_position_embeddings": 32}
    )
    torch.manual_seed(0)
    model = network(config).eval()
    batch = {"input_ids": np.arange(3, 30).reshape(3, 9), "attention_mask": np.ones((3, 9), np.int64)}
    before = logits(model, batch)
    with first_token_alone(model, batch) as narrowed:
        assert not narrowed
        assert torch.equal(logits(model, batch), before)


@pytest.mark.parametrize("first_token", [True, False])
def test_the_openvino_graph_computes_less_and_the_same(tmp_path: Path, first_token: bool) -> None:
    model, context = tiny(tmp_path, "bert", num_hidden_layers=2)
    exported = to_openvino.step.apply(model, to_openvino.Params(first_token=first_token), context)
    assert context.log["first_token_alone"] is first_token
    assert context.log["max_difference_relative"] < 1e-3
    exported.graph.reshape({name: [3, 9] for name in ("input_ids", "attention_mask", "token_type_ids")})
    softmax = [
        node.output(0).shape for node in exported.graph.get_ordered_ops() if "Softmax" in node.type_info.name
    ]
    assert [shape[2] for shape in softmax] == [9, 1 if first_token else 9]

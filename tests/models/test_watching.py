"""slimgate.models.module_outputs: the shapes of a row on its way through networks of several families."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support.tiny_suite import make_tiny_run
from torch import nn
from transformers import BertConfig, BertForSequenceClassification, GPT2Config, GPT2LMHeadModel

from slimgate.models.module_outputs import follow_row
from slimgate.plugin.gates.behaviour import make_shape_facts

IDS = torch.tensor([[1, 2, 3, 4, 5]])


def tiny_bert() -> nn.Module:
    config = BertConfig(
        vocab_size=11,
        hidden_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=12,
        num_labels=3,
    )
    return BertForSequenceClassification(config).eval()


def tiny_gpt2() -> nn.Module:
    config = GPT2Config(vocab_size=11, n_embd=8, n_layer=3, n_head=2, n_positions=16)
    return GPT2LMHeadModel(config).eval()


def test_an_encoder_gives_vectors_a_token_and_a_score_a_class() -> None:
    facts = follow_row(tiny_bert(), {"input_ids": IDS, "attention_mask": torch.ones_like(IDS)})
    flow = {"shape": [1, 5, 8], "dtype": "float32", "weights": "float32"}
    assert facts["inputs"] == {"input_ids": [1, 5], "attention_mask": [1, 5]}
    assert facts["embeddings"] == flow
    assert facts["blocks"] == [flow, flow]
    assert facts["logits"] == {"shape": [1, 3], "dtype": "float32"}
    assert facts["next_tokens"] == []
    assert facts["note"] is None


def test_a_language_model_says_what_comes_next() -> None:
    network = tiny_gpt2()
    facts = follow_row(network, {"input_ids": IDS})
    assert facts["logits"]["shape"] == [1, 5, 11]
    assert len(facts["blocks"]) == 3
    with torch.no_grad():
        shares = torch.softmax(network(input_ids=IDS).logits[0, -1], dim=-1)
    assert [token for token, _ in facts["next_tokens"]] == shares.topk(3).indices.tolist()
    assert [share for _, share in facts["next_tokens"]] == pytest.approx(shares.topk(3).values.tolist())


class Strange(nn.Module):
    """A network whose parts nobody knows."""

    def __init__(self) -> None:
        super().__init__()
        self.config = BertConfig()
        self.layer = nn.Linear(5, 2)

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        return self.layer(input_ids.float())


def test_parts_that_are_not_known_are_reported_and_fail_nothing() -> None:
    facts = follow_row(Strange(), {"input_ids": IDS})
    assert (facts["embeddings"], facts["blocks"], facts["logits"]) == (None, [], None)
    assert "its blocks are not known" in facts["note"]
    assert "its token embeddings are not known" in facts["note"]
    assert "its output has no logits" in facts["note"]


INT8 = "[variants]\nint8 = { steps = [{ int8_dynamic = { embeddings = true } }] }\n"


def test_the_same_row_is_followed_through_the_teacher_and_int8(tmp_path: Path) -> None:
    run = make_tiny_run(tmp_path, **{"[variants]\n": INT8})
    teacher = run.make_handle("teacher")
    before, after = (make_shape_facts(run.make_handle(name), teacher) for name in ("teacher", "int8"))
    assert before is not None
    assert after is not None
    assert before.id == after.id
    assert before.inputs == after.inputs
    assert [block.shape for block in before.blocks] == [block.shape for block in after.blocks]
    assert {block.weights for block in before.blocks} == {"float32"}
    assert {block.weights for block in after.blocks} == {"int8"}
    assert before.embeddings is not None
    assert after.embeddings is not None
    assert (before.embeddings.weights, after.embeddings.weights) == ("float32", "int8")


def test_a_row_is_followed_once_and_then_taken_from_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_tiny_run(tmp_path)
    first = make_shape_facts(run.make_handle("teacher"), run.make_handle("teacher"))
    monkeypatch.setattr("slimgate.models.module_outputs.follow_row", None)
    assert (
        make_shape_facts(make_tiny_run(tmp_path).make_handle("teacher"), run.make_handle("teacher")) == first
    )


def test_a_network_that_cannot_be_followed_leaves_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_arguments: object) -> None:
        raise RuntimeError("no such\nthing")

    monkeypatch.setattr("slimgate.models.module_outputs.follow_row", broken)
    run = make_tiny_run(tmp_path)
    facts = make_shape_facts(run.make_handle("teacher"), run.make_handle("teacher"))
    assert facts is not None
    assert facts.note == "not known: no such thing"

"""The tokens that end an answer, and the text of an answer with the special tokens of a tool call."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from fixtures.models.architectures import write_tiny
from fixtures.models.building import NEXT_TOKEN, load_tiny, make_tiny_context, save_and_load
from slimgate.models.special_tokens import decode_answer, keep_end_tokens_, list_end_tokens, list_ends
from slimgate.steps.factorize._trim_vocabulary import _renumber
from slimgate.tasks import causal_lm


def loaded(tmp_path: Path, ends: Any) -> Any:
    """A decoder whose generation_config.json names these end tokens."""
    hub = write_tiny(tmp_path / "hub", "llama", causal=True)
    (hub / "generation_config.json").write_text(json.dumps({"eos_token_id": ends}), "utf-8")
    context = make_tiny_context(tmp_path / "rows", task=causal_lm.task, params=NEXT_TOKEN)
    return load_tiny(hub, context)


def test_an_artifact_keeps_the_end_tokens_of_its_folder(tmp_path: Path) -> None:
    model = loaded(tmp_path, [3, 7])
    ends = list_end_tokens(model.tokenizer, model.network)
    assert {3, 7} <= ends
    assert {3, 7} <= set(model.config.eos_token_id)
    again = save_and_load(model, tmp_path / "saved")
    assert list_end_tokens(again.tokenizer, again.network) == ends


def test_end_tokens_that_a_step_sets_are_saved(tmp_path: Path) -> None:
    model = loaded(tmp_path, 3)
    model.network.generation_config.eos_token_id = [3, 9]
    again = save_and_load(model, tmp_path / "saved")
    assert {3, 9} <= list_end_tokens(again.tokenizer, again.network)


@pytest.mark.parametrize(
    ("config", "generation", "expected"),
    [(2, 2, 2), (2, [2, 7], [2, 7]), (None, 7, [7]), ([2, 7], [7], [2, 7]), (2, None, 2)],
    ids=["same", "more", "no own", "fewer", "none"],
)
def test_only_new_end_tokens_change_a_configuration(config: Any, generation: Any, expected: Any) -> None:
    network: Any = SimpleNamespace(
        config=SimpleNamespace(eos_token_id=config),
        generation_config=SimpleNamespace(eos_token_id=generation),
    )
    keep_end_tokens_(network)
    assert network.config.eos_token_id == expected


def test_a_configuration_may_have_no_end_token() -> None:
    network: Any = SimpleNamespace(
        config=SimpleNamespace(), generation_config=SimpleNamespace(eos_token_id=None)
    )
    keep_end_tokens_(network)
    assert vars(network.config) == {}


def test_one_or_several_end_tokens_are_a_list() -> None:
    assert [list_ends(ends) for ends in (None, 0, [3, 7], (3,))] == [[], [0], [3, 7], [3]]


def test_end_tokens_that_are_trimmed_are_left_out() -> None:
    config: Any = SimpleNamespace(eos_token_id=[3, 7], pad_token_id=9, bos_token_id=[9])
    config.to_dict = lambda: {key: value for key, value in vars(config).items() if key != "to_dict"}
    _renumber(config, {3: 1})
    assert (config.eos_token_id, config.pad_token_id, config.bos_token_id) == ([1], None, None)


CALL = '[TOOL_CALLS]weather[ARGS]{"city": "Paris"}'


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    """A tokenizer of bytes, with the special tokens of Mistral and of gpt-oss."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(
        models.BPE(vocab={letter: number for number, letter in enumerate(alphabet)}, merges=[])
    )
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    marks = ["</s>", "[TOOL_CALLS]", "[ARGS]", "<|start|>", "<|channel|>", "<|message|>", "<|end|>"]
    backend.add_special_tokens([AddedToken(mark, special=True) for mark in marks])
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>")


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (CALL, CALL),
        (f"I look.{CALL}{CALL}</s>", f"I look.{CALL}{CALL}"),
        ("It is warm.</s>", "It is warm."),
        ("[TOOL_CALLS]weather", "[TOOL_CALLS]weather"),  # a call that cannot be read
        ("<|channel|>final<|message|>It is warm.", "finalIt is warm."),
        (
            '<|channel|>commentary to=functions.f<|message|>{"x": 1}',
            '<|channel|>commentary to=functions.f<|message|>{"x": 1}',
        ),
        ("", ""),
    ],
)
def test_the_tokens_of_a_call_stay(tokenizer: PreTrainedTokenizerBase, answer: str, text: str) -> None:
    assert decode_answer(tokenizer, tokenizer(answer)["input_ids"]) == text

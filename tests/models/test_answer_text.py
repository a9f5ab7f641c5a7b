"""An answer's text: special tokens are left out, except those of a tool call."""

from __future__ import annotations

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from slimgate.models.special_tokens import decode_answer

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

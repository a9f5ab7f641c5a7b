"""The token at the start of a text, the tokens that end an answer, and the special tokens in its text.

The tokenizer, config.json and generation_config.json may name several end tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from slimgate.judge.tool_calls import CALL_TOKENS, read_calls

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def list_end_tokens(tokenizer: PreTrainedTokenizerBase, network: nn.Module | None = None) -> set[int]:
    """The tokens that end an answer: a tokenizer and two configurations may name one or several each."""
    configs = (getattr(network, "config", None), getattr(network, "generation_config", None))
    ends = {tokenizer.eos_token_id} - {None}
    return ends.union(*(list_ends(getattr(config, "eos_token_id", None)) for config in configs))


def list_ends(eos_token_id: int | Sequence[int] | None) -> list[int]:
    """The end tokens that a configuration names: none, one or several."""
    if isinstance(eos_token_id, list | tuple):
        return list(eos_token_id)
    return [] if eos_token_id is None else [int(cast("int", eos_token_id))]


def add_end_tokens_(network: nn.Module, more: Sequence[int]) -> None:
    """Adds end tokens to the network's configuration, which its artifacts and all conversions keep."""
    config = cast("PreTrainedModel", network).config
    known = list_ends(getattr(config, "eos_token_id", None))
    if added := [token for token in more if token not in known]:
        config.eos_token_id = [*known, *added]


def keep_end_tokens_(network: nn.Module) -> None:
    """Adds the end tokens of a decoder's generation_config to its configuration, which artifacts have."""
    generation = getattr(network, "generation_config", None)
    if generation is not None and not getattr(network.config, "is_encoder_decoder", False):
        add_end_tokens_(network, list_ends(generation.eos_token_id))


def find_start_token(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """The id of the start token, else that of the end token, as lm-eval does; None without both.

    Qwen's tokenizer has no start token. GPT-2 has one token for both.
    """
    start: int | None = tokenizer.bos_token_id
    end: int | None = tokenizer.eos_token_id
    return end if start is None else start


def decode_answer(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    """The text of an answer without special tokens, except those of a tool call.

    Without its special tokens, [TOOL_CALLS]weather[ARGS]{…} of Mistral would not be a call.
    """
    text = str(tokenizer.decode(ids, skip_special_tokens=True))
    added = getattr(tokenizer, "added_tokens_decoder", {})  # a user's own tokenizer may lack it
    special = {token: added[token].content for token in set(ids) if token in added and added[token].special}
    if CALL_TOKENS.isdisjoint(special.values()):
        return text
    call_ids = [token for token in ids if special.get(token) is None or special[token] in CALL_TOKENS]
    call_text = str(tokenizer.decode(call_ids, skip_special_tokens=False))
    return text if read_calls(call_text) == [] else call_text

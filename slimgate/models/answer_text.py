"""The text of an answer's tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from slimgate.judge.tool_call_formats import CALL_TOKENS, read_calls

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


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

"""The token that goes before a text whose first token is predicted too."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def find_start_token(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """The id of the start token, else that of the end token, as lm-eval does; None without both.

    Qwen's tokenizer has no start token. GPT-2 has one token for both.
    """
    start: int | None = tokenizer.bos_token_id
    end: int | None = tokenizer.eos_token_id
    return end if start is None else start

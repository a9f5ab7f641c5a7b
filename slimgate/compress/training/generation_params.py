"""Options of learning from text that the teacher writes."""

from __future__ import annotations

from pydantic import Field

from slimgate.params import Table


class Generate(Table):
    """Rows that the teacher, a causal language model, writes behind the first tokens of train rows.

    rows, tokens: how many, and of how many new tokens at most; prompt_tokens = 0: behind its start token
    alone. top_k = 0: drawn from the whole vocabulary.
    """

    rows: int = Field(default=2000, ge=1)
    tokens: int = Field(default=50, ge=1)
    prompt_tokens: int = Field(default=4, ge=0)
    temperature: float = Field(default=1.0, gt=0)
    top_k: int = Field(default=50, ge=0)

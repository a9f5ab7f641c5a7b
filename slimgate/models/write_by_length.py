"""Answers of a library that reads prompts of one length at a time: those of each length are written together.

So nothing is padded, and an answer does not depend on the prompts beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from slimgate.errors import MeasureError

Ids = npt.NDArray[np.int64]


def write_by_length(
    prompts: Sequence[Sequence[int]], write: Callable[[Ids], Sequence[list[int]]]
) -> list[list[int]]:
    """The answers in the order of the prompts. write: (rows, tokens) ids of one length -> their answers."""
    found: list[list[int]] = [[] for _ in prompts]
    by_length: dict[int, list[int]] = {}
    for row, prompt in enumerate(prompts):
        by_length.setdefault(len(prompt), []).append(row)
    for rows in by_length.values():
        ids = np.asarray([prompts[row] for row in rows], dtype=np.int64)
        for row, answer in zip(rows, write(ids), strict=True):
            found[row] = answer
    return found


def has_ended(tokenizer: Any, ids: Sequence[int], ends: Collection[int], stop: Sequence[str]) -> bool:
    """Whether an answer ends with its last token: an end token, or one that completes a stop string."""
    if ids[-1] in ends:
        return True
    text = tokenizer.decode(ids, skip_special_tokens=True) if stop else ""
    return any(one in text for one in stop)


def check_length(tokens: int, longest: int | None) -> None:
    """Raises MeasureError if a text and its answer have more tokens than the model has positions for."""
    if longest is not None and tokens > longest:
        raise MeasureError(
            f"a text and its answer have {tokens} tokens, but the model has positions for {longest}; lower "
            "max_new_tokens, or leave long prompts out"
        )

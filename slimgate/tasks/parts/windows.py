"""Documents of any length as windows of a language model, each token counted once.

    window 1   [t0 t1 t2 t3]              counts t1 t2 t3
    window 2         [t2 t3 t4 t5]        counts t4 t5: the overlap is context, max_tokens - stride tokens

A smaller stride gives tokens more context, and takes more windows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from slimgate.protocols import Arrays
from slimgate.tasks.parts.encoding import EncodedTexts
from slimgate.tasks.parts.objectives import NO_ANSWER

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Windows(EncodedTexts):
    """Windows of documents. context: (windows,) how many of the first tokens are not counted, 1 or more."""

    context: Ints = field(kw_only=True)

    def beside(self, positions: Sequence[int]) -> Arrays:
        """counted: (windows, tokens) bool, whether the loss of predicting that token counts."""
        width = int(max(self.lengths[i] for i in positions))
        places = np.arange(width)
        chosen = list(positions)
        inside = places < self.lengths[chosen][:, None]
        return {"counted": inside & (places >= self.context[chosen][:, None])}

    def taken(self, positions: Sequence[int]) -> Windows:
        """Some of the windows, in that order."""
        some = super().taken(positions)
        assert isinstance(some, Windows)
        return replace(some, context=self.context[list(positions)])

    def joined(self, more: EncodedTexts) -> Windows:
        """These windows and more behind them, of the same tokenizer."""
        assert isinstance(more, Windows)
        both = super().joined(more)
        assert isinstance(both, Windows)
        return replace(both, context=np.concatenate([self.context, more.context]))

    def labels(self) -> list[list[int]]:
        """Of each window the tokens that count, NO_ANSWER for those that do not."""
        return [
            [NO_ANSWER] * int(context) + list(ids[int(context) :])
            for ids, context in zip(self.columns["input_ids"], self.context, strict=True)
        ]


def cut(length: int, *, max_tokens: int, stride: int) -> list[tuple[int, int, int]]:
    """(start, end, context) of the windows of a document of so many tokens.

    context: how many of a window's first tokens are not counted; the first token of all never is. With
    stride = max_tokens the first token of each window has nothing before it, and is left out.
    """
    found, counted = [], 0
    for start in range(0, max(length, 1), stride):
        end = min(start + max_tokens, length)
        found.append((start, end, max(counted - start, 1)))
        counted = end
        if end == length:
            break
    return found


def windows(documents: Sequence[Sequence[int]], *, max_tokens: int, stride: int, padding: int) -> Windows:
    """The windows of documents of token ids, in the order of the documents. padding: an id to fill up with.

    Padded on the right, where a causal model's earlier tokens cannot see it.
    """
    placed = [
        (row, start, end, context)
        for row, ids in enumerate(documents)
        for start, end, context in cut(len(ids), max_tokens=max_tokens, stride=stride)
    ]
    ids = [list(documents[row][start:end]) for row, start, end, _ in placed]
    return Windows(
        columns={"input_ids": ids, "attention_mask": [[1] * len(one) for one in ids]},
        padding={"input_ids": padding, "attention_mask": 0},
        side="right",
        lengths=np.asarray([len(one) for one in ids], dtype=np.int64),
        row_of=np.asarray([row for row, *_ in placed], dtype=np.int64),
        context=np.asarray([context for *_, context in placed], dtype=np.int64),
    )

"""The rows that models learn from: encoded, with what is to be learnt of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from slimgate.protocols import BuildContext, Encoded
from slimgate.tasks.parts.objectives import NO_ANSWER


class Targets(Protocol):
    """What is to be learnt of each row; an array (rows, …) is one."""

    def __len__(self) -> int: ...

    def __getitem__(self, positions: Sequence[int]) -> npt.NDArray[Any]:
        """Of the rows at these positions: (rows, …), padded as their inputs are."""


Labelled = tuple[Encoded, Targets]


class TokenTargets:
    """A label for every token of every row, padded on the side on which the inputs are."""

    def __init__(self, rows: Sequence[Sequence[int]], *, side: str) -> None:
        self.rows, self.side = rows, side

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, positions: Sequence[int]) -> npt.NDArray[np.int64]:
        """(rows, tokens) int64, NO_ANSWER where padded."""
        chosen = [self.rows[i] for i in positions]
        width = max(map(len, chosen))
        found = np.full((len(chosen), width), NO_ANSWER, dtype=np.int64)
        for line, labels in zip(found, chosen, strict=True):
            line[slice(len(labels)) if self.side == "right" else slice(width - len(labels), width)] = labels
        return found


def joined_targets(first: Targets, second: Targets) -> Targets:
    """Of the rows of both, one after another; they are of one kind."""
    if isinstance(first, TokenTargets):
        assert isinstance(second, TokenTargets)
        return TokenTargets([*first.rows, *second.rows], side=first.side)
    return np.concatenate([np.asarray(first), np.asarray(second)])


def labelled(model: Any, split: str, context: BuildContext) -> Labelled | None:
    """A split's encoded rows and targets; None where the split is empty."""
    if not len(context.splits.get(split, ())):
        return None
    rows = context.rows(split)
    with context.timed("tokenise"):
        encoded = context.task.encode_rows(context.task_params, rows, model.tokenizer)
        return encoded, context.task.targets(context.task_params, rows, context.facts, encoded)


def training_rows(model: Any, context: BuildContext) -> Labelled:
    """The `train` split. Raises DataError where it is empty."""
    context.rows("train")
    data = labelled(model, "train", context)
    assert data is not None
    return data

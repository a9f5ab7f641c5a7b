"""Rows as the inputs of an artifact: by its tokenizer, or of a cascade by each of its models' tokenizers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from slimgate.protocols import Arrays, Encoded, Rows
from slimgate.runtimes.cascade import input_name, is_cascade, tokenizer_folders
from slimgate.suite.suite import SuiteTask


def row_encoder(task: SuiteTask, folder: Path) -> Callable[[Rows], Encoded]:
    """Makes rows the inputs of the artifact of that folder; its tokenizers are loaded once."""
    encoders = row_encoders(task, folder)
    if len(encoders) == 1:
        return encoders[0]
    return lambda rows: EncodedTwice(tuple(encode(rows) for encode in encoders))


def row_encoders(task: SuiteTask, folder: Path) -> list[Callable[[Rows], Encoded]]:
    """One for each tokenizer of the artifact of that folder, in the order of a cascade's `inputs`."""
    folders = tokenizer_folders(folder) if is_cascade(folder) else [folder]
    return [task.object.row_encoder(task.params, one) for one in folders]


@dataclass(frozen=True)
class EncodedTwice:
    """The same rows by several tokenizers. A batch holds the inputs of all (cascade.input_name).

    Lengths are those of the first, whose model reads every row.
    """

    encodings: tuple[Encoded, ...]

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        return self.encodings[0].lengths

    @property
    def row_of(self) -> None:
        return None

    def take(self, positions: Sequence[int]) -> EncodedTwice:
        """Some of the rows, in that order."""
        return EncodedTwice(tuple(one.take(positions) for one in self.encodings))

    def join(self, more: EncodedTwice) -> EncodedTwice:
        """These rows and more behind them."""
        pairs = zip(self.encodings, more.encodings, strict=True)
        return EncodedTwice(tuple(one.join(other) for one, other in pairs))

    def extra_arrays(self, positions: Sequence[int]) -> Arrays:
        """Those of the first."""
        return self.encodings[0].extra_arrays(positions)

    def batch(self, positions: Sequence[int], tokens: int | None = None) -> Arrays:
        """Inputs of the given rows, each padded to the longest of its own kind, or padded and cut."""
        return {
            input_name(number, name): values
            for number, one in enumerate(self.encodings)
            for name, values in one.batch(positions, tokens).items()
        }

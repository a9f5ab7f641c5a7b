"""Encodes rows as the inputs of an artifact: by its tokenizer, or by those of a cascade's models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from slimgate.plugins.base import Arrays
from slimgate.plugins.rows import Encoded, Rows
from slimgate.runtimes.cascade import format_input_name, is_cascade, list_tokenizer_folders
from slimgate.suite.named_plugin import SuiteTask


def make_row_encoder(task: SuiteTask, folder: Path) -> Callable[[Rows], Encoded]:
    """A function that encodes rows for the artifact in that folder; its tokenizers are loaded once."""
    encoders = make_row_encoders(task, folder)
    if len(encoders) == 1:
        return encoders[0]
    return lambda rows: CascadeRows(tuple(encode(rows) for encode in encoders))


def make_row_encoders(task: SuiteTask, folder: Path) -> list[Callable[[Rows], Encoded]]:
    """One encoder for each tokenizer of the artifact in that folder, in the order of a cascade's `inputs`."""
    folders = list_tokenizer_folders(folder) if is_cascade(folder) else [folder]
    return [task.object.row_encoder(task.params, tokenizer_folder) for tokenizer_folder in folders]


@dataclass(frozen=True)
class CascadeRows:
    """Rows encoded by each tokenizer of a cascade. A batch has the inputs of all (`format_input_name`).

    Lengths are those of the first tokenizer, whose model reads every row.
    """

    encodings: tuple[Encoded, ...]

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        return self.encodings[0].lengths

    @property
    def row_of(self) -> None:
        return None

    def take(self, positions: Sequence[int]) -> CascadeRows:
        """Some of the rows, in that order."""
        return CascadeRows(tuple(encoding.take(positions) for encoding in self.encodings))

    def join(self, more: CascadeRows) -> CascadeRows:
        """These rows, followed by more rows."""
        pairs = zip(self.encodings, more.encodings, strict=True)
        return CascadeRows(tuple(encoding.join(other) for encoding, other in pairs))

    def extra_arrays(self, positions: Sequence[int]) -> Arrays:
        """The extra arrays of the first tokenizer."""
        return self.encodings[0].extra_arrays(positions)

    def batch(self, positions: Sequence[int], tokens: int | None = None) -> Arrays:
        """Inputs of these rows, padded to each tokenizer's longest row, or padded and cut to `tokens`."""
        return {
            format_input_name(number, name): values
            for number, encoding in enumerate(self.encodings)
            for name, values in encoding.batch(positions, tokens).items()
        }

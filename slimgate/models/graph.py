"""Models whose files define the whole computation: ONNX, OpenVINO, a package of AOTInductor, a user's folder.

An exported graph is compared with its network on batches of random tokens."""

from __future__ import annotations

import json
import shutil
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from slimgate.models.saved_files import DESCRIPTION, save_companions
from slimgate.plugins.base import Arrays

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase

# The rows and tokens of the two example batches, and the padding of the last row of each.
_EXAMPLE_ROWS, _EXAMPLE_TOKENS, _PADDED = (3, 5), (12, 9), 3
_SEED = 0


class Graph(ABC):
    """The result of a step that converts, or of `Runtime.load_model`.

    kind: the kind of its artifacts, such as "onnx". tokenizer, config: objects of transformers.
    """

    kind: str
    tokenizer: PreTrainedTokenizerBase
    config: PreTrainedConfig

    @abstractmethod
    def measure_size(self) -> dict[str, int]:
        """Counts parameters and nonzero_parameters, and the bytes of all weights: state_bytes."""

    @abstractmethod
    def write(self, folder: Path) -> None:
        """Writes the graph's own files. `save` calls it, and then writes config, tokenizer and slimgate.json.

        Args:
            folder: the artifact's folder.

        Raises:
            BuildError: for weights that are NaN or infinite.
        """

    def description(self) -> dict[str, Any]:
        """The entries of slimgate.json in addition to the kind."""
        return {}

    def code_modules(self) -> list[str]:
        """The modules whose code runs when it predicts: none, because its files define the computation."""
        return []

    def save(self, folder: Path) -> None:
        """Writes all files of the artifact. slimgate calls it after the step that made the graph.

        Args:
            folder: an empty folder.

        Raises:
            BuildError: if `write` raises it.
        """
        self.write(folder)
        save_companions(folder, self, **self.description())


def draw_example_batches(
    tokenizer: PreTrainedTokenizerBase, config: PreTrainedConfig
) -> tuple[Arrays, Arrays]:
    """Two batches that differ in rows and in tokens; the last row of each ends in padding.

    Their names are those of the tokenizer's outputs: (rows, tokens) int64.
    """
    generator = np.random.default_rng(_SEED)
    names = list(tokenizer("a"))
    first, other = (
        _draw_batch(tokenizer, config, names, generator, (rows, tokens))
        for rows, tokens in zip(_EXAMPLE_ROWS, _EXAMPLE_TOKENS, strict=True)
    )
    return first, other


def _draw_batch(
    tokenizer: PreTrainedTokenizerBase,
    config: PreTrainedConfig,
    names: list[str],
    generator: np.random.Generator,
    shape: tuple[int, int],
) -> Arrays:
    padding = tokenizer.pad_token_id
    known = np.arange(min(len(tokenizer), config.vocab_size))
    ids = generator.choice(known[known != padding], shape)
    mask = np.ones(shape, dtype=np.int64)
    end = slice(-_PADDED, None) if tokenizer.padding_side == "right" else slice(None, _PADDED)
    ids[-1, end], mask[-1, end] = padding, 0
    arrays = {"input_ids": ids.astype(np.int64), "attention_mask": mask}
    return {name: arrays.get(name, np.zeros(shape, dtype=np.int64)) for name in names}


@dataclass
class FolderModel:
    """A model whose runtime has no `load_model`. No step can start from it.

    kind: of its artifacts. folder: of the user, only read. files: those that count, relative to it.
    """

    kind: str
    folder: Path
    files: Sequence[str]

    def measure_size(self) -> dict[str, int | None]:
        """No parameters are known; the record has the bytes of the files."""
        return dict.fromkeys(("parameters", "nonzero_parameters", "state_bytes"))

    def code_modules(self) -> list[str]:
        """None: the key of its answers has the code of the runtime."""
        return []

    def save(self, folder: Path) -> None:
        """Copies the files, and writes slimgate.json."""
        for name in self.files:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.folder / name, folder / name)
        (folder / DESCRIPTION).write_text(json.dumps({"kind": self.kind}, indent=1), "utf-8")

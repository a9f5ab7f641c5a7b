"""The base of models whose files define the whole computation: ONNX, OpenVINO, a package of AOTInductor."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slimgate.models.saved_files import save_companions

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase


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

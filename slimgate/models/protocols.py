"""What all of slimgate's models have, whatever their kind, for functions that take any of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase


class Model(Protocol):
    """What a step starts from or makes: a TorchModel, a Served, or a Graph such as an OnnxModel.

    kind: of its artifacts; tokenizer, config: as transformers has them.
    """

    @property
    def kind(self) -> str: ...

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase: ...

    @property
    def config(self) -> PreTrainedConfig: ...

    def measure_size(self) -> dict[str, int]:
        """parameters, nonzero_parameters, state_bytes."""

    def code_modules(self) -> list[str]:
        """The modules whose code runs when it predicts, beside transformers'."""

    def save(self, folder: Path) -> None:
        """Writes the files of the artifact. Raises BuildError."""

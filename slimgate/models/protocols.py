"""What all of slimgate's models have, whatever their kind, for functions that take any of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase


class Saved(Protocol):
    """What a build stores as an artifact: a Model, a cascade, an endpoint. kind: of the artifact."""

    @property
    def kind(self) -> str: ...

    def measure_size(self) -> Mapping[str, int | None]:
        """parameters, nonzero_parameters, state_bytes; None for what is not known."""

    def code_modules(self) -> Sequence[str]:
        """The modules whose code runs when it predicts, beside transformers'."""

    def save(self, folder: Path) -> None:
        """Writes the files of the artifact. Raises BuildError."""


class Model(Saved, Protocol):
    """What a step starts from or makes: a TorchModel, a Served, or a Graph such as an OnnxModel.

    tokenizer, config: as transformers has them.
    """

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase: ...

    @property
    def config(self) -> PreTrainedConfig: ...

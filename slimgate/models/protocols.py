"""The common interface of slimgate's models, for functions that take any kind."""

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
        """parameters, nonzero_parameters, state_bytes; None for unknown numbers."""

    def code_modules(self) -> Sequence[str]:
        """The modules whose code runs when it predicts, in addition to transformers'."""

    def save(self, folder: Path) -> None:
        """Writes the files of the artifact. Raises BuildError."""


class Model(Saved, Protocol):
    """The input or the result of a step: a TorchModel, a Served, or a Graph such as an OnnxModel.

    tokenizer, config: objects of transformers.
    """

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase: ...

    @property
    def config(self) -> PreTrainedConfig: ...

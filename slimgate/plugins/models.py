"""Models as plug-ins pass them to each other: where the files are, how to predict, what a call computes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from slimgate.outcomes import Outcomes
from slimgate.plugins.base import Arrays, Json
from slimgate.plugins.rows import Encoded

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


# An input of a call that writes text: (1,) int64, the number of tokens to write for each row. The call writes
# greedily and does not stop at end tokens.
NEW_TOKENS = "new_tokens"


@dataclass(frozen=True)
class ModelRef:
    """Where weights come from: a local folder, or a hub id with its commit.

    text: the model's name in the suite.
    folder: the local folder; None for a model of the hub.
    hub_id, revision, sha256: the model of the hub, its commit, and the digest that it must have.
    fresh: the folder has a config.json and no weights, so the model starts from random weights
        (slimgate/models/pretrained.py).
    kind: the kind of artifact: torch, or a graph (slimgate/models/model_ref.py).
    new_head: whether the task makes a new head. False: the files must have exactly the weights of the model
        with its head, because a released variant is judged as it is. True: the task makes a new head. None:
        the task makes a new head if the files have none; for the teacher, which is trained.
    looked_for: for a hub id, the local folder of that name, which does not exist.
    file: the GGUF file in the folder.
    dtype: the number type that the suite sets; None: that of the stored weights.
    stored: how the weights are quantized, if another tool has quantized them
        (quantized_files.Quantized.list_facts).
    """

    text: str
    folder: Path | None = None
    hub_id: str | None = None
    revision: str | None = None
    sha256: str | None = None
    fresh: bool = False
    kind: str = "torch"
    new_head: bool | None = None
    looked_for: Path | None = field(default=None, compare=False)
    file: str | None = None
    dtype: str | None = None
    stored: Json | None = field(default=None, compare=False)


class Predictor(Protocol):
    """A loaded artifact: arrays in, scores out.

    Latency times `forward` alone; end-to-end latency times `prepare`, `forward` and `fetch`.

    For a batch with NEW_TOKENS, a model that writes text returns (rows, tokens) ids instead of scores.
    """

    def prepare(self, batch: Arrays) -> object:
        """Converts a batch to the runtime's tensors, on its device. Only end-to-end latency includes it.

        Args:
            batch: name of an input -> array, as `Encoded.batch` makes it.

        Returns:
            What `forward` takes.
        """

    def forward(self, prepared: Any) -> object:
        """Calls the model once. Latency times this call.

        Args:
            prepared: the result of `prepare`. The same one may be passed many times.

        Returns:
            What `fetch` takes. The computation is finished: a GPU is synchronised.
        """

    def fetch(self, output: Any) -> npt.NDArray[np.float32]:
        """Converts the result of a call to an array on the CPU. Only end-to-end latency includes it.

        Args:
            output: the result of `forward`.

        Returns:
            The scores, float32: (rows, outputs), or (rows, tokens, outputs) of a model that scores each
            token. For a batch with NEW_TOKENS, the ids of the new tokens: (rows, new tokens).
        """

    def close(self) -> None:
        """Frees memory."""


@runtime_checkable
class TimedWriter(Protocol):
    """A predictor that writes greedily with a key-value cache, in two calls that can be timed separately.

    Each call returns when its computation is finished. `decode` is called at most once for a state, before
    the next `prefill`.
    """

    def prefill(self, prepared: Any) -> Any:
        """The state after the first new token. prepared: of a batch with NEW_TOKENS."""

    def decode(self, state: Any) -> Any:
        """(rows, new tokens) ids of all new tokens, the first included. It does not stop at end tokens."""

    def cache_bytes(self, state: Any) -> int:
        """Bytes that the key-value cache of a state takes now."""


@dataclass(frozen=True)
class ComparedModel:
    """A loaded model with its gate rows and outcomes, for comparisons that need two models at once."""

    predictor: Predictor
    encoded: Encoded
    folder: Path
    device: str
    outcomes: Outcomes | None = None


@dataclass(frozen=True)
class Macs:
    """Multiply-adds of one call. by_type: their number for each number type of the factors, such as int8."""

    by_type: Mapping[str, int]

    @property
    def total(self) -> int:
        return sum(self.by_type.values())

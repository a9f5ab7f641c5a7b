"""A model as plug-ins pass it on: where its files are, how it predicts, what it computes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from slimgate.outcomes import Outcomes
from slimgate.plugins.base import Arrays, Json
from slimgate.plugins.rows import Encoded

# An input of a call that is to write text: (1,) int64, so many tokens to each row, greedily and past any end.
NEW_TOKENS = "new_tokens"


@dataclass(frozen=True)
class ModelRef:
    """Where weights come from: a local folder, or a hub id with the commit it must have.

    fresh: the folder has a config.json and no weights; the model starts from random ones
    (slimgate/models/pretrained.py). kind: of the artifact that the files are: torch, or the graph of a folder
    (slimgate/models/model_ref.py).
    new_head: of a variant. False: it is judged as its files are, so they must hold the head and every
    weight, and nothing that is not used; True: the task makes a new head. None, of the teacher, which has to
    learn the task: a new head where the files hold none. looked_for: of a hub id, the folder of that name,
    which there is not. file: the one of a GGUF model in its folder. dtype: that the suite asks for; None: the
    one in which the weights are stored. stored: of weights that are quantized already, how
    (quantized_files.Quantized.facts).
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
    """A loaded artifact: arrays in, scores out. `forward` alone is what latency times.

    A batch with NEW_TOKENS asks for text, of models that write it: (rows, tokens) ids instead of scores.
    """

    def prepare(self, batch: Arrays) -> object:
        """The runtime's own tensors for one batch, on its device."""

    def forward(self, prepared: object) -> object:
        """One call of the model, finished when it returns (devices synchronised)."""

    def fetch(self, output: object) -> npt.NDArray[np.float32]:
        """The scores of a call: (rows, outputs), or (rows, tokens, outputs), float32."""

    def close(self) -> None:
        """Frees memory."""


@runtime_checkable
class TimedWriter(Protocol):
    """A predictor that writes greedily with a key-value cache, in two calls, so that each can be timed.

    Both are finished when they return. Each state is decoded once at most, and before the next prefill.
    """

    def prefill(self, prepared: Any) -> Any:
        """The state after the first new token. prepared: of a batch with NEW_TOKENS."""

    def decode(self, state: Any) -> Any:
        """The other new tokens; end tokens end nothing. (rows, new tokens) ids, the first one included."""

    def cache_bytes(self, state: Any) -> int:
        """Bytes that the key-value cache of a state takes now."""


@dataclass(frozen=True)
class Compared:
    """A loaded model with the gate rows as its inputs and its outcomes, for what takes two models at once."""

    predictor: Predictor
    encoded: Encoded
    folder: Path
    device: str
    outcomes: Outcomes | None = None


@dataclass(frozen=True)
class Macs:
    """Multiply-adds of one call. by_type: how many of each number type of the factors, such as int8."""

    by_type: Mapping[str, int]

    @property
    def total(self) -> int:
        return sum(self.by_type.values())

"""Rounds weights with AutoRound, and writes them in a layout that servers load.

    { auto_round = { scheme = "W4A16", group_size = 128, layout = "gptq" } }

AutoRound learns for each weight whether to round up or down, block by block, by signed gradients on
calibration rows. iterations = 0 rounds to the nearest level.

| layout             | schemes                    | quant_method in config.json |
|--------------------|----------------------------|-----------------------------|
| auto_round         | all                        | auto-round                  |
| gptq               | W2A16, W3A16, W4A16, W8A16 | gptq                        |
| awq                | W4A16                      | awq                         |
| compressed_tensors | W4A16, W8A16, MXFP4        | compressed-tensors          |
| gguf               | W4A16 (Q4_0), W8A16 (Q8_0) | a GGUF file                 |

It needs a causal language model of transformers. MXFP4 in compressed_tensors is computed in bfloat16. The
step runs in a separate process, because the package changes transformers when it is imported. The artifact
is the folder that servers load.
Source: Cheng et al. 2023, "Optimize weight rounding via signed gradient descent"; the package auto-round.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from slimgate._system.requirements import require_package
from slimgate._system.worker import ask_worker
from slimgate.errors import BuildError
from slimgate.models.llama_cpp_converter import digest_checkout
from slimgate.plugins.base import Json
from slimgate.plugins.context import BuildContext
from slimgate.plugins.params import Table
from slimgate.plugins.step import Step
from slimgate.steps.agreement import AnswersBefore
from slimgate.steps.quantize import _auto_round_worker as worker

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from slimgate.models.served import Served
    from slimgate.models.torch_model import TorchModel

SCHEMES_OF = {
    "auto_round": ("W2A16", "W3A16", "W4A16", "W8A16", "MXFP4"),
    "gptq": ("W2A16", "W3A16", "W4A16", "W8A16"),
    "awq": ("W4A16",),
    "compressed_tensors": ("W4A16", "W8A16", "MXFP4"),
    "gguf": ("W4A16", "W8A16"),
}
# The levels of Q4_0, Q8_0 and MXFP4 are symmetric, in groups of 32.
GROUP_OF_32 = 32
LIMIT_SECONDS = 7 * 24 * 3600.0
CAUSAL = "AutoModelForCausalLM"


class Params(Table):
    scheme: Literal["W2A16", "W3A16", "W4A16", "W8A16", "MXFP4"] = "W4A16"
    """Bits of the weights (W) and of the activations (A); MXFP4: 4-bit floats for both, with one scale for 32
    values."""
    layout: Literal["auto_round", "gptq", "awq", "compressed_tensors", "gguf"] = "auto_round"
    """Format of the written folder; `slimgate steps auto_round` lists the schemes of each format."""
    group_size: int = Field(default=128, ge=16, le=4096)
    """Number of weights of a row that share a scale; MXFP4 and gguf always have 32."""
    symmetric: bool = True
    """Use the same levels on both sides of 0; false adds a zero point to each scale."""
    iterations: int = Field(default=200, ge=0)
    """Optimization steps for each block; 0 rounds to the nearest level."""
    rows: int = Field(default=128, ge=1)
    """Largest number of sequences that are cut from `calibration` rows; each has max_tokens tokens, as in
    [task]."""
    batch_size: int = Field(default=8, ge=1)
    """Number of sequences in one optimization step."""
    tolerance: float | None = Field(default=None, gt=0)
    """Largest allowed change of the answers by this step, in standard deviations of the scores; default: any
    change."""

    @model_validator(mode="after")
    def _check_layout(self) -> Params:
        if self.scheme not in SCHEMES_OF[self.layout]:
            schemes = ", ".join(SCHEMES_OF[self.layout])
            raise ValueError(
                f'scheme = "{self.scheme}" has no layout = "{self.layout}", which supports {schemes}'
            )
        fixed = self._has_fixed_grid
        if fixed and self.group_size not in (GROUP_OF_32, type(self).model_fields["group_size"].default):
            raise ValueError(f"group_size = {self.group_size} was given, but the format has {GROUP_OF_32}")
        if not self.symmetric and (fixed or self.layout == "compressed_tensors"):
            raise ValueError(f"symmetric = false is not possible in {self.layout} {self.scheme}")
        return self

    @property
    def _has_fixed_grid(self) -> bool:
        """Whether the format has symmetric levels in groups of 32."""
        return self.layout == "gguf" or self.scheme == "MXFP4"

    def make_request(self) -> dict[str, Any]:
        """The request for the worker, without values from the context."""
        return {
            "scheme": self.scheme,
            "layout": self.layout,
            "group_size": GROUP_OF_32 if self._has_fixed_grid else self.group_size,
            "symmetric": self.symmetric,
            "iterations": self.iterations,
            "batch_size": self.batch_size,
        }


class AutoRound(Step[Params]):
    gives = "served"
    reads = ("calibration",)
    claims = ("smaller",)
    packages = ("auto-round", "compressed-tensors", "gguf")
    stochastic = True

    def weight_format(self, params: Params) -> str:
        """The layout, as transformers calls it."""
        return params.layout.replace("_", "-")

    def environment(self, params: Params) -> Json:
        """The converter that writes a GGUF file, if it is a checkout of llama.cpp."""
        return digest_checkout() if params.layout == "gguf" else {}

    def apply(self, model: TorchModel, params: Params, context: BuildContext) -> Served:
        """The Served. Raises BuildError if the layout cannot hold the model; MissingExtra."""
        from slimgate.models.served import load_written

        before = AnswersBefore(model, context)
        folder = round_in_worker(model, params.make_request(), params.rows, context)
        written = load_written(folder, model, model.measure_size(), context)
        before.check(written, tolerance=params.tolerance)
        return written


step = AutoRound()


def round_in_worker(model: TorchModel, request: Json, rows: int, context: BuildContext) -> Path:
    """The written folder. request: from Params.make_request. Raises BuildError, MissingExtra."""
    from slimgate.models.served import save_plain

    require_package("auto_round", "auto_round")
    auto = model.architecture.partition(":")[2]
    if auto != CAUSAL:
        raise BuildError(
            f"auto_round quantizes only causal language models ({CAUSAL}), but this is "
            f"{auto or model.architecture}; use compressed_tensors, which also quantizes other models"
        )
    folder = context.scratch / "auto_round"
    folder.mkdir()
    save_plain(model, folder / worker.MODEL)
    sequences = make_calibration_sequences(model.tokenizer, context, rows)
    np.save(folder / worker.SEQUENCES, sequences)
    context.log.update(calibration_sequences=len(sequences), sequence_tokens=int(sequences.shape[1]))
    request = {**request, "device": context.device, "threads": context.threads, "seed": context.seed}
    context.log.update(
        ask_worker(worker.__name__, folder, request, limit=LIMIT_SECONDS, failure="auto_round failed")
    )
    return folder / worker.WRITTEN


def make_calibration_sequences(
    tokenizer: PreTrainedTokenizerBase, context: BuildContext, max_sequences: int
) -> npt.NDArray[np.int64]:
    """The calibration rows' tokens one after the other, cut to the task's windows: (sequences, tokens).

    An incomplete window at the end is left out; with fewer tokens than a window there is one sequence.
    Raises BuildError if no row has a token.
    """
    encoded = context.task.encode_rows(context.task_params, context.rows("calibration"), tokenizer)
    ids: list[int] = []
    for row, length in enumerate(encoded.lengths.tolist()):
        ids.extend(encoded.batch([row])["input_ids"][0][:length].tolist())
    if not ids:
        raise BuildError("auto_round: no calibration row has a token")
    width = min(int(context.task_params.max_tokens), len(ids))
    count = min(len(ids) // width, max_sequences)
    return np.asarray(ids[: count * width], dtype=np.int64).reshape(count, width)

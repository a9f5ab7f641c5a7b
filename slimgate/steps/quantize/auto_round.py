"""Rounds weights by AutoRound, and writes them in the layout that a server loads.

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
step runs in a process of its own, because the package changes transformers when it is imported. The artifact
is the folder that servers load.
Source: Cheng et al. 2023, "Optimize weight rounding via signed gradient descent"; the package auto-round.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from slimgate.plugins.context import BuildContext
from slimgate.plugins.params import Table
from slimgate.plugins.step import Step
from slimgate.steps.agreement import predictor_of

SCHEMES_OF = {
    "auto_round": ("W2A16", "W3A16", "W4A16", "W8A16", "MXFP4"),
    "gptq": ("W2A16", "W3A16", "W4A16", "W8A16"),
    "awq": ("W4A16",),
    "compressed_tensors": ("W4A16", "W8A16", "MXFP4"),
    "gguf": ("W4A16", "W8A16"),
}
# The levels of Q4_0, Q8_0 and MXFP4 are in groups of 32, symmetric.
GROUP_OF_32 = 32


class Params(Table):
    scheme: Literal["W2A16", "W3A16", "W4A16", "W8A16", "MXFP4"] = "W4A16"
    """Bits of the weights (W) and of the activations (A); MXFP4: 4-bit floats of both, a scale per 32."""
    layout: Literal["auto_round", "gptq", "awq", "compressed_tensors", "gguf"] = "auto_round"
    """Format of the folder (see the table)."""
    group_size: int = Field(default=128, ge=16, le=4096)
    """Weights of a row that share a scale; MXFP4 and gguf have 32."""
    symmetric: bool = True
    """Levels on both sides of 0 alike; false adds a zero point to each scale."""
    iterations: int = Field(default=200, ge=0)
    """Steps of learning for each block; 0 rounds to the nearest level."""
    rows: int = Field(default=128, ge=1)
    """Sequences of the task's max_tokens that are cut from `calibration`, at most."""
    batch_size: int = Field(default=8, ge=1)
    """Sequences of a step of learning."""
    tolerance: float | None = Field(default=None, gt=0)
    """Largest allowed change of the answers, in standard deviations of the scores; default: any change."""

    @model_validator(mode="after")
    def _fits_the_layout(self) -> Params:
        if self.scheme not in SCHEMES_OF[self.layout]:
            schemes = ", ".join(SCHEMES_OF[self.layout])
            raise ValueError(
                f'scheme = "{self.scheme}" has no layout = "{self.layout}", which holds {schemes}'
            )
        fixed = self.layout == "gguf" or self.scheme == "MXFP4"
        if fixed and self.group_size not in (GROUP_OF_32, type(self).model_fields["group_size"].default):
            raise ValueError(f"group_size = {self.group_size} came, and the format has {GROUP_OF_32}")
        if not self.symmetric and (fixed or self.layout == "compressed_tensors"):
            raise ValueError(f"symmetric = false has no place in {self.layout} {self.scheme}")
        return self

    def request(self) -> dict[str, Any]:
        """What the worker is asked, without what the context knows."""
        fixed = self.layout == "gguf" or self.scheme == "MXFP4"
        return {
            "scheme": self.scheme,
            "layout": self.layout,
            "group_size": GROUP_OF_32 if fixed else self.group_size,
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

    def apply(self, model: Any, params: Params, context: BuildContext) -> Any:
        """The Served. Raises BuildError where the layout cannot hold the model; MissingExtra."""
        from slimgate.models.served import load_written
        from slimgate.steps.agreement import calibration_arrays, check_agreement, scores
        from slimgate.steps.quantize._auto_round import round_apart

        batches = calibration_arrays(model.tokenizer, context)
        before = scores(predictor_of(model, context), batches)
        folder = round_apart(model, params.request(), params.rows, context)
        written = load_written(folder, model, model.measure_size(), context)
        after = scores(predictor_of(written, context), batches)
        check_agreement(before, after, batches, context, tolerance=params.tolerance)
        return written


step = AutoRound()

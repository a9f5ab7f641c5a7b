"""Writes the model in the compressed-tensors layout, which vLLM, SGLang and transformers load.

    { compressed_tensors = { scheme = "W8A8" } }
    { gptq = { bits = 4, group_size = 128 } }, { compressed_tensors = {} }

| scheme | weights                     | activations               |
|--------|-----------------------------|---------------------------|
| W8A8   | int8, a scale per channel   | int8, a scale per token   |
| W8A16  | int8, a scale per group     | as they are               |
| W4A16  | int4, a scale per group     | as they are               |
| FP8    | float8, a scale per channel | float8, a scale per token |
| FP8A16 | float8, a scale per channel | as they are               |

Layers that gptq, weight_only or int8_dynamic have quantized keep their levels to the last bit. Float layers
get the levels of `scheme`; without `scheme` they stay float. The format has no layout for 2:4 sparsity: zeros
of sparsegpt_prune stay zeros, and take the room of other levels. The layer that gives the logits, the
embeddings and norms stay float.
The artifact is the folder that servers load. slimgate judges it as transformers loads it, which on a CPU
unpacks the weights.
Source: the package compressed-tensors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from slimgate.plugins.context import BuildContext
from slimgate.plugins.params import Table
from slimgate.plugins.step import Step
from slimgate.steps.agreement import predictor_of

EXACT, OTHER_DTYPE, ROUNDED_ACTIVATIONS = 0.01, 0.1, 1.0


class Params(Table):
    scheme: Literal["W8A8", "W8A16", "W4A16", "FP8", "FP8A16"] | None = None
    """Format of float layers (see the table); default: only layers that are quantized already."""
    group_size: int = Field(default=128, ge=8, le=4096)
    """Weights of a row that share a scale, with W8A16 and W4A16."""
    dtype: Literal["float32", "float16", "bfloat16"] | None = None
    """Format of the weights that are not quantized, and of the scales; default: as they are."""
    tolerance: float | None = Field(default=None, gt=0)
    """Largest allowed change of the answers by the layout, in standard deviations of the scores; default:
    0.01, 0.1 with another dtype, 1.0 where activations are rounded too."""


class CompressedTensors(Step[Params]):
    takes = frozenset({"torch", "torch_quantized"})
    gives = "served"
    reads = ("calibration",)
    claims = ("smaller",)
    packages = ("compressed-tensors",)

    def weight_format(self, params: Params) -> str:
        """Of every scheme."""
        return "compressed-tensors"

    def apply(self, model: Any, params: Params, context: BuildContext) -> Any:
        """The Served. Raises BuildError where the layout cannot hold the model; MissingExtra."""
        from slimgate.models.served import load_written
        from slimgate.steps.agreement import calibration_arrays, check_agreement, scores
        from slimgate.steps.quantize._compressed_tensors import to_rounded_network, write_layout

        batches = calibration_arrays(model.tokenizer, context)
        layers = to_rounded_network(model, params)
        before = scores(predictor_of(model, context), batches)
        folder = context.scratch / "compressed_tensors"
        counts = model.measure_size()
        write_layout(model, layers, folder, dtype=params.dtype)
        written = load_written(folder, model, counts, context)
        after = scores(predictor_of(written, context), batches)
        tolerance = params.tolerance or _tolerance(params, layers)
        check_agreement(before, after, batches, context, tolerance=tolerance)
        return written


step = CompressedTensors()


def _tolerance(params: Params, layers: Mapping[str, Any]) -> float:
    if any(each.activations for each in layers.values()):
        return ROUNDED_ACTIVATIONS
    return EXACT if params.dtype is None else OTHER_DTYPE

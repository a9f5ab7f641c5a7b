"""Converts a decoder (Llama, Qwen, Phi, …) to ONNX Runtime GenAI, which writes with a key-value cache.

    { to_onnx_genai = { precision = "int4" } }

| precision | weights of linear layers                     | products                         | the rest |
|-----------|----------------------------------------------|----------------------------------|----------|
| `fp32`    | float32                                      | float32                          | float32  |
| `int8`    | 8 bits, `block_size` of a row share a scale  | int8, or float32 (`activations`) | float32  |
| `int4`    | 4 bits, `block_size` of a row share a scale  | int8, or float32 (`activations`) | float32  |

The graph is made by the package's own builder, for its CPU provider. Where a model's output layer is its
table of tokens, int8 and int4 round the table too. The builder leaves out the sliding window of models that
have it in every block (Mistral 7B v0.1, Phi-3), so such a graph takes no text longer than the window.
The model before the step and the converted one are compared on the calibration rows: their scores, and the
greedy answers of tasks that write. The log has the share of answers that change, and the first token of them
that is another one. With fp32 the step fails where scores move by more than `tolerance`.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from slimgate.errors import SuiteError
from slimgate.plugins.base import Json
from slimgate.plugins.context import BuildContext
from slimgate.plugins.params import Table
from slimgate.plugins.step import Step

FAMILIES = ("llama", "mistral", "qwen2", "qwen3", "gemma2", "phi", "phi3")
# ONNX Runtime's attention with a cache takes no other head sizes.
HEAD_MULTIPLE = 16
# Rounding of float32 moves scores by some 1e-5 of their standard deviation.
_OF_FLOAT32 = 0.01


class Params(Table):
    precision: Literal["fp32", "int8", "int4"] = "int4"
    """Format of the weights (see the table)."""
    block_size: Literal[16, 32, 64, 128, 256] = 32
    """Weights of a row that share a scale, with int8 and int4."""
    method: Literal["rtn", "k_quant"] = "rtn"
    """How scales are found, with int8 and int4: "rtn" takes the largest weight of a block, "k_quant" searches
    for the least error, as llama.cpp does."""
    activations: Literal["int8", "float32"] = "int8"
    """What a product rounds its input to, with int8 and int4; "float32": nothing."""
    tolerance: float | None = Field(default=None, gt=0)
    """Largest allowed change of the scores, in standard deviations; default: 0.01 with fp32, else any."""


class ToOnnxGenai(Step[Params]):
    gives = "onnx_genai"
    reads = ("calibration",)
    packages = ("onnxruntime-genai", "onnxruntime")

    def check(self, params: Params, config: Json) -> Json:
        """The configuration as it is. Raises SuiteError for a family or a head size that is not converted."""
        if (model_type := config.get("model_type")) not in FAMILIES:
            raise SuiteError(
                f"the model is of type {model_type}, and slimgate converts {', '.join(FAMILIES)} to "
                "ONNX Runtime GenAI"
            )
        size = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
        if size % HEAD_MULTIPLE:
            raise SuiteError(
                f"the model has heads of {size}, expected a multiple of {HEAD_MULTIPLE}, as ONNX Runtime's "
                "attention with a key-value cache takes no others"
            )
        return config

    def apply(self, model: Any, params: Params, context: BuildContext) -> Any:
        """An OnnxGenaiModel. Raises BuildError where the builder cannot hold it, MissingExtra."""
        from slimgate.steps.answer_agreement import check_converted
        from slimgate.steps.convert._to_onnx_genai import convert

        self.check(params, model.config.to_dict())
        converted = convert(model, params.model_dump(exclude={"tolerance"}), context)
        tolerance = params.tolerance or (_OF_FLOAT32 if params.precision == "fp32" else None)
        check_converted(model, converted, tolerance, context)
        return converted


step = ToOnnxGenai()

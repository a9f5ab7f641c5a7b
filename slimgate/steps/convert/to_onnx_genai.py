"""Converts a decoder (Llama, Qwen, Phi, …) to ONNX Runtime GenAI, which writes with a key-value cache.

    { to_onnx_genai = { precision = "int4" } }

| precision | weights of linear layers                     | matrix products                  | the rest |
|-----------|----------------------------------------------|----------------------------------|----------|
| `fp32`    | float32                                      | float32                          | float32  |
| `int8`    | 8 bits, `block_size` weights share a scale   | int8, or float32 (`activations`) | float32  |
| `int4`    | 4 bits, `block_size` weights share a scale   | int8, or float32 (`activations`) | float32  |

The builder of onnxruntime-genai makes the graph, for its CPU provider. If a model's output layer shares its
token table, int8 and int4 round the table too. The builder ignores the sliding window of models that have it
in every block (Mistral 7B v0.1, Phi-3), so such a graph accepts no text longer than the window.

The step compares the model with the converted one on the calibration rows: their scores, and the greedy
answers of tasks that write. The log has the share of answers that change, and the first token that differs.
With fp32, the step fails if scores change by more than `tolerance`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from slimgate._system.json_text import read_json
from slimgate._system.requirements import import_extra
from slimgate._system.worker import ask_worker
from slimgate.errors import BuildError, SuiteError
from slimgate.models.config import compute_head_size
from slimgate.models.onnx_genai_model import CONFIG, COUNTS, KIND, PACKAGE, OnnxGenaiModel
from slimgate.plugins.base import Json
from slimgate.plugins.context import BuildContext
from slimgate.plugins.params import Table
from slimgate.plugins.step import Step
from slimgate.steps.convert import _to_onnx_genai_worker as worker

if TYPE_CHECKING:
    from slimgate.models.torch_model import TorchModel

FAMILIES = ("llama", "mistral", "qwen2", "qwen3", "gemma2", "phi", "phi3")
# ONNX Runtime's attention with a cache needs a head size that is a multiple of this.
HEAD_MULTIPLE = 16
OF_QUANTIZED = ("block_size", "method", "activations")
# Rounding of float32 changes scores by about 1e-5 of their standard deviation.
_FLOAT32_TOLERANCE = 0.01
LIMIT_SECONDS = 24 * 3600.0


class Params(Table):
    precision: Literal["fp32", "int8", "int4"] = "int4"
    """Format of the weights; `slimgate steps to_onnx_genai` explains each format."""
    block_size: Literal[16, 32, 64, 128, 256] = 32
    """Number of weights of a row that share a scale, for int8 and int4."""
    method: Literal["rtn", "k_quant"] = "rtn"
    """How scales are chosen, for int8 and int4: "rtn" uses the largest weight of a block, "k_quant" searches
    for the least error, as llama.cpp does."""
    activations: Literal["int8", "float32"] = "int8"
    """Format to which a matrix product rounds its input, for int8 and int4; "float32" does not round."""
    tolerance: float | None = Field(default=None, gt=0)
    """Largest allowed change of the scores, in standard deviations of the scores; default: 0.01 with fp32,
    else any change."""

    @model_validator(mode="after")
    def _check_precision(self) -> Params:
        stated = [name for name in OF_QUANTIZED if name in self.model_fields_set]
        if stated and self.precision == "fp32":
            raise ValueError(f'{stated[0]} is for int8 and int4, but precision = "fp32" was given')
        return self


class ToOnnxGenai(Step[Params]):
    gives = "onnx_genai"
    reads = ("calibration",)
    packages = ("onnxruntime-genai", "onnxruntime")

    def check(self, params: Params, config: Json) -> Json:
        """Returns the configuration. Raises SuiteError for a family or head size that is not converted."""
        if (model_type := config.get("model_type")) not in FAMILIES:
            raise SuiteError(
                f"the model is of type {model_type}, and slimgate converts {', '.join(FAMILIES)} to "
                "ONNX Runtime GenAI"
            )
        size = config.get("head_dim") or compute_head_size(config)
        if size and size % HEAD_MULTIPLE:
            raise SuiteError(
                f"the model has heads of {size}, expected a multiple of {HEAD_MULTIPLE}, because ONNX "
                "Runtime's attention with a key-value cache needs that"
            )
        return config

    def apply(self, model: TorchModel, params: Params, context: BuildContext) -> OnnxGenaiModel:
        """Converts the model. Raises BuildError if the builder cannot convert it, and MissingExtra."""
        from slimgate.steps.answer_agreement import check_converted

        self.check(params, model.config.to_dict())
        converted = convert(model, params.model_dump(exclude={"tolerance"}), context)
        tolerance = params.tolerance or (_FLOAT32_TOLERANCE if params.precision == "fp32" else None)
        check_converted(model, converted, tolerance, context)
        return converted


step = ToOnnxGenai()


def convert(model: TorchModel, options: Json, context: BuildContext) -> OnnxGenaiModel:
    """Converts the model with the options of the step. Raises BuildError if the builder cannot convert it."""
    from slimgate.models.generate import can_write
    from slimgate.models.served import save_plain

    import_extra(PACKAGE, KIND, "to_onnx_genai")
    if not can_write(model.network):
        raise BuildError(
            f"ONNX Runtime GenAI runs causal language models, and {type(model.network).__name__} is not one"
        )
    folder = context.scratch / "to_onnx_genai"
    folder.mkdir()
    save_plain(model, folder / worker.MODEL)
    failure = "ONNX Runtime GenAI cannot convert the model"
    ask_worker(worker.__name__, folder, options, limit=LIMIT_SECONDS, failure=failure)
    written = folder / worker.WRITTEN
    longest = _correct_config(written / CONFIG, model)
    context.log["longest_text"] = longest
    counts = model.measure_size()
    return OnnxGenaiModel(
        written,
        {name: counts[name] for name in COUNTS},
        options["precision"],
        model.tokenizer,
        model.config,
    )


def _correct_config(file: Path, model: TorchModel) -> int:
    """Corrects the end tokens and the longest text in the builder's file. Returns the longest text in tokens.

    The builder leaves out some end tokens if the model has several. It reads from `layer_types` which blocks
    have a sliding window. A model without `layer_types` has the window in every block, but its graph has no
    window. So the graph is right only for texts up to the window's length.
    """
    from slimgate.models.special_tokens import list_end_tokens

    content = read_json(file)
    content["model"]["eos_token_id"] = sorted(list_end_tokens(model.tokenizer, model.network))
    longest, window = content["model"]["context_length"], getattr(model.config, "sliding_window", None)
    if window and getattr(model.config, "layer_types", None) is None:
        longest = min(longest, window)
        content["model"]["context_length"] = content["search"]["max_length"] = longest
    file.write_text(json.dumps(content, indent=4), "utf-8")
    return int(longest)

"""Converts an encoder-decoder or a decoder to CTranslate2, which writes answers in C++.

    { to_ctranslate2 = { quantization = "int8" } }

| quantization   | weights of linear layers and tables | products   | the rest                          |
|----------------|-------------------------------------|------------|-----------------------------------|
| `float32`      | float32                             | float32    | float32                           |
| `int8`         | int8, a scale for each row          | int8       | as the model has it               |
| `int8_float32` | int8, a scale for each row          | int8       | float32, whatever the model has   |

Encoder-decoders: T5, mT5, BART, Marian. Decoders: GPT-2, Llama, Mistral, Qwen2, Qwen3; they write with a
key-value cache. CTranslate2 computes a sliding window wrongly, so a decoder with a window takes no text
longer than the window.
The model before the step and the converted one are compared on the calibration rows: the scores of decoders,
and greedy answers. The log has the share of answers that change, and the first token that differs. With
float32 the step fails if scores change by more than `tolerance`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from slimgate.errors import SuiteError
from slimgate.models.config import compute_head_size
from slimgate.plugins.base import Json
from slimgate.plugins.context import BuildContext
from slimgate.plugins.params import Table
from slimgate.plugins.step import Step

if TYPE_CHECKING:
    from slimgate.models.ctranslate2_model import CTranslate2Model
    from slimgate.models.torch_model import TorchModel

ENCODER_DECODERS = ("t5", "mt5", "bart", "marian")
DECODERS = ("gpt2", "llama", "mistral", "qwen2", "qwen3")
FAMILIES = (*ENCODER_DECODERS, *DECODERS)
# For these families the converter assumes heads of hidden_size / num_attention_heads numbers.
_PLAIN_HEADS = ("llama", "qwen2")
_ROTATIONS = ("default", "linear")
# Rounding of float32 changes scores by about 1e-5 of their standard deviation.
_FLOAT32_TOLERANCE = 0.01


class Params(Table):
    quantization: Literal["float32", "int8", "int8_float32"] = "int8"
    """Format of the weights; `slimgate steps to_ctranslate2` explains each format."""
    tolerance: float | None = Field(default=None, gt=0)
    """Largest allowed change of a decoder's scores, in standard deviations of the scores. At the first
    token that changes in an answer, the expected token may score higher by at most this value. Default:
    0.01 with float32, else any change."""


class ToCTranslate2(Step[Params]):
    gives = "ctranslate2"
    reads = ("calibration",)
    packages = ("ctranslate2",)

    def check(self, params: Params, config: Json) -> Json:
        """Returns the configuration. Raises SuiteError for a model that CTranslate2 computes wrongly."""
        if (model_type := config.get("model_type")) not in FAMILIES:
            raise SuiteError(
                f"the model is of type {model_type}, and slimgate converts {', '.join(FAMILIES)} "
                "to CTranslate2"
            )
        if model_type in DECODERS and (part := _find_other_part(config)):
            raise SuiteError(f"CTranslate2 does not compute this {model_type}: {part}")
        return config

    def apply(self, model: TorchModel, params: Params, context: BuildContext) -> CTranslate2Model:
        """A CTranslate2Model. Raises BuildError if CTranslate2 cannot hold it, MissingExtra."""
        from slimgate.steps.answer_agreement import check_answers, check_converted
        from slimgate.steps.convert._to_ctranslate2 import convert

        self.check(params, model.config.to_dict())
        converted = convert(model, params.quantization, context)
        tolerance = params.tolerance or (_FLOAT32_TOLERANCE if params.quantization == "float32" else None)
        if converted.answers.decoder:
            check_converted(model, converted, tolerance, context)
        else:
            context.log.update(agreement_rows=len(context.rows("calibration")), tolerance=tolerance)
            check_answers(model, converted, tolerance, context)
        return converted


def _find_other_part(config: Json) -> str | None:
    """A part of a decoder that the converter silently leaves out; None if it converts everything."""
    if config["model_type"] == "gpt2":
        scaled = not config.get("scale_attn_weights", True) or config.get("scale_attn_by_inverse_layer_idx")
        return "its attention is scaled by something other than the size of its heads" if scaled else None
    if (activation := config.get("hidden_act", "silu")) not in ("silu", "swish"):
        return f"hidden_act is {activation}, expected silu"
    plain, size = compute_head_size(config), config.get("head_dim")
    if config["model_type"] in _PLAIN_HEADS and plain and size and size != plain:
        return f"head_dim is {size}, expected hidden_size / num_attention_heads = {plain}"
    rotation = config.get("rope_parameters") or config.get("rope_scaling") or {}
    kind = rotation.get("rope_type") or rotation.get("type") or "default"
    if kind not in _ROTATIONS:
        return f"rope_type is {kind}, expected {' or '.join(_ROTATIONS)}"
    return None


step = ToCTranslate2()

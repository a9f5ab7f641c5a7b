"""Converts an encoder-decoder (T5, BART, Marian) to CTranslate2, which writes answers in C++.

    { to_ctranslate2 = { quantization = "int8" } }

| quantization   | weights of linear layers and tables | products   | the rest                          |
|----------------|-------------------------------------|------------|-----------------------------------|
| `float32`      | float32                             | float32    | float32                           |
| `int8`         | int8, a scale for each row          | int8       | as the model has it               |
| `int8_float32` | int8, a scale for each row          | int8       | float32, whatever the model has   |

The model before the step and the converted one answer the calibration rows. The log has the share of their
answers that differ. With float32 the step fails where that is more than `tolerance`.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from slimgate.errors import SuiteError
from slimgate.params import Table
from slimgate.protocols import BuildContext, Json, Step

FAMILIES = ("t5", "mt5", "bart", "marian")
# Rounding turns near ties around; a model that was put together wrongly changes most answers.
_OF_FLOAT32 = 0.1


class Params(Table):
    quantization: Literal["float32", "int8", "int8_float32"] = "int8"
    """Format of the weights (see the table)."""
    tolerance: float | None = Field(default=None, gt=0, le=1)
    """Largest allowed share of the calibration rows whose answers change; default: 0.1 with float32, else
    any."""


class ToCTranslate2(Step[Params]):
    gives = "ctranslate2"
    reads = ("calibration",)
    packages = ("ctranslate2",)

    def check(self, params: Params, config: Json) -> Json:
        """The configuration as it is. Raises SuiteError for a family that is not converted."""
        if (found := config.get("model_type")) not in FAMILIES:
            raise SuiteError(
                f"the model is of type {found}, and slimgate converts {', '.join(FAMILIES)} to CTranslate2"
            )
        return config

    def apply(self, model: Any, params: Params, context: BuildContext) -> Any:
        """A CTranslate2Model. Raises BuildError where CTranslate2 cannot hold it, MissingExtra."""
        from slimgate.compress.convert._to_ctranslate2 import check_answers, convert

        self.check(params, model.config.to_dict())
        converted = convert(model, params.quantization, context)
        tolerance = params.tolerance or (_OF_FLOAT32 if params.quantization == "float32" else None)
        check_answers(model, converted, tolerance, context)
        return converted


step = ToCTranslate2()

"""Compiles the network ahead of time: torch.export, then a package by PyTorch's AOTInductor.

    { to_aoti = {} }

What leaves it is run without Python inside the network, and without compiling at load. One program serves
all batch sizes and lengths. With precision = "bfloat16" logits too have 16 bits; `cast` before it keeps
LayerNorms, softmax and logits in float32. The package answers calibration rows as the network did, within
`tolerance`; one row alone and rows of one token are among those compared. It needs a C++ compiler. All of it
happens in a process of its own: a compiler that hangs, or code that this machine cannot run, is an error.
A .pt2 package is machine code for this kind of processor: only those of one's own store are loaded.
Source: Ansel et al. 2024, "PyTorch 2", ASPLOS.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from slimgate.plugins.base import Arrays
from slimgate.plugins.context import BuildContext
from slimgate.plugins.params import Table
from slimgate.steps.agreement import predictor_of
from slimgate.steps.convert._export import Export

TOLERANCE = {"float32": 0.01, "bfloat16": 0.1}


class Params(Table):
    precision: Literal["float32", "bfloat16"] = "float32"
    """Format of weights and products; "bfloat16" keeps weights and logits in 16 bits."""
    tolerance: float | None = Field(default=None, gt=0)
    """Largest allowed change of the answers, in standard deviations of the scores; default: 0.01, or 0.1 with
    bfloat16."""


class ToAoti(Export[Params]):
    takes = frozenset({"torch", "torch_quantized"})
    gives = "torch_aoti"
    reads = ("calibration",)

    def by_processor(self, params: Params) -> bool:
        """A package is machine code for the processor that compiled it."""
        return True

    def apply(self, model: Any, params: Params, context: BuildContext) -> Any:
        """The package of the model. Raises BuildError where it is no single graph or answers otherwise."""
        from slimgate.errors import BuildError
        from slimgate.models.aoti_model import ExportedModel
        from slimgate.steps.agreement import calibration_arrays, check_agreement, scores
        from slimgate.steps.convert._aoti_compiling import compile_apart

        batches = _with_small_ones(calibration_arrays(model.tokenizer, context))
        before = scores(predictor_of(model, context), batches)
        if params.precision == "bfloat16" and model.kind != "torch":
            raise BuildError(
                f"an artifact of kind {model.kind} holds scales that bfloat16 would spoil, expected kind "
                "torch; leave precision out"
            )
        compiled = compile_apart(model, batches, context, precision=params.precision)
        context.log.update(compile_seconds=compiled.compile_seconds, precision=params.precision)
        tolerance = params.tolerance or TOLERANCE[params.precision]
        check_agreement(before, compiled.scores, batches, context, tolerance=tolerance)
        return ExportedModel(
            package=compiled.package,
            tokenizer=model.tokenizer,
            config=model.config,
            inputs=compiled.inputs,
            device=context.device.partition(":")[0],
            weights=compiled.weights,
        )


step = ToAoti()


def _with_small_ones(batches: list[Arrays]) -> list[Arrays]:
    """The batches, one row alone, and rows of one token: exported programs may take sizes for above 1."""
    first = batches[0]
    one_token = {name: values[:, :1] if values.ndim == 2 else values for name, values in first.items()}
    return [*batches, {name: values[:1] for name, values in first.items()}, one_token]

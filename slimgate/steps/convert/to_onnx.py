"""Exports a PyTorch model as an ONNX graph, which other runtimes execute and other steps quantize.

    { to_onnx = {} }

The graph takes any number of rows and of tokens and gives the model's scores, within `tolerance` on
calibration rows. Layers that compute in integers cannot be exported: export first, then quantize with
onnx_int8_dynamic. Weights that weight_only has packed become float32 again, with the values that they
represent. An output layer that shares the token table (GPT-2) is stored a second time, transposed, and counts
as such.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from slimgate.plugins.context import BuildContext
from slimgate.plugins.params import Table
from slimgate.steps.agreement import AnswersBefore
from slimgate.steps.convert._export import ExportStep

if TYPE_CHECKING:
    from slimgate.models.onnx_model import OnnxModel
    from slimgate.models.torch_model import TorchModel


class Params(Table):
    opset: int = Field(default=20, ge=18, le=23)
    """Version of the graph's operators (the ONNX opset)."""
    tolerance: float = Field(default=0.01, gt=0)
    """Largest allowed change of the answers by this step, in standard deviations of the scores."""


class ToOnnx(ExportStep[Params]):
    takes = frozenset({"torch", "torch_quantized"})
    gives = "onnx"
    reads = ("calibration",)
    packages = ("onnx", "onnxscript", "onnxruntime")

    def apply(self, model: TorchModel, params: Params, context: BuildContext) -> OnnxModel:
        """An OnnxModel that answers like the model. Raises BuildError if that is impossible."""
        from slimgate.errors import BuildError
        from slimgate.models.onnx_export import export_onnx, select_example_batches
        from slimgate.models.onnx_model import OnnxModel

        if hasattr(model.network, "load_tokenizer"):
            raise BuildError(
                f"{type(model.network).__name__} has inputs other than text, which to_onnx cannot export"
            )
        before = AnswersBefore(model, context)
        encoded = context.task.encode_rows(context.task_params, context.rows("calibration"), model.tokenizer)
        proto = export_onnx(model.network, select_example_batches(encoded), opset=params.opset)
        exported = OnnxModel(proto, model.tokenizer, model.config)
        before.check(exported, tolerance=params.tolerance)
        context.log.update(opset=params.opset, operators=len(proto.graph.node))
        return exported


step = ToOnnx()

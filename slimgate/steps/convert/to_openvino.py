"""Exports a PyTorch model as an OpenVINO graph, which OpenVINO executes and other steps quantize.

    { to_openvino = { attention = "eager" } }

The graph takes any number of rows and of tokens and gives the model's scores, within `tolerance` on
calibration rows. Weights that weight_only has packed become float32 again; layers that compute in integers
are not exported: export first, quantize then. With compress_to_fp16 answers differ in the third digit.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from slimgate.plugins.context import BuildContext
from slimgate.plugins.params import Table
from slimgate.steps.agreement import AnswersBefore
from slimgate.steps.convert._export import ExportStep

if TYPE_CHECKING:
    from slimgate.models.openvino_model import OpenVinoModel
    from slimgate.models.torch_model import TorchModel


class Params(Table):
    attention: Literal["sdpa", "eager"] = "eager"
    """Attention as one operator ("sdpa"), or as products and softmax ("eager"), which openvino_int8 can
    quantize and OpenVINO fuses again."""
    compress_to_fp16: bool = False
    """Store weights as float16, in half of the bytes. The runtime computes in its own precision, as
    before."""
    first_token: bool = True
    """Compute the last block only for the first token if the head uses no other token."""
    tolerance: float = Field(default=0.01, gt=0)
    """Largest allowed change of the answers by this step, in standard deviations of the scores."""


class ToOpenVino(ExportStep[Params]):
    gives = "openvino"
    reads = ("calibration",)
    packages = ("openvino",)

    def apply(self, model: TorchModel, params: Params, context: BuildContext) -> OpenVinoModel:
        """An OpenVinoModel that answers like the model. Raises BuildError if that is impossible."""
        from slimgate.errors import BuildError
        from slimgate.models.openvino_export import export_openvino
        from slimgate.models.openvino_model import OpenVinoModel, read_graph, write_graph
        from slimgate.steps.convert._first_token import first_token_alone

        if hasattr(model.network, "load_tokenizer"):
            name = type(model.network).__name__
            raise BuildError(f"{name} has inputs other than text, which to_openvino cannot export")
        before = AnswersBefore(model, context)
        network, example = model.network.eval(), _make_example(model, context)
        with first_token_alone(network, example) if params.first_token else nullcontext(False) as narrowed:
            graph = export_openvino(network, example, attention=params.attention)
        if params.compress_to_fp16:
            write_graph(graph, context.scratch / "half", compress_to_fp16=True)
            graph = read_graph(context.scratch / "half")
        exported = OpenVinoModel(graph, model.tokenizer, model.config)
        before.check(exported, tolerance=params.tolerance)
        context.log.update(operators=len(graph.get_ops()), first_token_alone=narrowed)
        return exported


step = ToOpenVino()


def _make_example(model: TorchModel, context: BuildContext) -> Any:
    """Three rows of seven tokens, because no size inside a network equals these."""
    encoded = context.task.encode_rows(context.task_params, context.rows("calibration"), model.tokenizer)
    return encoded.batch([0, min(1, len(encoded.lengths) - 1), 0], 7)

"""Makes the floats of an ONNX graph float16, except the logits: half of the bytes.

    { to_onnx = {} }, { onnx_optimize = {} }, { onnx_cast = {} }

On a GPU, ONNX Runtime computes in float16. It has no such products for x86 CPUs: there it converts the
weights back to float32 while it loads the graph, so the file is smaller and nothing is faster. Numbers above
65,504 become 65,504, which is enough for masks, and numbers nearer to 0 than 6e-8 become 6e-8. The step
refuses graphs with weights in 8 bits or fewer, which are smaller already, and graphs that compute rotary
positions (Llama), whose angles would be off by up to half a radian at position 2,000. It uses
onnxruntime.transformers.float16. For bfloat16 there are `cast` and OpenVINO, whose runtimes compute in it on
a CPU.
Source: Micikevicius et al. 2018.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from pydantic import Field

from slimgate.plugins.context import BuildContext
from slimgate.plugins.params import Table
from slimgate.plugins.step import Step
from slimgate.steps.agreement import AnswersBefore

if TYPE_CHECKING:
    import onnx

    from slimgate.models.onnx_model import OnnxModel


class Params(Table):
    tolerance: float = Field(default=0.1, gt=0)
    """Largest allowed change of the answers by this step, in standard deviations of the scores."""


class OnnxCast(Step[Params]):
    takes = frozenset({"onnx"})
    gives = "onnx"
    reads = ("calibration",)
    packages = ("onnx", "onnxruntime")
    claims = ("smaller",)

    def apply(self, model: OnnxModel, params: Params, context: BuildContext) -> OnnxModel:
        """The graph in float16. Raises BuildError if float16 does not suit it."""
        from onnxruntime.transformers.float16 import convert_float_to_float16

        from slimgate._system.quiet import silent
        from slimgate.models.onnx_model import (
            MOST_INSIDE,
            OnnxModel,
            count_initializer_bytes,
            read_tensor_values,
        )

        _check_halvable(model.proto)
        before = AnswersBefore(model, context)
        proto = copy.deepcopy(model.proto)
        del proto.graph.value_info[:]  # the exporter's shapes, which conflict with shape inference
        # shape inference takes a graph that fits into one protobuf message
        large = count_initializer_bytes(proto) > MOST_INSIDE
        with silent():
            proto = convert_float_to_float16(
                proto, keep_io_types=True, force_fp16_initializers=True, disable_shape_infer=large
            )
        cast_model = OnnxModel(proto, model.tokenizer, model.config, model.kind)
        before.check(cast_model, tolerance=params.tolerance)
        numbers = [read_tensor_values(tensor) for tensor in proto.graph.initializer]
        context.log["float16_numbers"] = sum(part.size for part in numbers if part.dtype == "float16")
        return cast_model


step = OnnxCast()


def _check_halvable(proto: onnx.ModelProto) -> None:
    from slimgate.errors import BuildError
    from slimgate.models.onnx_model import read_tensor_values
    from slimgate.steps.convert._onnx_graph import count_node_kinds

    for tensor in proto.graph.initializer:
        values = read_tensor_values(tensor)
        if values.size > 1 and values.dtype.itemsize == 1 and values.dtype.kind != "b":
            raise BuildError(
                f"the graph's {tensor.name} is in 8 bits or fewer; onnx_cast is only for float graphs; "
                "leave the step out"
            )
    counted = count_node_kinds(proto)
    if waves := counted["Cos"] + counted["Sin"]:
        raise BuildError(
            f"the graph computes {waves} sines and cosines of rotary positions, whose angles float16 "
            "cannot represent; use onnx_weight_only, or `cast` before a PyTorch runtime"
        )

"""Quantizes the products of an ONNX graph to int8, activations on the fly.

    { onnx_int8_dynamic = { embeddings = true } }

Activations: uint8, one scale and zero point for the whole batch, measured when the product is computed. So a
row's outcome depends a little on the other rows of its batch, which the record and the report say. With
int8_dynamic and onnx_int8_static it does not. The step uses onnxruntime.quantization.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from slimgate.plugins.context import BuildContext
from slimgate.plugins.params import Table
from slimgate.plugins.step import Step

if TYPE_CHECKING:
    from slimgate.models.onnx_model import OnnxModel

BY_BATCH = (
    "activations share one scale over the whole batch, so a row's answer depends a little on the rows beside "
    "it; onnx_int8_static has fixed ranges"
)


class Params(Table):
    per_channel: bool = True
    """true: one scale for each output channel; false: one scale for each matrix."""
    reduce_range: bool = False
    """Store weights in 7 bits, for CPUs without VNNI, on which sums of 8-bit products would saturate."""
    embeddings: bool = False
    """Also quantize the token embeddings."""
    output_layer: bool = False
    """Also quantize the output layer, which gives the logits."""
    weight_type: Literal["int8", "uint8"] = "int8"
    """Type of the weights: int8 is symmetric, uint8 has a zero point."""
    tolerance: float = Field(default=1.0, gt=0)
    """Largest allowed change of the answers by this step, in standard deviations of the scores."""


class OnnxInt8Dynamic(Step[Params]):
    takes = frozenset({"onnx"})
    gives = "onnx"
    reads = ("calibration",)
    packages = ("onnx", "onnxruntime")
    claims = ("smaller", "faster")

    def apply(self, model: OnnxModel, params: Params, context: BuildContext) -> OnnxModel:
        """The graph with int8 products in place of float products with a fixed matrix."""
        from onnx import TensorProto
        from onnxruntime.quantization import QuantType, quantize_dynamic

        from slimgate._system.quiet import silent
        from slimgate.steps.convert._onnx_graph import count_node_kinds
        from slimgate.steps.convert._onnx_quantization import Quantizing, list_token_tables

        work = Quantizing.start(
            model, context, output_layer=params.output_layer, embeddings=params.embeddings
        )
        tables = list_token_tables(work.proto) if params.embeddings else []
        with silent():
            quantize_dynamic(
                work.proto,
                work.scratch,
                op_types_to_quantize=["MatMul", "Gather", "EmbedLayerNormalization"],
                nodes_to_quantize=[*work.products, *tables],
                per_channel=params.per_channel,
                reduce_range=params.reduce_range,
                weight_type=QuantType.QInt8 if params.weight_type == "int8" else QuantType.QUInt8,
                extra_options={"DefaultTensorType": TensorProto.FLOAT, "MatMulConstBOnly": True},
            )
        proto = work.read()
        products = count_node_kinds(proto)["MatMulInteger"]
        context.log.update(embedding_tables=len(tables), integer_products=products)
        if products:
            context.log["warning"] = BY_BATCH
        return work.finish(proto, tolerance=params.tolerance, reduce_range=params.reduce_range)


step = OnnxInt8Dynamic()

"""Stores the matrices of an ONNX graph in 4 or 8 bits, in blocks with a scale each.

    { onnx_weight_only = { bits = 4, block_size = 32, embeddings = true } }

A row's outcome does not depend on its batch. The step uses onnxruntime.quantization (MatMulNBits,
GatherBlockQuantized).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from slimgate.plugins.context import BuildContext
from slimgate.plugins.params import Table
from slimgate.plugins.step import Step

if TYPE_CHECKING:
    import onnx

    from slimgate.models.onnx_model import OnnxModel

ACCURACY = {"float32": 1, "int8": 4}


class Params(Table):
    bits: Literal[4, 8] = 4
    """Number of bits of a weight in the matrices."""
    block_size: Literal[16, 32, 64, 128, 256] = 32
    """Number of weights that share a scale."""
    symmetric: bool = True
    """Use the same levels on both sides of 0; false adds a zero point to each scale."""
    accuracy_level: Literal["float32", "int8"] = "int8"
    """Format of matrix products: "int8" rounds activations block by block within each token; "float32" does
    not round activations and is slower."""
    embeddings: bool = False
    """Also quantize the token embeddings, always to 4 bits, whatever `bits` is."""
    output_layer: bool = False
    """Also quantize the output layer, which gives the logits."""
    tolerance: float = Field(default=2.0, gt=0)
    """Largest allowed change of the answers by this step, in standard deviations of the scores."""


class OnnxWeightOnly(Step[Params]):
    takes = frozenset({"onnx"})
    gives = "onnx"
    reads = ("calibration",)
    packages = ("onnx", "onnxruntime")
    claims = ("smaller",)

    def apply(self, model: OnnxModel, params: Params, context: BuildContext) -> OnnxModel:
        """The graph with packed matrices in place of float ones."""
        from slimgate.errors import BuildError
        from slimgate.steps.convert._onnx_graph import count_node_kinds
        from slimgate.steps.convert._onnx_quantization import Quantizing

        work = Quantizing.start(
            model, context, output_layer=params.output_layer, embeddings=params.embeddings
        )
        proto = _pack_weights(work.proto, set(work.products), "MatMul", params.bits, params)
        if params.embeddings:
            from slimgate.steps.convert._onnx_quantization import list_token_tables

            proto = _pack_weights(proto, set(list_token_tables(proto)), "Gather", 4, params)
        counted = count_node_kinds(proto)
        if params.embeddings and not counted["GatherBlockQuantized"]:
            raise BuildError(
                "the graph has no separate float token table to pack; onnx_optimize joins it with its "
                "layer norm, so give that step embeddings = false"
            )
        context.log.update(
            packed_products=counted["MatMulNBits"], packed_tables=counted["GatherBlockQuantized"]
        )
        return work.finish(proto, tolerance=params.tolerance)


step = OnnxWeightOnly()


def _pack_weights(proto: onnx.ModelProto, nodes: set[str], kind: str, bits: int, params: Params) -> Any:
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    from slimgate._system.quiet import silent

    excluded = [node.name for node in proto.graph.node if node.op_type == kind and node.name not in nodes]
    with silent():
        quantizer = MatMulNBitsQuantizer(
            proto,
            bits=bits,
            block_size=params.block_size,
            is_symmetric=params.symmetric,
            accuracy_level=ACCURACY[params.accuracy_level],
            nodes_to_exclude=excluded,
            op_types_to_quantize=(kind,),
        )
        quantizer.process()
    return quantizer.model.model

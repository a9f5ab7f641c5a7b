"""The token table of an ONNX graph in int8."""

from __future__ import annotations

from typing import Any

from slimgate.compress.convert._onnx_graph import Graph
from slimgate.errors import BuildError


def token_tables(proto: Any) -> list[str]:
    """The node that looks up the largest of the fixed tables, which is the tokens', by name.

    Raises BuildError where there is none in float.
    """
    graph, found = Graph(proto), []
    for node in proto.graph.node:
        if node.op_type in ("Gather", "EmbedLayerNormalization"):
            values = graph.value(node.input[2 if node.op_type == "EmbedLayerNormalization" else 0])
            if values is not None and values.ndim == 2 and values.dtype.kind == "f":
                found.append((values.size, node.name))
    if not found:
        raise BuildError("the graph looks up no float table of tokens; set embeddings = false")
    return [max(found)[1]]


def tables_to_int8(work: Any) -> Any:
    """The graph of a Quantizing whose token table, and no product, is int8; a scale for the whole table."""
    from onnx import TensorProto
    from onnxruntime.quantization import QuantType, quantize_dynamic

    from slimgate._system.silence import silent

    with silent():
        quantize_dynamic(
            work.proto,
            work.scratch,
            op_types_to_quantize=["Gather", "EmbedLayerNormalization"],
            nodes_to_quantize=token_tables(work.proto),
            weight_type=QuantType.QUInt8,
            extra_options={"DefaultTensorType": TensorProto.FLOAT},
        )
    return work.read()

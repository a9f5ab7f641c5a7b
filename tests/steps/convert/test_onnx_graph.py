"""Rewriting an ONNX graph: values that only an inner graph reads stay."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper
from onnxruntime import InferenceSession

from slimgate.steps.convert._onnx_graph import GraphIndex, remove_unread_nodes
from slimgate.steps.convert._onnx_quantization import split_gemms_


def make_graph_with_branches() -> ModelProto:
    """x -> Gemm -> If. One branch reads an initializer of the outer graph, the other a node's value."""
    rng = np.random.default_rng(0)

    def branch(name: str, kind: str, other: str) -> object:
        outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, 4])]
        return helper.make_graph([helper.make_node(kind, ["h", other], [name])], name, [], outputs)

    weights = {"w": rng.random((3, 4)), "v": rng.random((4, 4))}
    nodes = [
        helper.make_node("Gemm", ["x", "w"], ["h"]),
        helper.make_node("Neg", ["h"], ["minus"]),
        helper.make_node("ReduceMax", ["x"], ["largest"], keepdims=0),
        helper.make_node("Cast", ["largest"], ["chosen"], to=TensorProto.BOOL),
        helper.make_node(
            "If",
            ["chosen"],
            ["y"],
            then_branch=branch("product", "MatMul", "v"),
            else_branch=branch("sum", "Add", "minus"),
        ),
    ]
    graph = helper.make_graph(
        nodes,
        "branches",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 4])],
        [numpy_helper.from_array(values.astype(np.float32), name) for name, values in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def test_values_that_only_a_branch_reads_stay() -> None:
    proto = make_graph_with_branches()
    batches = [np.ones((2, 3), dtype=np.float32), np.zeros((2, 3), dtype=np.float32)]

    def run() -> list[np.ndarray]:
        session = InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
        return [session.run(None, {"x": batch})[0] for batch in batches]

    before = run()
    split_gemms_(proto)
    remove_unread_nodes(proto)
    np.testing.assert_allclose(run(), before, rtol=1e-6)
    assert [node.op_type for node in GraphIndex(proto).list_readers("minus")] == ["If"]

"""Attention as one operator only where that says the same: adapters, windows of local attention, masks."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import InferenceSession

from slimgate.steps.convert._onnx_graph import count_node_kinds
from slimgate.steps.convert._onnx_optimize import fuse

WIDTH, HEADS = 8, 2
LOWEST = -3e38


def encoder(*, adapter: bool = False, window: int | None = None) -> Any:
    """(rows, tokens) -> (rows, width): one block of attention, of which the first token is read.

    adapter: the query is a sum of two products. window: tokens see only those that are no further away.
    """
    generator = np.random.default_rng(0)
    tensors = {
        "table": generator.normal(size=(50, WIDTH)).astype(np.float32),
        **{f"w_{part}": generator.normal(size=(WIDTH, WIDTH)).astype(np.float32) for part in "qkva"},
        "by_heads": np.array([0, 0, HEADS, WIDTH // HEADS]),
        "joined_shape": np.array([0, 0, WIDTH]),
        "scale": np.array(0.5, np.float32),
        "one": np.array(1, np.float32),
        "lowest": np.array(LOWEST, np.float32),
        "first": np.array(0),
        "inner": np.array([1, 2]),
        "zero": np.array(0),
        "step": np.array(1),
        "down": np.array([1]),
        "along": np.array([0]),
        "far": np.array(window or 0),
    }
    nodes: list[Any] = []

    def node(kind: str, inputs: list[str], output: str, **options: Any) -> str:
        nodes.append(helper.make_node(kind, inputs, [output], **options))
        return output

    node("Gather", ["table", "input_ids"], "x")
    for part, order in (("q", (0, 2, 1, 3)), ("k", (0, 2, 3, 1)), ("v", (0, 2, 1, 3))):
        product = node("MatMul", ["x", f"w_{part}"], f"{part}_product")
        if part == "q" and adapter:
            product = node("Add", [product, node("MatMul", ["x", "w_a"], "adapted")], "q_sum")
        node("Transpose", [node("Reshape", [product, "by_heads"], f"{part}_4d")], f"{part}_heads", perm=order)
    node("Cast", ["attention_mask"], "seen", to=TensorProto.FLOAT)
    node("Mul", [node("Sub", ["one", "seen"], "unseen"), "lowest"], "row_mask")
    mask = node("Unsqueeze", ["row_mask", "inner"], "mask")
    if window is not None:
        node("Squeeze", [node("Shape", ["input_ids"], "length", start=1, end=2)], "tokens")
        node("Range", ["zero", "tokens", "step"], "places")
        rows, columns = (node("Unsqueeze", ["places", axis], f"places_{axis}") for axis in ("down", "along"))
        node("Abs", [node("Sub", [rows, columns], "offset")], "distance")
        node("Cast", [node("Greater", ["distance", "far"], "outside")], "outside_float", to=TensorProto.FLOAT)
        local = node("Mul", ["outside_float", "lowest"], "local")
        mask = node("Max", [node("Add", [mask, local], "both"), "lowest"], "mask_of_both")
    node("Mul", [node("MatMul", ["q_heads", "k_heads"], "products"), "scale"], "scaled")
    node("Softmax", [node("Add", ["scaled", mask], "scores")], "shares", axis=-1)
    node("Transpose", [node("MatMul", ["shares", "v_heads"], "heads")], "turned", perm=(0, 2, 1, 3))
    joined = node("Reshape", ["turned", "joined_shape"], "joined")
    node("Gather", [joined, "first"], "logits", axis=1)
    graph = helper.make_graph(
        nodes,
        "encoder",
        [
            helper.make_tensor_value_info(name, TensorProto.INT64, ["rows", "tokens"])
            for name in ("input_ids", "attention_mask")
        ],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["rows", WIDTH])],
        [numpy_helper.from_array(values, name) for name, values in tensors.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def answers(proto: Any, tokens: int) -> Any:
    generator = np.random.default_rng(1)
    mask = np.ones((3, tokens), np.int64)
    mask[1, tokens // 2 :] = 0
    batch = {"input_ids": generator.integers(0, 50, mask.shape), "attention_mask": mask}
    session = InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    kinds = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}
    return session.run(
        None, {entry.name: batch[entry.name].astype(kinds[entry.type]) for entry in session.get_inputs()}
    )[0]


def fused(proto: Any) -> tuple[Any, int]:
    graph = copy.deepcopy(proto)
    return graph, fuse(graph)[1]


def test_attention_over_padding_becomes_an_op_of_the_first_token() -> None:
    graph, narrowed = fused(encoder())
    assert count_node_kinds(graph)["MultiHeadAttention"] == 1
    assert narrowed > 0
    np.testing.assert_allclose(answers(graph, 300), answers(encoder(), 300), atol=1e-5)


@pytest.mark.parametrize("tokens", [4, 300])
def test_a_window_of_local_attention_is_not_taken_for_padding(tokens: int) -> None:
    local = encoder(window=100)
    graph, narrowed = fused(local)
    assert count_node_kinds(graph)["MultiHeadAttention"] == 1
    assert narrowed == 0  # its mask has a place for each query
    np.testing.assert_allclose(answers(graph, tokens), answers(local, tokens), atol=1e-5)


def test_a_query_that_is_the_sum_of_two_products_keeps_both() -> None:
    adapted = encoder(adapter=True)
    graph, _ = fused(adapted)
    assert count_node_kinds(graph)["MultiHeadAttention"] == 0
    np.testing.assert_allclose(answers(graph, 7), answers(adapted, 7), atol=1e-5)

"""Computes only the first token in the part of an ONNX graph from which only the first token is read.

A head that reads the first token's vector ([CLS]; Devlin et al. 2019, section 3) does not read the last
block's other vectors. For the other tokens the block needs keys and values, but no query, no FFN, no layer
norm. The graph of a whole network computes all of them. Here the choice of the first token moves from the end
of the block to its beginning. PoWER-BERT (Goyal et al. 2020) leaves out tokens too; here no answer changes.

It must run before quantization: a scale over a whole tensor differs from a scale over its first token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from slimgate.steps.convert._onnx_graph import GraphIndex

if TYPE_CHECKING:
    import onnx

# Operators that make a token's vector from vectors of the same token only, with their vector inputs.
BY_TOKEN = {
    "Add": (0, 1),
    "BiasGelu": (0,),
    "Cast": (0,),
    "Div": (0, 1),
    "Erf": (0,),
    "FastGelu": (0,),
    "Gelu": (0,),
    "Identity": (0,),
    "LayerNormalization": (0,),
    "MatMul": (0,),
    "Mul": (0, 1),
    "Relu": (0,),
    "SkipLayerNormalization": (0, 1),
    "Sub": (0, 1),
    "Tanh": (0,),
}
# In attention only the query: keys and values are needed for all tokens.
QUERY = (0,)
# From this number on, its inputs have a position for each query, such as (rows, heads, queries, keys).
BIAS_OF_PAIRS = 5


def keep_first_token(graph: GraphIndex) -> int:
    """Rewrites the graph in place; returns how many operators now compute one token instead of all.

    0 if the answer reads more than the first token, or attention is not one operator.
    """
    moved_nodes = 0
    for choice in [node for node in graph.proto.graph.node if _is_first_token_choice(graph, node)]:
        moved = _list_exclusive_nodes(graph, choice)
        if any(node.op_type == "MultiHeadAttention" for node in moved):
            _choose_before(graph, moved)
            moved_nodes += len(moved)
    if moved_nodes:
        del graph.proto.graph.value_info[:]  # these shapes are for all tokens
    return moved_nodes


def _is_first_token_choice(graph: GraphIndex, node: onnx.NodeProto) -> bool:
    """(rows, tokens, features) -> (rows, features) of the first token."""
    if node.op_type != "Gather" or next((a.i for a in node.attribute if a.name == "axis"), 0) != 1:
        return False
    index = graph.read_value(node.input[1])
    return index is not None and index.ndim == 0 and int(index) == 0


def _list_exclusive_nodes(graph: GraphIndex, choice: onnx.NodeProto) -> list[onnx.NodeProto]:
    """The operators whose outputs only the choice reads, directly or through each other; last first."""
    needed = {choice.input[0]}
    nodes: list[Any] = []
    for node in reversed(graph.proto.graph.node):
        if not needed & set(node.output) or not _can_move(graph, node):
            continue
        readers = [reader for name in node.output for reader in graph.list_readers(name)]
        inside = all(any(reader is node for node in (choice, *nodes)) for reader in readers)
        if not inside or any(graph.is_output(name) for name in node.output):
            continue
        if not any(set(node.output) & set(_list_other_inputs(reader)) for reader in readers):
            nodes.append(node)
            needed |= {node.input[i] for i in _list_vector_inputs(node) if i < len(node.input)}
    return nodes


def _can_move(graph: GraphIndex, node: onnx.NodeProto) -> bool:
    if node.op_type == "MatMul":
        weight = graph.read_value(node.input[1])
        return weight is not None and weight.ndim == 2
    if node.op_type == "LayerNormalization":
        return next((int(a.i) for a in node.attribute if a.name == "axis"), -1) == -1
    if node.op_type == "MultiHeadAttention":
        return not any(node.input[BIAS_OF_PAIRS:])
    return node.op_type in BY_TOKEN


def _list_vector_inputs(node: onnx.NodeProto) -> tuple[int, ...]:
    """Which inputs of an operator are tokens' vectors that may be reduced to the first token's."""
    return QUERY if node.op_type in ("Gather", "MultiHeadAttention") else BY_TOKEN[node.op_type]


def _list_other_inputs(node: onnx.NodeProto) -> list[str]:
    """The inputs of an operator that are no tokens' vectors."""
    vectors = _list_vector_inputs(node)
    return [name for i, name in enumerate(node.input) if i not in vectors]


def _choose_before(graph: GraphIndex, moved: list[onnx.NodeProto]) -> None:
    """Chooses the first token, as (rows, 1, features), in the inputs that the moved operators read."""
    from onnx import helper

    inside = {name for node in moved for name in node.output}
    for node in reversed(moved):
        for i in _list_vector_inputs(node):
            name = node.input[i] if i < len(node.input) else ""
            if not name or name in inside or graph.read_value(name) is not None:
                continue
            chosen = f"{name}_first"
            if graph.find_maker(chosen, "Gather") is None:
                if graph.read_value("first_token") is None:
                    graph.add_constant("first_token", np.array([0], dtype=np.int64))
                gather = helper.make_node("Gather", [name, "first_token"], [chosen], axis=1)
                graph.insert(gather, graph.find_position(node))
            node.input[i] = chosen

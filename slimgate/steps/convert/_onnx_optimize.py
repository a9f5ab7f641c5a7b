"""Fuses attention and embeddings of an exported encoder into one operator each, of ONNX Runtime's own kinds.

    fused, narrowed = fuse(proto)        # {"MultiHeadAttention": 6, "EmbedLayerNormalization": 1, …}, 13

onnxruntime.transformers knows the graphs of older exporters. In current PyTorch graphs it joins layer norms
with the preceding sums, and GELU with its bias, but finds neither attention nor embeddings. So this module
finds these two by what the nodes compute. Attention over padding gets the mask that the tokenizer made, if
running the graph's own mask on probes shows that it is the same; any other mask is added unchanged.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from slimgate._system.quiet import silent
from slimgate.steps.convert._onnx_first_token import keep_first_token
from slimgate.steps.convert._onnx_graph import (
    GraphIndex,
    Values,
    count_node_kinds,
    list_inputs,
    read_attributes,
    remove_unread_nodes,
)

if TYPE_CHECKING:
    import onnx

MASK = "attention_mask"
# Inputs that ONNX Runtime reads as int32, so that no cast is needed after them.
READ_AS_INT32 = frozenset({"Cast", "Shape", "Gather", "MultiHeadAttention", "EmbedLayerNormalization"})
FUSED = (
    "MultiHeadAttention",
    "EmbedLayerNormalization",
    "SkipLayerNormalization",
    "BiasGelu",
    "FastGelu",
)
# Longer than the windows of local attention.
LONG_PROBE = 1024
Gelu = Literal["exact", "tanh"]


def fuse(
    proto: onnx.ModelProto,
    *,
    attention: bool = True,
    embeddings: bool = True,
    first_token: bool = True,
    layer_norms: bool = False,
    gelu: Gelu = "exact",
) -> tuple[dict[str, int], int]:
    """Rewrites a graph in place.

    Returns how many operators of each fused kind it has now, and how many compute only the first token.
    """
    if attention:
        graph = GraphIndex(proto)
        padding: dict[str, bool] = {}
        for softmax in [node for node in proto.graph.node if node.op_type == "Softmax"]:
            _fuse_attention(graph, softmax, padding)
        remove_unread_nodes(proto)
    if embeddings:
        _fuse_embeddings(GraphIndex(proto))
        remove_unread_nodes(proto)
    narrowed = keep_first_token(GraphIndex(proto)) if first_token else 0
    if layer_norms:
        _fuse_by_library(proto)
    if gelu == "tanh":
        _approximate_gelu(proto)
    _narrow_inputs_to_int32(GraphIndex(proto))
    remove_unread_nodes(proto)
    counted = count_node_kinds(proto)
    return {kind: counted[kind] for kind in FUSED if counted[kind]}, narrowed


def _approximate_gelu(proto: onnx.ModelProto) -> None:
    from onnx import helper

    for node in proto.graph.node:
        if node.op_type == "BiasGelu":
            node.op_type = "FastGelu"
        elif node.op_type == "Gelu":
            del node.attribute[:]
            node.attribute.append(helper.make_attribute("approximate", "tanh"))


def _fuse_by_library(proto: onnx.ModelProto) -> None:
    """Fuses skip connections with layer norms, and GELU with its bias. Attention would need head counts."""
    from onnxruntime.transformers import optimizer
    from onnxruntime.transformers.fusion_options import FusionOptions

    options = FusionOptions("bert")
    options.enable_attention = options.enable_embed_layer_norm = False
    with silent():
        optimized = optimizer.optimize_model(proto, "bert", opt_level=0, optimization_options=options)
    proto.CopyFrom(optimized.model)


@dataclass(frozen=True)
class _Linear:
    """y = x W + b: the names of x and of x W; W (in, out), b (out,)."""

    source: str
    product: str
    weight: Values
    bias: Values


def _find_linear(graph: GraphIndex, name: str) -> _Linear | None:
    bias = None
    if (add := graph.find_maker(name, "Add")) is not None:
        fixed = [graph.read_value(entry) for entry in add.input]
        place = 0 if fixed[0] is not None else 1
        bias, name = fixed[place], add.input[1 - place]
        if bias is None:  # a sum of two computed values, such as the sum with an adapter's output
            return None
    product = graph.find_maker(name, "MatMul")
    weight = None if product is None else graph.read_value(product.input[1])
    if weight is None or weight.ndim != 2 or (bias is not None and bias.shape != weight.shape[1:]):
        return None
    return _Linear(
        product.input[0],
        product.output[0],
        weight,
        np.zeros(weight.shape[1], weight.dtype) if bias is None else bias,
    )


def _find_heads(graph: GraphIndex, name: str, order: tuple[int, ...]) -> tuple[_Linear, int] | None:
    """The linear layer before a value that is its output split by heads, and the numbers per head."""
    turned = graph.find_maker(name, "Transpose")
    if turned is None or tuple(read_attributes(turned)["perm"]) != order:
        return None
    shaped = graph.find_maker(turned.input[0], "Reshape")
    linear = None if shaped is None else _find_linear(graph, shaped.input[0])
    size = None if shaped is None else _find_last_size(graph, shaped.input[1])
    return None if linear is None or size is None or linear.weight.shape[1] % size else (linear, size)


def _find_last_size(graph: GraphIndex, shape: str) -> int | None:
    """The last number of a shape, if it is fixed."""
    joined = graph.find_maker(shape, "Concat")
    values = graph.read_value(shape if joined is None else joined.input[-1])
    return None if values is None or values.size == 0 or values.flat[-1] < 1 else int(values.flat[-1])


def _find_factor(graph: GraphIndex, node: onnx.NodeProto) -> tuple[str, float] | None:
    """The value that a node multiplies, and the fixed factor."""
    for place in (0, 1) if node.op_type == "Mul" else (1,):
        values = graph.read_value(node.input[place])
        if values is not None and values.size == 1:
            number = float(values.reshape(-1)[0])
            return node.input[1 - place], number if node.op_type == "Mul" else 1 / number
    return None


def _fuse_attention(graph: GraphIndex, softmax: onnx.NodeProto, padding: dict[str, bool]) -> None:
    """Replaces the nodes around a softmax by MultiHeadAttention, if they are self-attention.

    padding: results of `_is_padding` by mask, which it extends.
    """
    weighted = graph.find_only_reader(softmax.output[0], "MatMul")
    turned = None if weighted is None else graph.find_only_reader(weighted.output[0], "Transpose")
    joined = None if turned is None else graph.find_only_reader(turned.output[0], "Reshape")
    if joined is None or tuple(read_attributes(turned)["perm"]) != (0, 2, 1, 3):
        return
    scores = _find_scores(graph, softmax)
    projections = None if scores is None else _find_projections(graph, scores.product, weighted)
    if scores is None or projections is None:
        return
    layers, heads = projections
    name, mask = joined.output[0], scores.mask
    if mask and mask not in padding:
        padding[mask] = _is_padding(graph, mask)
    biases = np.concatenate([layer.bias for layer in layers])
    inputs = [*(layer.product for layer in layers), graph.add_constant(f"{name}_qkv_bias", biases)]
    if mask:
        inputs += [graph.cast_to_int32(MASK)] if padding[mask] else ["", mask]
    graph.put("MultiHeadAttention", inputs, [name], before=joined, num_heads=heads, scale=scores.scale)
    graph.remove(joined)


@dataclass(frozen=True)
class _Scores:
    """Attention's scores: scale · product + mask. product: a MatMul; mask: a name, "" for none."""

    product: Any
    mask: str
    scale: float


def _find_scores(graph: GraphIndex, softmax: onnx.NodeProto) -> _Scores | None:
    if read_attributes(softmax).get("axis", -1) not in (-1, 3):
        return None
    scores, mask, scale = softmax.input[0], "", 1.0
    if (added := graph.find_maker(scores, "Add")) is not None:
        scores, mask = added.input
        if graph.find_maker(scores, "Mul", "Div", "MatMul") is None:
            scores, mask = mask, scores
    if (scaled := graph.find_maker(scores, "Mul", "Div")) is not None:
        scalar = _find_factor(graph, scaled)
        if scalar is None:
            return None
        scores, scale = scalar
    product = graph.find_maker(scores, "MatMul")
    return None if product is None else _Scores(product, mask, scale)


def _find_projections(
    graph: GraphIndex, product: onnx.NodeProto, weighted: onnx.NodeProto
) -> tuple[list[_Linear], int] | None:
    """The linear layers of queries, keys and values, and the number of heads.

    product: queries by keys; weighted: weights by values. None if the layers differ in input or width.
    """
    parts = [
        _find_heads(graph, product.input[0], (0, 2, 1, 3)),
        _find_heads(graph, product.input[1], (0, 2, 3, 1)),
        _find_heads(graph, weighted.input[1], (0, 2, 1, 3)),
    ]
    layers = [part[0] for part in parts if part is not None]
    widths = {layer.weight.shape[1] for layer in layers}
    if len(layers) < 3 or len({layer.source for layer in layers}) > 1 or len(widths) > 1:
        return None
    return layers, widths.pop() // parts[0][1]  # type: ignore[index]


def _is_padding(graph: GraphIndex, mask: str) -> bool:
    """Whether a mask is 0 where the tokenizer's is 1, equally for every query, and far below 0 elsewhere.

    It is checked on texts of five tokens and on long ones, which would reveal a window around each token.
    """
    from onnx import TensorProto, helper
    from onnxruntime import InferenceSession

    ancestors = graph.list_ancestors(mask)
    read = {name for node in ancestors for name in list_inputs(node)}
    inputs = [graph_input for graph_input in graph.proto.graph.input if graph_input.name in read]
    if MASK not in {graph_input.name for graph_input in inputs}:
        return False
    probe = copy.deepcopy(graph.proto)
    del probe.graph.node[:], probe.graph.output[:], probe.graph.input[:]
    probe.graph.node.extend(ancestors)
    probe.graph.input.extend(inputs)
    probe.graph.output.append(helper.make_tensor_value_info(mask, TensorProto.FLOAT, None))
    remove_unread_nodes(probe)
    session = InferenceSession(probe.SerializeToString(), providers=["CPUExecutionProvider"])
    short = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [0, 0, 1, 1, 1], [1, 0, 1, 0, 1]], dtype=np.int64)
    long = np.ones((2, LONG_PROBE), dtype=np.int64)
    long[1, -LONG_PROBE // 3 :] = 0
    for feed_mask in (short, long):
        feed = {
            graph_input.name: feed_mask if graph_input.name == MASK else np.ones_like(feed_mask)
            for graph_input in inputs
        }
        try:
            values = np.asarray(session.run(None, feed)[0])
        except Exception:  # a graph for fewer tokens; its errors have no common base
            return False
        rows, tokens = feed_mask.shape
        values = np.broadcast_to(values, (rows, 1, tokens, tokens))
        seen = np.broadcast_to(feed_mask[:, None, None, :], values.shape) == 1
        if not ((values[seen] == 0).all() and (values[~seen] < -1e4).all()):
            return False
    return True


def _fuse_embeddings(graph: GraphIndex) -> None:
    """Fuses tables of tokens, of types and of positions 0, 1, 2 … that are added, then normalised."""
    for norm in [node for node in graph.proto.graph.node if node.op_type == "LayerNormalization"]:
        outer = graph.find_maker(norm.input[0], "Add")
        inner = None if outer is None else graph.find_maker(outer.input[0], "Add")
        if inner is None:
            continue
        looked_up = [graph.find_maker(name, "Gather") for name in (*inner.input, outer.input[1])]
        if any(node is None or graph.read_value(node.input[0]) is None for node in looked_up):
            continue
        words, types, places = looked_up
        inputs = {graph_input.name for graph_input in graph.proto.graph.input}
        if not {words.input[1], types.input[1]} <= inputs or not _is_counting_up(graph, places.input[1]):
            continue
        casts = [graph.cast_to_int32(node.input[1]) for node in (words, types)]
        tables = [node.input[0] for node in (words, places, types)]
        graph.put(
            "EmbedLayerNormalization",
            [*casts, *tables, *norm.input[1:3]],
            [norm.output[0], f"{norm.output[0]}_mask"],
            before=norm,
            epsilon=read_attributes(norm)["epsilon"],
        )
        graph.remove(norm)


def _is_counting_up(graph: GraphIndex, positions: str) -> bool:
    """Whether positions are 0, 1, 2 … up to the number of tokens: a slice from 0 of a fixed row of them."""
    cut = graph.find_maker(positions, "Slice")
    row = None if cut is None else graph.read_value(cut.input[0])
    if row is None or not np.array_equal(row.reshape(-1), np.arange(row.size)):
        return False
    start = graph.read_value(cut.input[1])
    length = graph.find_maker(cut.input[2], "Shape")
    return bool(
        start is not None and not start.any() and length is not None and read_attributes(length)["start"] == 1
    )


def _narrow_inputs_to_int32(graph: GraphIndex) -> None:
    """Makes those int64 inputs int32 of which each reader casts to int32, or takes any integer."""
    from onnx import TensorProto

    for graph_input in graph.proto.graph.input:
        kind = graph_input.type.tensor_type
        if kind.elem_type != TensorProto.INT64:
            continue
        readers = graph.list_readers(graph_input.name)
        if not readers or not all(_can_take_int32(graph, node) for node in readers):
            continue
        kind.elem_type = TensorProto.INT32
        for node in readers:
            if node.op_type == "Cast" and read_attributes(node)["to"] == TensorProto.INT32:
                for reader in graph.list_readers(node.output[0]):
                    reader.input[:] = [graph_input.name if n == node.output[0] else n for n in reader.input]
    remove_unread_nodes(graph.proto)


def _can_take_int32(graph: GraphIndex, node: onnx.NodeProto) -> bool:
    if node.op_type == "Unsqueeze":  # it returns the type of its input
        return all(reader.op_type == "Cast" for reader in graph.list_readers(node.output[0]))
    return node.op_type in READ_AS_INT32

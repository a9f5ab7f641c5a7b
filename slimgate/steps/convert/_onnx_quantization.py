"""Shared code of steps that quantize an ONNX graph: which matrix products they change, and their checks.

    work = Quantizing.start(model, context, output_layer=False)
    ... quantize work.proto, the nodes work.products ...
    return work.finish(proto, tolerance=1.0)

It also quantizes the token tables of an ONNX graph to int8.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from slimgate._system.processor import has_saturating_sums, list_cpu_instructions
from slimgate.errors import BuildError
from slimgate.models.onnx_model import OnnxModel
from slimgate.plugins.context import BuildContext
from slimgate.steps.agreement import AnswersBefore
from slimgate.steps.convert._onnx_graph import (
    Graph,
    count_node_kinds,
    list_weighted_nodes,
    read_attributes,
    remove_unread_initializers,
)

if TYPE_CHECKING:
    import onnx
    from transformers import PreTrainedConfig

# Kinds of nodes that quantization adds to a graph.
_QUANTIZED_KINDS = (
    "MatMulInteger",
    "MatMulIntegerToFloat",
    "DynamicQuantizeMatMul",
    "QLinearMatMul",
    "MatMulNBits",
    "QuantizeLinear",
)
# Operators that cut token ids, or compute the buckets of bigrams from them. Positions come from Shape or
# CumSum.
_ID_OPERATORS = frozenset(
    {"Add", "Cast", "Concat", "Gather", "Mod", "Mul", "Reshape", "Slice", "Squeeze", "Unsqueeze", "Where"}
)
_IDS = "input_ids"


def list_token_tables(proto: onnx.ModelProto) -> list[str]:
    """The names of nodes that look up token tables: fixed tables, indexed by values made from the token ids.

    These are the tables of tokens and of their bigrams; a table of one column holds numbers, not vectors. If
    none is found through the ids, it is the largest table that is looked up. Tables of positions and token
    types stay unchanged, because they are small. Raises BuildError if there is no float table.
    """
    graph, tables = Graph(proto), dict[str, tuple[int, str]]()
    by_ids = set()
    for node in proto.graph.node:
        if node.op_type in ("Gather", "EmbedLayerNormalization"):
            table, ids = (2, 0) if node.op_type == "EmbedLayerNormalization" else (0, 1)
            name = node.input[table]
            values = graph.read_value(name)
            if values is not None and values.ndim == 2 and values.dtype.kind == "f":
                tables[name] = max(tables.get(name, (0, "")), (values.size, node.name))
                if values.shape[1] > 1 and _is_made_from_ids(graph, node.input[ids]):
                    by_ids.add(name)
    if not tables:
        raise BuildError("the graph has no float token table; set embeddings = false")
    if not by_ids:
        return [max(tables.values())[1]]
    return sorted(tables[name][1] for name in by_ids)


def _is_made_from_ids(graph: Graph, name: str) -> bool:
    """Whether only _ID_OPERATORS make a value from the token ids, so that it indexes a token table."""
    seen, todo = set[str](), [name]
    while todo:
        if (source := todo.pop()) == _IDS:
            return True
        node = graph.find_maker(source, *_ID_OPERATORS)
        if source not in seen and node is not None:
            todo += node.input[1:] if node.op_type == "Where" else node.input
        seen.add(source)
    return False


def quantize_tables(work: Quantizing) -> onnx.ModelProto:
    """The graph of `work` with int8 token tables, one scale for each table; its products do not change."""
    from onnx import TensorProto
    from onnxruntime.quantization import QuantType, quantize_dynamic

    from slimgate._system.quiet import silent

    with silent():
        quantize_dynamic(
            work.proto,
            work.scratch,
            op_types_to_quantize=["Gather", "EmbedLayerNormalization"],
            nodes_to_quantize=list_token_tables(work.proto),
            weight_type=QuantType.QUInt8,
            extra_options={"DefaultTensorType": TensorProto.FLOAT},
        )
    return work.read()


@dataclass
class Quantizing:
    """A copy of the model's graph that is being quantized.

    products: names of the MatMul nodes to quantize, which have a float matrix.
    """

    model: OnnxModel
    context: BuildContext
    proto: onnx.ModelProto
    products: list[str]
    before: AnswersBefore

    @classmethod
    def start(
        cls, model: OnnxModel, context: BuildContext, *, output_layer: bool, embeddings: bool = False
    ) -> Quantizing:
        """Starts on a copy. Raises BuildError if it has no float product and no table is to be quantized."""
        proto = copy.deepcopy(model.proto)
        del proto.graph.value_info[:]  # the exporter's shapes, which conflict with shape inference
        split_gemms_(proto)
        name_nodes_(proto)
        last = None if output_layer else find_output_product(proto, model.config)
        float_products = [
            node.name
            for node, values in list_weighted_nodes(Graph(proto), "MatMul")
            if values.dtype.kind == "f"
        ]
        products = [name for name in float_products if name != last]
        if not products and not embeddings:
            if float_products:
                raise BuildError(
                    "the only MatMul with float weights is the output layer; set output_layer = true"
                )
            integers = [
                f"{count} {kind}"
                for kind, count in count_node_kinds(proto).items()
                if kind in _QUANTIZED_KINDS
            ]
            only = f", only {', '.join(integers)}" if integers else ""
            raise BuildError(f"the graph has no MatMul with float weights{only}")
        return cls(model, context, proto, products, AnswersBefore(model, context))

    @property
    def scratch(self) -> Path:
        """The file into which a quantizer writes its result."""
        return Path(self.context.scratch) / "quantized.onnx"

    def read(self) -> Any:
        """Reads the result of a quantizer."""
        import onnx

        return onnx.load_model(self.scratch)

    def finish(self, proto: onnx.ModelProto, *, tolerance: float, reduce_range: bool = True) -> OnnxModel:
        """The quantized model. Raises BuildError if its answers differ by more than the tolerance.

        reduce_range: whether sums of int8 products cannot saturate. If False, the error names saturation as a
        possible cause.
        """
        del proto.graph.value_info[:]
        quantized = OnnxModel(proto, self.model.tokenizer, self.model.config, self.model.kind)
        try:
            self.before.check(quantized, tolerance=tolerance)
        except BuildError as error:
            if reduce_range or not has_saturating_sums(list_cpu_instructions()):
                raise
            hint = (
                "this processor has no VNNI, so sums of int8 products may saturate: try reduce_range = true"
            )
            raise BuildError(f"{error}; {hint}") from error
        self.context.log.update(products=len(self.products))
        return quantized


def split_gemms_(proto: onnx.ModelProto) -> None:
    """Replaces each Gemm by MatMul and Add, because quantizers support these better."""
    from onnx import helper

    graph = Graph(proto)
    for node in [node for node in proto.graph.node if node.op_type == "Gemm"]:
        options, weight = read_attributes(node), graph.read_value(node.input[1])
        plain = options.get("alpha", 1.0) == options.get("beta", 1.0) == 1.0 and not options.get("transA", 0)
        if weight is None or not plain:
            continue
        matrix = graph.add_constant(
            f"{node.output[0]}_matrix", weight.T if options.get("transB", 0) else weight
        )
        has_bias = len(node.input) > 2 and bool(node.input[2])
        product = f"{node.output[0]}_product" if has_bias else node.output[0]
        new = [helper.make_node("MatMul", [node.input[0], matrix], [product], name=f"{product}_node")]
        if has_bias:
            new.append(helper.make_node("Add", [product, node.input[2]], [node.output[0]]))
        place = list(proto.graph.node).index(node)
        for replacement in new[::-1]:
            proto.graph.node.insert(place, replacement)
        proto.graph.node.remove(node)
    remove_unread_initializers(proto)


def name_nodes_(proto: onnx.ModelProto) -> None:
    """Gives each node a unique name, because quantizers refer to nodes by name."""
    seen: set[str] = set()
    for number, node in enumerate(proto.graph.node):
        if not node.name or node.name in seen:
            node.name = f"{node.op_type}_{number}"
        seen.add(node.name)


def find_output_product(proto: onnx.ModelProto, config: PreTrainedConfig) -> str | None:
    """The node that gives the answers: the last product, if it has an output for each label or token."""
    widths = {getattr(config, "num_labels", None), getattr(config, "vocab_size", None)}
    products = [
        (node.name, np.shape(values)[-1]) for node, values in list_weighted_nodes(Graph(proto), "MatMul")
    ]
    return products[-1][0] if products and products[-1][1] in widths else None

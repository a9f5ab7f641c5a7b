"""Shared code of steps that quantize an ONNX graph: which matrix products they change, and their checks.

    work = Quantizing.start(model, context, output_layer=False)
    ... quantize work.proto, the nodes work.products ...
    return work.finish(proto, tolerance=1.0)

It also quantizes the token tables of an ONNX graph to int8.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from slimgate._system.processor import has_saturating_sums, list_cpu_instructions
from slimgate.errors import BuildError
from slimgate.models.onnx_model import OnnxModel
from slimgate.plugins.base import Arrays
from slimgate.plugins.context import BuildContext
from slimgate.steps.agreement import AnswersBefore
from slimgate.steps.convert._onnx_graph import (
    GraphIndex,
    Values,
    count_node_kinds,
    list_weighted_nodes,
    read_attributes,
    remove_unread_initializers,
    remove_unread_nodes,
)
from slimgate.steps.observers import BINS, PERCENTILE, Histogram, ObserverParams, observe

if TYPE_CHECKING:
    import onnx
    from transformers import PreTrainedConfig

    from slimgate.plugins.context import BuildContext


Ranges = dict[str, tuple[float, float]]
LEVELS = 255


def compute_value_ranges(
    model: OnnxModel,
    proto: onnx.ModelProto,
    names: Sequence[str],
    batches: Sequence[Arrays],
    context: BuildContext,
    params: ObserverParams,
) -> Ranges:
    """(low, high) of each named value of the graph, with 0 inside.

    Values of padding do not count, except those that an expert of a mixture receives.
    """
    if not names:
        return {}
    ends = dict.fromkeys(names, (0.0, 0.0))
    for name, values in _iter_tensor_values(model, proto, names, batches, context):
        low, high = ends[name]
        ends[name] = min(low, float(values.min())), max(high, float(values.max()))
    if params.observer == "minmax":
        return ends
    counts = {name: np.zeros(BINS) for name in names}
    for name, values in _iter_tensor_values(model, proto, names, batches, context):
        if ends[name][1] > ends[name][0]:
            counts[name] += np.histogram(values, BINS, ends[name])[0]
    ranges = {}
    for name in names:
        histogram = Histogram(counts[name], *ends[name])
        low, high = observe(params.observer, histogram, percentile=params.percentile or PERCENTILE)
        ranges[name] = min(low, 0.0), max(high, 0.0)
    return ranges


def _iter_tensor_values(
    model: OnnxModel,
    proto: onnx.ModelProto,
    names: Sequence[str],
    batches: Sequence[Arrays],
    context: BuildContext,
) -> Iterator[tuple[str, Values]]:
    from onnx import TensorProto, helper

    from slimgate.runtimes.onnxruntime import Params, open_session

    watched = copy.deepcopy(proto)
    watched.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        for name in names
        if all(name != output.name for output in watched.graph.output)
    )
    watched_model = OnnxModel(watched, model.tokenizer, model.config)
    session_input = watched_model.find_session_input(Path(context.scratch) / "watched")
    session = open_session(session_input, Params(), device=context.device, threads=context.threads)
    types = {
        graph_input.name: helper.tensor_dtype_to_np_dtype(graph_input.type.tensor_type.elem_type)
        for graph_input in proto.graph.input
    }
    for batch in batches:
        feed = {name: batch[name].astype(kind) for name, kind in types.items()}
        mask = batch.get("attention_mask")
        for name, values in zip(names, session.run(list(names), feed), strict=True):
            yield name, values if mask is None else _remove_padding(values, mask.astype(bool))


def _remove_padding(values: npt.NDArray[Any], real: npt.NDArray[np.bool_]) -> npt.NDArray[Any]:
    """(rows, tokens, features) or (rows · tokens, features) -> (real tokens, features); others unchanged."""
    if values.shape[:-1] == real.shape:
        return values[real]
    return values[real.ravel()] if values.ndim == 2 and len(values) == real.size else values


def quantize_products_(graph: GraphIndex, products: Collection[str], ranges: Ranges, *, limit: int) -> None:
    """Rewrites the named products. ranges: of the values they read; limit: the largest weight level.

    A product that already reads a quantized value of another product reads the same one.
    """
    from onnx import helper

    quantized: dict[str, list[str]] = {}
    for node in [node for node in graph.proto.graph.node if node.name in products]:
        source, weight = node.input
        if source not in quantized:
            names = _add_activation_constants(graph, source, *ranges[source])
            quantizer = helper.make_node("QuantizeLinear", [source, *names], [f"{source}_quantized"])
            graph.insert(quantizer, list(graph.proto.graph.node).index(node))
            quantized[source] = names
        scale, zero = quantized[source]
        levels = _add_weight_levels(graph, weight, limit)
        output, last, bias = node.output[0], node, ""
        added = graph.find_only_reader(output, "Add")
        for name in () if added is None else added.input:
            values = graph.read_value(name)
            if values is not None and values.ndim == 1:
                output, last, bias = added.output[0], added, name
        inputs = [f"{source}_quantized", levels, scale, f"{weight}_scale", zero, "", bias]
        graph.put("MatMulIntegerToFloat", inputs, [output], before=last)
        graph.remove(*({id(replaced): replaced for replaced in (node, last)}.values()))
    remove_unread_nodes(graph.proto)


def _add_activation_constants(graph: GraphIndex, name: str, low: float, high: float) -> list[str]:
    scale = max((high - low) / LEVELS, float(np.finfo(np.float32).tiny))
    zero = round(min(max(-low / scale, 0), LEVELS))
    return [
        graph.add_constant(f"{name}_scale", np.array(scale, np.float32)),
        graph.add_constant(f"{name}_zero_point", np.array(zero, np.uint8)),
    ]


def _add_weight_levels(graph: GraphIndex, name: str, limit: int) -> str:
    """Adds the levels of a matrix (in, out), with a scale for each output; returns their name."""
    levels = f"{name}_quantized"
    if graph.read_value(levels) is None:
        values: Values = graph.read_value(name)  # type: ignore[assignment]
        scale = np.maximum(np.abs(values).max(axis=0) / limit, np.finfo(np.float32).tiny).astype(np.float32)
        graph.add_constant(levels, np.clip(np.round(values / scale), -limit, limit).astype(np.int8))
        graph.add_constant(f"{name}_scale", scale)
    return levels


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
    graph, tables = GraphIndex(proto), dict[str, tuple[int, str]]()
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


def _is_made_from_ids(graph: GraphIndex, name: str) -> bool:
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
            for node, values in list_weighted_nodes(GraphIndex(proto), "MatMul")
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

    graph = GraphIndex(proto)
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
        (node.name, np.shape(values)[-1]) for node, values in list_weighted_nodes(GraphIndex(proto), "MatMul")
    ]
    return products[-1][0] if products and products[-1][1] in widths else None

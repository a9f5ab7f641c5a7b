"""Matrix products of an ONNX graph in static int8: the ranges of their inputs, and their operators.

y = x W + b becomes QuantizeLinear(x) and MatMulIntegerToFloat, which returns float32 directly. With pairs of
QuantizeLinear and DequantizeLinear, as onnxruntime.quantization writes them, ONNX Runtime would also round
the outputs to 8 bits, and it cannot combine such pairs with operators of its own kinds. The ranges come from
histograms on calibration rows.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from slimgate.models.onnx_model import OnnxModel
from slimgate.plugins.base import Arrays
from slimgate.steps.convert._onnx_graph import Graph, Values, remove_unread_nodes
from slimgate.steps.observers import BINS, PERCENTILE, Histogram, ObserverParams, observe

if TYPE_CHECKING:
    import onnx

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


def quantize_products_(graph: Graph, products: Collection[str], ranges: Ranges, *, limit: int) -> None:
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


def _add_activation_constants(graph: Graph, name: str, low: float, high: float) -> list[str]:
    scale = max((high - low) / LEVELS, float(np.finfo(np.float32).tiny))
    zero = round(min(max(-low / scale, 0), LEVELS))
    return [
        graph.add_constant(f"{name}_scale", np.array(scale, np.float32)),
        graph.add_constant(f"{name}_zero_point", np.array(zero, np.uint8)),
    ]


def _add_weight_levels(graph: Graph, name: str, limit: int) -> str:
    """Adds the levels of a matrix (in, out), with a scale for each output; returns their name."""
    levels = f"{name}_quantized"
    if graph.read_value(levels) is None:
        values: Values = graph.read_value(name)  # type: ignore[assignment]
        scale = np.maximum(np.abs(values).max(axis=0) / limit, np.finfo(np.float32).tiny).astype(np.float32)
        graph.add_constant(levels, np.clip(np.round(values / scale), -limit, limit).astype(np.int8))
        graph.add_constant(f"{name}_scale", scale)
    return levels

"""What the products of an ONNX graph receive on calibration rows: histograms, and ranges told from them."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from slimgate.compress.observers import BINS, Histogram, Observer, observe
from slimgate.models.onnx_model import OnnxModel
from slimgate.protocols import Arrays

Ranges = dict[str, tuple[float, float]]
Values = npt.NDArray[np.float32]


def value_ranges(
    model: OnnxModel,
    proto: Any,
    names: Sequence[str],
    batches: Sequence[Arrays],
    context: Any,
    *,
    observer: Observer,
    percentile: float,
) -> Ranges:
    """(low, high) of each named value of the graph, 0 within; what stands for padding does not count."""
    ends = dict.fromkeys(names, (0.0, 0.0))
    for name, values in _seen(model, proto, names, batches, context):
        low, high = ends[name]
        ends[name] = min(low, float(values.min())), max(high, float(values.max()))
    if observer == "minmax":
        return ends
    counts = {name: np.zeros(BINS) for name in names}
    for name, values in _seen(model, proto, names, batches, context):
        if ends[name][1] > ends[name][0]:
            counts[name] += np.histogram(values, BINS, ends[name])[0]
    found = {
        name: observe(observer, Histogram(counts[name], *ends[name]), percentile=percentile) for name in names
    }
    return {name: (min(low, 0.0), max(high, 0.0)) for name, (low, high) in found.items()}


def _seen(
    model: OnnxModel, proto: Any, names: Sequence[str], batches: Sequence[Arrays], context: Any
) -> Iterator[tuple[str, Values]]:
    from onnx import TensorProto, helper

    from slimgate.runtimes.onnxruntime import Params, open_session

    watched = copy.deepcopy(proto)
    watched.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        for name in names
        if all(name != known.name for known in watched.graph.output)
    )
    session = open_session(
        OnnxModel(watched, model.tokenizer, model.config).openable(Path(context.scratch) / "watched"),
        Params(),
        device=context.device,
        threads=context.threads,
    )
    types = {
        found.name: helper.tensor_dtype_to_np_dtype(found.type.tensor_type.elem_type)
        for found in proto.graph.input
    }
    for batch in batches:
        feed = {name: batch[name].astype(kind) for name, kind in types.items()}
        mask = batch.get("attention_mask")
        for name, values in zip(names, session.run(list(names), feed), strict=True):
            padded = mask is not None and values.ndim == 3 and values.shape[:2] == mask.shape
            yield name, values[mask.astype(bool)] if padded and mask is not None else values

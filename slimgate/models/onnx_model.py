"""An ONNX graph with its tokenizer: saved as one file and JSON, loaded again the same.

The folder of an artifact of kind onnx:

    model.onnx                   the graph with its weights; above 2 GB these are in model.onnx.data
    config.json  tokenizer files as transformers writes them
    slimgate.json                the kind

The graph's input names are those of the tokenizer, (rows, tokens) each; its one output is `logits`.

The module also counts the numbers in an ONNX graph: which are weights, and how many are not zero.

Weights are the graph's initializers, without integers for indices and shapes, without masks and single
numbers, and without the scales and zero points of quantized weights. Levels that are packed several to a byte
count separately.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from slimgate.errors import BuildError
from slimgate.models.graph import Graph
from slimgate.models.saved_files import load_companions

if TYPE_CHECKING:
    import onnx
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase

Values = npt.NDArray[Any]
# Endings of names that ONNX Runtime's quantizers give to the parts of a weight.
GRID_ENDS = ("_scale", "_scales", "_zero_point", "_zero_points", "_zp")
# Operators with packed weights: the inputs that hold their levels and their zero points.
PACKED = {"MatMulNBits": (1, 3), "GatherBlockQuantized": (0, 3)}
MODEL = "model.onnx"
DATA = "model.onnx.data"
KIND = "onnx"
# A protobuf message holds less than 2 GB.
MOST_INSIDE = 1_900_000_000


def read_tensor_values(tensor: onnx.TensorProto) -> Values:
    """The values of a TensorProto."""
    from onnx import numpy_helper

    values: Values = numpy_helper.to_array(tensor)
    return values


def count_initializer_bytes(proto: onnx.ModelProto) -> int:
    """The bytes of the initializers."""
    return sum(read_tensor_values(tensor).nbytes for tensor in proto.graph.initializer)


def measure_size(proto: onnx.ModelProto) -> dict[str, int]:
    """parameters and nonzero_parameters of a ModelProto; state_bytes, of all its initializers."""
    counts = list(list_weight_counts(proto))
    return {
        "parameters": sum(total for total, _ in counts),
        "nonzero_parameters": sum(nonzero for _, nonzero in counts),
        "state_bytes": count_initializer_bytes(proto),
    }


def list_weight_counts(proto: onnx.ModelProto) -> Iterator[tuple[int, int]]:
    """(numbers, numbers other than zero) of each weight."""
    tensors = {tensor.name: tensor for tensor in proto.graph.initializer}
    packed = {
        node.input[PACKED[node.op_type][0]]: node
        for node in proto.graph.node
        if node.op_type in PACKED and node.input[PACKED[node.op_type][0]] in tensors
    }
    grids = {node.input[i] for node in packed.values() for i in (2, 3) if len(node.input) > i}
    for name, tensor in tensors.items():
        if name in packed:
            yield _count_packed_numbers(packed[name], tensors)
        elif name not in grids and not name.endswith(GRID_ENDS):
            values = read_tensor_values(tensor)
            levels = values.dtype.kind != "b" and values.dtype.itemsize == 1 < values.size
            if (values.ndim and values.dtype.kind in "fV") or levels:
                zero = _read_zero_point(name, values, tensors)
                yield values.size, int(np.count_nonzero(values.astype(np.float32) - zero))


def _read_zero_point(name: str, values: Values, tensors: Mapping[str, onnx.TensorProto]) -> Values:
    """The level that means zero in a quantized weight; a number, or one per column."""
    point = tensors.get(name.removesuffix("_quantized") + "_zero_point")
    if not name.endswith("_quantized") or point is None:
        return np.float32(0)  # type: ignore[return-value]
    zero_point = read_tensor_values(point).astype(np.float32)
    if zero_point.ndim == 1 and zero_point.size > 1 and values.shape[-1] != zero_point.size:
        zero_point = zero_point.reshape(-1, *(1,) * (values.ndim - 1))
    return zero_point


def _count_packed_numbers(node: onnx.NodeProto, tensors: Mapping[str, onnx.TensorProto]) -> tuple[int, int]:
    options: dict[str, int] = {str(attribute.name): int(attribute.i) for attribute in node.attribute}
    bits = options.get("bits", 4)
    levels_at, zeros_at = PACKED[node.op_type]
    levels = read_tensor_values(tensors[node.input[levels_at]])
    # for a matrix product: (outputs, padded inputs)
    unpacked = _unpack_levels(levels.reshape(len(levels), -1), bits)
    rows, columns = len(levels), options["K"] if "K" in options else int(unpacked.shape[1])
    size = options["block_size"]
    blocks = -(-columns // size)
    zero: Values = np.full((rows, blocks), 1 << (bits - 1), dtype=np.int16)
    if len(node.input) > zeros_at and node.input[zeros_at]:
        points = read_tensor_values(tensors[node.input[zeros_at]]).reshape(rows, -1)
        zero = _unpack_levels(points, bits)[:, :blocks]
    nonzero = unpacked[:, :columns] != np.repeat(zero, size, axis=1)[:, :columns]
    return rows * columns, int(np.count_nonzero(nonzero))


def _unpack_levels(levels: Values, bits: int) -> Values:
    """(rows, bytes) -> (rows, levels): the first level of a byte is in its lowest bits."""
    if levels.dtype != np.uint8 or bits == 8:
        return levels.astype(np.int16)
    shifts = np.arange(0, 8, bits)
    levels_of_row: Values = (levels[..., None] >> shifts) & ((1 << bits) - 1)
    return levels_of_row.reshape(*levels.shape[:-1], -1).astype(np.int16)


@dataclass
class OnnxModel(Graph):
    """A graph that predicts, with everything that saving it needs. proto: onnx.ModelProto with weights."""

    proto: onnx.ModelProto
    tokenizer: PreTrainedTokenizerBase
    config: PreTrainedConfig
    kind: str = KIND

    def measure_size(self) -> dict[str, int]:
        """parameters, nonzero_parameters, state_bytes."""
        return measure_size(self.proto)

    def find_session_input(self, folder: Path) -> bytes | Path:
        """The input of a session: the graph's bytes, or a file in the folder if they are too many."""
        if count_initializer_bytes(self.proto) <= MOST_INSIDE:
            return bytes(self.proto.SerializeToString())
        _write_graph(self.proto, folder)
        return folder / MODEL

    def write(self, folder: Path) -> None:
        """Writes model.onnx. Raises BuildError for weights that are NaN or infinite."""
        for tensor in self.proto.graph.initializer:
            values = read_tensor_values(tensor)
            if values.dtype.kind == "f" and not np.isfinite(values).all():
                raise BuildError(f"weights are NaN or infinite after the step, first in {tensor.name}")
        _write_graph(self.proto, folder)


def _write_graph(proto: onnx.ModelProto, folder: Path) -> None:
    import onnx

    folder.mkdir(parents=True, exist_ok=True)
    if count_initializer_bytes(proto) <= MOST_INSIDE:
        onnx.save_model(proto, folder / MODEL)
        return
    copy = type(proto)()
    copy.CopyFrom(proto)  # saving empties the tensors that it moves to another file
    onnx.save_model(copy, folder / MODEL, save_as_external_data=True, location=DATA, size_threshold=1024)


def load_onnx_model(folder: Path) -> OnnxModel:
    """Loads what `OnnxModel.save` or `slimgate export` wrote.

    Raises BuildError if weights would be read from another folder.
    """
    return OnnxModel(proto=read_graph(folder), **load_companions(folder))


def read_graph(folder: Path) -> onnx.ModelProto:
    """The graph of a folder with its weights, including those in files next to it.

    Raises BuildError if a file of weights is missing or outside of the folder.
    """
    import onnx
    from onnx.external_data_helper import ExternalDataInfo, load_external_data_for_model, uses_external_data

    proto = onnx.load_model(folder / MODEL, load_external_data=False)
    root = folder.resolve()
    for tensor in proto.graph.initializer:
        if not uses_external_data(tensor):
            continue
        file = (folder / ExternalDataInfo(tensor).location).resolve()
        if not file.is_relative_to(root):
            raise BuildError(f"{folder / MODEL}: {tensor.name} is stored outside of the folder, in {file}")
        if not file.is_file():
            raise BuildError(f"{folder / MODEL}: {tensor.name} is stored in {file}, which does not exist")
    load_external_data_for_model(proto, str(folder))
    return proto

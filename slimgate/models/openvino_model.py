"""An OpenVINO graph with its tokenizer: saved as OpenVINO's two files and JSON, loaded again the same.

The folder of an artifact of kind openvino:

    model.xml  model.bin          the graph, and its weights
    config.json  tokenizer files  as transformers writes them
    slimgate.json                 the kind

The graph's input names are those of the tokenizer, (rows, tokens) each; its one output is `logits`.

A decoder with a key-value cache is an artifact of kind openvino_decoder (openvino_decoder.py). Its files are
decoder.xml and decoder.bin.

The module also counts the numbers in an OpenVINO graph: which are weights, and how many are not zero.

Weights are the graph's constants, without integers for indices and shapes, without single numbers, and
without the parameters of quantization: scales, zero points, the ranges of FakeQuantize. Levels that are
packed two to a byte count separately.
"""

from __future__ import annotations

import logging
import signal
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from slimgate._system.quiet import silent
from slimgate._system.requirements import import_extra
from slimgate._system.signals import handle_on_own_stack
from slimgate.errors import BuildError, to_one_line
from slimgate.models.graph import Graph
from slimgate.models.saved_files import load_companions

if TYPE_CHECKING:
    import openvino
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase


def load_openvino(user: str) -> Any:
    """Imports the package. user: what needs it. Raises MissingExtra."""
    _decline_telemetry()
    openvino = import_extra("openvino", "openvino", user)
    handle_on_own_stack(signal.SIGINT, signal.SIGTERM)
    return openvino


@cache
def _decline_telemetry() -> None:
    """Otherwise OpenVINO and nncf send events to Google Analytics, and fork this process for each of them.

    A conversion sends 35 events. OpenVINO reads the consent when it is imported, and at the first conversion.
    """
    try:
        from openvino_telemetry.utils.opt_in_checker import ConsentCheckResult, OptInChecker
    except ModuleNotFoundError:  # OpenVINO works without it
        return
    OptInChecker.check = lambda *_, **__: ConsentCheckResult.DECLINED


@cache
def make_compiling_core() -> Any:
    """The openvino.Core that compiles slimgate's graphs in this process, and lives as long as the process.

    If cores are made and freed, the process may end at the next signal (slimgate/_system/signals.py).
    """
    return load_openvino("runtime openvino").Core()


def load_nncf(user: str) -> Any:
    """Imports nncf, which logs only errors. Raises MissingExtra.

    It sets its class as that of every later logger of the process, and transformers cannot log once with it.
    So the previous class is set again.
    """
    load_openvino(user)
    before = logging.getLoggerClass()
    with silent():
        try:
            return import_extra("nncf", "openvino", user)
        finally:
            logging.setLoggerClass(before)


Values = npt.NDArray[Any]
LEVELS = ("i8", "u8", "i4", "u4")
FLOATS = ("f32", "f16", "bf16", "f64")
MODEL = "model.xml"
WEIGHTS = "model.bin"
KIND = "openvino"
DECODER = "openvino_decoder"
# For each kind the file of the graph, and the file of its weights.
FILES = {KIND: (MODEL, WEIGHTS), DECODER: ("decoder.xml", "decoder.bin")}
OUTPUT = "logits"


def measure_size(graph: openvino.Model) -> dict[str, int]:
    """parameters and nonzero_parameters of an openvino.Model; state_bytes, of all its constants."""
    constants = [node for node in graph.get_ops() if node.get_type_name() == "Constant"]
    counts = [_count_constant_numbers(node) for node in constants if is_weight(node)]
    return {
        "parameters": sum(total for total, _ in counts),
        "nonzero_parameters": sum(nonzero for _, nonzero in counts),
        "state_bytes": sum(int(node.get_byte_size()) for node in constants),
    }


def count_weight_types(graph: openvino.Model) -> dict[str, int]:
    """Type, such as i8 -> how many numbers of the weights have it."""
    counts: dict[str, int] = {}
    for node in graph.get_ops():
        if node.get_type_name() == "Constant" and is_weight(node):
            kind = read_output_type(node)
            counts[kind] = counts.get(kind, 0) + int(np.prod(node.shape))
    return dict(sorted(counts.items()))


def find_broken_constant(graph: openvino.Model) -> str | None:
    """The name of a constant that holds NaN or infinity."""
    for node in graph.get_ops():
        numbers = node.get_type_name() == "Constant" and read_output_type(node) in FLOATS and is_weight(node)
        if numbers and not np.isfinite(_read_constant(node)).all():
            return str(node.get_friendly_name())
    return None


def read_output_type(node: openvino.Node) -> str:
    """The output type of a node: i8, u4, f32, …."""
    return str(node.get_output_element_type(0).get_type_name())


def is_weight(node: openvino.Node) -> bool:
    """Whether a Constant holds numbers that the model multiplies with."""
    kind = read_output_type(node)
    if kind not in (*LEVELS, *FLOATS) or int(np.prod(node.shape)) < 2:
        return False
    readers = _find_readers(node)
    if kind in LEVELS and not any(read_output_type(reader) in FLOATS for reader, _ in readers):
        return False  # a mask, or indices
    return not all(_is_range_or_scale(reader, at) for reader, at in readers)


def _find_readers(node: openvino.Node) -> list[tuple[Any, int]]:
    """The nodes that read a node, after conversions of type, each with the index of the input."""
    readers = []
    for target in node.output(0).get_target_inputs():
        reader = target.get_node()
        if reader.get_type_name() == "Convert" and read_output_type(reader) in FLOATS:
            readers.extend(_find_readers(reader) or [(reader, 0)])
        else:
            readers.append((reader, target.get_index()))
    return readers


def _is_range_or_scale(reader: openvino.Node, at: int) -> bool:
    """Whether the input is a range of FakeQuantize, a subtracted zero point, or the scale of levels."""
    kind = reader.get_type_name()
    if kind == "FakeQuantize":
        return at > 0
    return kind in ("Subtract", "Multiply") and at == 1 and _has_levels(reader.input_value(0).get_node())


def _has_levels(node: openvino.Node) -> bool:
    """Whether a node gives the levels of a quantized weight as numbers, with or without the zero point."""
    if node.get_type_name() == "Subtract":
        node = node.input_value(0).get_node()
    while node.get_type_name() == "Convert":
        node = node.input_value(0).get_node()
    return bool(node.get_type_name() == "Constant" and read_output_type(node) in LEVELS)


def _count_constant_numbers(node: openvino.Node) -> tuple[int, int]:
    values = _read_constant(node)
    return values.size, int(np.count_nonzero(values != _read_zero_point(node)))


def _read_zero_point(node: openvino.Node) -> Values:
    for reader, at in _find_readers(node):
        if reader.get_type_name() == "Subtract" and at == 0:
            point = reader.input_value(1).get_node()
            while point.get_type_name() == "Convert":
                point = point.input_value(0).get_node()
            if point.get_type_name() == "Constant":
                return _read_constant(point)
    return np.zeros((), dtype=np.float32)


def _read_constant(node: openvino.Node) -> Values:
    """The numbers of a Constant, in its shape; four-bit numbers are unpacked."""
    kind = read_output_type(node)
    if kind in ("i4", "u4"):
        packed = np.asarray(node.get_data()).reshape(-1).view(np.uint8)
        nibbles = np.stack([packed & 15, packed >> 4], axis=1).reshape(-1)[: int(np.prod(node.shape))]
        levels = nibbles.astype(np.int16)
        levels = np.where(levels > 7, levels - 16, levels) if kind == "i4" else levels
        return np.asarray(levels.reshape(tuple(node.shape)))
    if kind == "bf16":
        return np.asarray(node.get_data(dtype=np.float32))
    return np.asarray(node.get_data())


@dataclass
class OpenVinoModel(Graph):
    """A graph that predicts, with everything that saving it needs.

    graph: openvino.Model; kind: "openvino", or "openvino_decoder" for a graph with a key-value cache.
    """

    graph: openvino.Model
    tokenizer: PreTrainedTokenizerBase
    config: PreTrainedConfig
    kind: str = KIND

    def measure_size(self) -> dict[str, int]:
        """parameters, nonzero_parameters, state_bytes."""
        return measure_size(self.graph)

    def write(self, folder: Path) -> None:
        """Writes the graph and its weights. Raises BuildError for weights that are NaN or infinite."""
        if broken := find_broken_constant(self.graph):
            raise BuildError(f"weights are NaN or infinite after the step, first in {broken}")
        write_graph(self.graph, folder, kind=self.kind)


def write_graph(
    graph: openvino.Model, folder: Path, *, kind: str = KIND, compress_to_fp16: bool = False
) -> None:
    """Writes the two files of a kind."""
    folder.mkdir(parents=True, exist_ok=True)
    with silent():
        load_openvino("an artifact of kind openvino").save_model(
            graph, folder / FILES[kind][0], compress_to_fp16=compress_to_fp16
        )


def read_graph(folder: Path, *, kind: str = KIND, mapped: bool = False) -> Any:
    """The graph of a folder. mapped: weights stay in the file, which must then exist as long as the graph.

    Raises BuildError if OpenVINO cannot read it, MissingExtra without openvino.
    """
    openvino, file = load_openvino(f"an artifact of kind {kind}"), folder / FILES[kind][0]
    core = openvino.Core()
    core.set_property({"ENABLE_MMAP": mapped})
    try:
        return core.read_model(file)
    except RuntimeError as error:
        problem = to_one_line(error)
        raise BuildError(f"OpenVINO cannot read {file}: {problem}") from error


def load_openvino_model(folder: Path, *, kind: str = KIND, mapped: bool = False) -> OpenVinoModel:
    """Loads what `OpenVinoModel.save` or `slimgate export` wrote. mapped: as in read_graph."""
    graph = read_graph(folder, kind=kind, mapped=mapped)
    return OpenVinoModel(graph=graph, kind=kind, **load_companions(folder))

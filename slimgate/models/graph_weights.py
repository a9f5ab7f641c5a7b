"""The weights of an ONNX or OpenVINO graph, by the operators that read them and by their stored precision.

A graph often has no names of layers: its matrices are called val_87 or Constant_15. So the operator says what
a weight is. A table that Gather reads is an embedding. What MatMul, Gemm or Conv reads is a matrix. Between a
weight and its operator there may be operators that only unpack it, such as DequantizeLinear.

Floats of two dimensions or more that reach no such operator count too, so that no unusual graph looks more
quantized than it is. Integers that reach none are indices or shapes, and do not count.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from slimgate._system.requirements import describe_missing
from slimgate.errors import SuiteError

ONNX, OPENVINO = ".onnx", ".xml"

# Operators of ONNX and of ONNX Runtime -> the inputs that may be weights.
_ONNX_READERS: Mapping[str, tuple[int, ...]] = {
    **dict.fromkeys(("MatMul", "Gemm", "FusedMatMul", "FusedGemm", "GemmFloat8", "MatMulInteger"), (0, 1)),
    **dict.fromkeys(("QGemm", "QLinearMatMul", "QLinearConv"), (0, 3)),
    **dict.fromkeys(
        (
            *("Conv", "ConvInteger", "FusedConv", "ConvTranspose", "MatMulNBits", "MatMulBnb4"),
            *("DynamicQuantizeMatMul", "MatMulIntegerToFloat", "Attention", "QAttention"),
        ),
        (1,),
    ),
    **dict.fromkeys(("Gather", "GatherBlockQuantized"), (0,)),
    **dict.fromkeys(("EmbedLayerNormalization", "QEmbedLayerNormalization"), (2, 3, 4)),
    **dict.fromkeys(("LSTM", "GRU", "RNN", "DynamicQuantizeLSTM"), (1, 2)),
}
_ONNX_UNPACKING = frozenset(
    {"DequantizeLinear", "QuantizeLinear", "Cast", "Transpose", "Reshape", "Identity"}
)
_TABLES = frozenset({"Gather", "GatherBlockQuantized", "EmbedLayerNormalization", "QEmbedLayerNormalization"})
# Operators that read weights of a few bits from bytes.
_PACKED = frozenset({"MatMulNBits", "MatMulBnb4", "GatherBlockQuantized"})
_OPENVINO_READERS = frozenset(
    {"MatMul", "Convolution", "GroupConvolution", "ConvolutionBackpropData", "Gather", "LSTMSequence"}
)
_OPENVINO_UNPACKING = frozenset(
    {"Convert", "Multiply", "Subtract", "Reshape", "Transpose", "FakeQuantize", "FakeConvert"}
)
_PRECISIONS = {
    **{"DOUBLE": "float64", "FLOAT": "float32", "FLOAT16": "float16", "BFLOAT16": "bfloat16"},
    **{"INT8": "int8", "UINT8": "int8", "INT4": "int4", "UINT4": "int4", "INT2": "int2", "UINT2": "int2"},
    **{"f64": "float64", "f32": "float32", "f16": "float16", "bf16": "bfloat16"},
    **{"i8": "int8", "u8": "int8", "i4": "int4", "u4": "int4", "u3": "int3", "u6": "int6"},
    **{"i2": "int2", "u2": "int2", "u1": "int1", "nf4": "nf4", "f4e2m1": "fp4", "FLOAT4E2M1": "fp4"},
    **{"f8e4m3": "fp8", "f8e5m2": "fp8", "f8e8m0": "fp8"},
}
FLOATS = frozenset({"float64", "float32", "float16", "bfloat16"})


@dataclass(frozen=True)
class GraphWeight:
    """A weight of a graph. numbers: how many numbers it stands for; dimensions: those longer than 1."""

    name: str
    precision: str
    numbers: int
    dimensions: int
    is_table: bool = False


def find_graph(folder: Path) -> Path | None:
    """The graph file of a folder; None without one. Raises SuiteError if there are several."""
    files = [
        file
        for pattern in (f"*{ONNX}", f"onnx/*{ONNX}", f"*{OPENVINO}")
        for file in sorted(folder.glob(pattern))
        if "tokenizer" not in file.name  # openvino_tokenizer.xml, openvino_detokenizer.xml
    ]
    if len(files) > 1:
        names = ", ".join(str(file.relative_to(folder)) for file in files)
        raise SuiteError(f"{folder} has several graphs ({names}), expected one; name the file")
    return files[0] if files else None


def read_graph_weights(file: Path) -> tuple[list[GraphWeight], str]:
    """The weights of a graph file, and what it says of its quantization ("" if nothing).

    Raises SuiteError if the file is no such graph, or if the package for it is missing.
    """
    if file.suffix == OPENVINO:
        return _read_openvino(file)
    return list(_OnnxGraphs.read(file).list_weights()), ""


@dataclass
class _OnnxGraphs:
    """The tensors and nodes of a model and of the graphs inside its nodes (If, Loop)."""

    constants: dict[str, Any] = field(default_factory=dict)
    makers: dict[str, Any] = field(default_factory=dict)
    nodes: list[Any] = field(default_factory=list)

    @classmethod
    def read(cls, file: Path) -> _OnnxGraphs:
        problem = describe_missing(f'"{file.name}"', ["onnx"])
        if problem is not None:
            raise SuiteError(problem)
        import onnx
        from google.protobuf.message import DecodeError

        try:
            model = onnx.load(str(file), load_external_data=False)
        except (DecodeError, OSError) as error:
            raise SuiteError(f"{file} is no readable ONNX file: {error}") from error
        graphs = cls()
        graphs._add(model.graph)
        return graphs

    def _add(self, graph: Any) -> None:
        self.constants |= {tensor.name: tensor for tensor in graph.initializer}
        for node in graph.node:
            self.nodes.append(node)
            self.makers |= dict.fromkeys(node.output, node)
            for attribute in node.attribute:
                if attribute.HasField("g"):
                    self._add(attribute.g)
                elif attribute.name == "value" and node.op_type == "Constant":
                    self.constants[node.output[0]] = attribute.t

    def list_weights(self) -> Iterator[GraphWeight]:
        """Each constant that counts, once."""
        seen: set[str] = set()
        for is_table in (True, False):  # a table that is also the output layer counts as a table
            for node in self.nodes:
                if (node.op_type in _TABLES) == is_table:
                    yield from self._read_by(node, seen, is_table=is_table)
        for name, tensor in self.constants.items():
            weight = self._describe(name, tensor)
            if name not in seen and weight.dimensions > 1 and weight.precision in FLOATS:
                yield weight

    def _read_by(self, node: Any, seen: set[str], *, is_table: bool) -> Iterator[GraphWeight]:
        for place in _ONNX_READERS.get(node.op_type, ()):
            name = self._find_constant(node.input[place], seen) if place < len(node.input) else None
            if name is None or name in seen:
                continue
            seen.add(name)
            weight = self._describe(name, self.constants[name], is_table=is_table)
            if node.op_type in _PACKED:
                seen.update(node.input)  # its scales and zero points
                weight = _unpack(weight, {attribute.name: attribute.i for attribute in node.attribute})
            if weight.precision in _PRECISIONS.values():  # the indices and shapes of others are int64
                yield weight

    def _find_constant(self, name: str, seen: set[str]) -> str | None:
        """The constant behind an input, through nodes that only unpack it; None if it is computed."""
        scales: list[str] = []
        while name not in self.constants:
            node = self.makers.get(name)
            if node is None or node.op_type not in _ONNX_UNPACKING:
                return None
            scales += node.input[1:]
            name = node.input[0]
        seen.update(scales)  # scales and zero points
        return name

    @staticmethod
    def _describe(name: str, tensor: Any, *, is_table: bool = False) -> GraphWeight:
        from onnx import TensorProto

        stored = TensorProto.DataType.Name(tensor.data_type)
        precision = "fp8" if stored.startswith("FLOAT8") else _PRECISIONS.get(stored, stored.lower())
        return GraphWeight(
            name, precision, prod(tensor.dims), sum(size > 1 for size in tensor.dims), is_table
        )


def _unpack(weight: GraphWeight, options: Mapping[str, int]) -> GraphWeight:
    """The weight as what its bytes stand for. options: the integer attributes of its operator."""
    bits = options.get("bits", 4)
    if "K" in options:
        return replace(weight, precision=f"int{bits}", numbers=options["K"] * options["N"], dimensions=2)
    if weight.precision != "int8":  # the type itself says the bits, such as INT4
        return weight
    return replace(weight, precision=f"int{bits}", numbers=weight.numbers * 8 // bits)


def _read_openvino(file: Path) -> tuple[list[GraphWeight], str]:
    try:
        root = ElementTree.parse(file).getroot()
    except (ElementTree.ParseError, OSError) as error:
        raise SuiteError(f"{file} is no readable OpenVINO file: {error}") from error
    if root.tag != "net" or root.find("layers") is None:
        raise SuiteError(
            f"{file} is no OpenVINO file: its root is <{root.tag}>, expected <net> with <layers>"
        )
    return list(_OpenVinoGraph(root).list_weights()), _read_nncf_claim(root)


def _read_nncf_claim(root: ElementTree.Element) -> str:
    """What NNCF wrote on its quantization, such as `nncf, int4_sym`."""
    mode = root.find("rt_info/nncf/weight_compression/mode")
    if mode is not None:
        return f"nncf, {mode.get('value')}"
    return "nncf, quantization" if root.find("rt_info/nncf/quantization") is not None else ""


class _OpenVinoGraph:
    """The layers of an IR file, and which layer feeds which port."""

    def __init__(self, root: ElementTree.Element) -> None:
        self._layers = {layer.get("id"): layer for layer in root.iterfind("layers/layer")}
        self._sources: dict[Any, list[Any]] = {}
        edges = sorted(root.iterfind("edges/edge"), key=lambda edge: int(edge.get("to-port", 0)))
        for edge in edges:
            self._sources.setdefault(edge.get("to-layer"), []).append(edge.get("from-layer"))

    def list_weights(self) -> Iterator[GraphWeight]:
        """Each constant that counts, once."""
        seen: set[Any] = set()
        readers = [
            (key, layer) for key, layer in self._layers.items() if layer.get("type") in _OPENVINO_READERS
        ]
        for key, layer in sorted(readers, key=lambda reader: reader[1].get("type") != "Gather"):
            sources = self._sources.get(key, [])
            is_table = layer.get("type") == "Gather"
            for source in sources[:1] if is_table else sources:
                constant = self._find_constant(source, seen)
                if constant is None or constant in seen:
                    continue
                seen.add(constant)
                weight = self._describe(constant, is_table=is_table)
                if weight.precision in _PRECISIONS.values():
                    yield weight
        for key, layer in self._layers.items():
            if layer.get("type") == "Const" and key not in seen:
                weight = self._describe(key)
                if weight.dimensions > 1 and weight.precision in FLOATS:
                    yield weight

    def _find_constant(self, key: Any, seen: set[Any]) -> Any:
        """The id of the constant behind a port, through layers that only unpack it; None if computed."""
        scales: list[Any] = []
        while (layer := self._layers[key]).get("type") != "Const":
            sources = self._sources.get(key, [])
            if layer.get("type") not in _OPENVINO_UNPACKING or not sources:
                return None
            for source in sources[1:]:
                scales += self._list_constants(source)
            key = sources[0]
        seen.update(scales)
        return key

    def _list_constants(self, key: Any) -> Iterator[Any]:
        """The constants that make a scale or a zero point."""
        layer = self._layers[key]
        if layer.get("type") == "Const":
            yield key
        elif layer.get("type") in _OPENVINO_UNPACKING:
            for source in self._sources.get(key, []):
                yield from self._list_constants(source)

    def _describe(self, key: Any, *, is_table: bool = False) -> GraphWeight:
        layer = self._layers[key]
        data = layer.find("data")
        assert data is not None
        shape = [int(size) for size in data.get("shape", "").split(",") if size.strip()]
        stored = data.get("element_type", "")
        precision = _PRECISIONS.get(stored, stored)
        name = layer.get("name", "")
        return GraphWeight(name, precision, prod(shape), sum(size > 1 for size in shape), is_table)

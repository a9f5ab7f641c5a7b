"""The weights of an ONNX or OpenVINO graph, by the operators that read them and by their stored precision.

A graph often has no names of layers: its matrices are called val_87 or Constant_15. So the operator says what
a weight is. A table that Gather reads is an embedding. What MatMul, Gemm or Conv reads is a matrix, and the
one whose products are the graph's output is the output layer. Between a weight and its operator there may be
operators that only unpack it, such as DequantizeLinear.

Floats of two dimensions or more that reach no such operator count too, so that no unusual graph looks more
quantized than it is. Integers that reach none are indices or shapes, and do not count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from math import prod
from pathlib import Path
from typing import Any, Literal, NamedTuple
from xml.etree import ElementTree

from slimgate._system.requirements import describe_missing
from slimgate.errors import SuiteError

ONNX, OPENVINO = ".onnx", ".xml"
# What a weight is: read by rows, multiplied, multiplied last, or unknown.
Role = Literal["table", "matrix", "output", "unread"]

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
_ONNX_TABLES = frozenset(
    {"Gather", "GatherBlockQuantized", "EmbedLayerNormalization", "QEmbedLayerNormalization"}
)
# Operators that read weights of a few bits from bytes.
_ONNX_PACKED = frozenset({"MatMulNBits", "MatMulBnb4", "GatherBlockQuantized"})
_OPENVINO_READERS = frozenset(
    {"MatMul", "Convolution", "GroupConvolution", "ConvolutionBackpropData", "Gather", "LSTMSequence"}
)
_OPENVINO_UNPACKING = frozenset(
    {"Convert", "Multiply", "Subtract", "Reshape", "Transpose", "FakeQuantize", "FakeConvert"}
)
# Operators between the last product and the output of a graph, in both formats.
_ENDING = frozenset(
    {
        *("Mul", "Multiply", "Div", "Divide", "Sub", "Subtract", "Cast", "Convert", "Identity"),
        *("Reshape", "Squeeze", "Unsqueeze", "Transpose", "Softmax", "SoftMax", "LogSoftmax", "Sigmoid"),
        *("QuantizeLinear", "DequantizeLinear", "FakeQuantize"),
    }
)
_BODIES = ("body", "then_body", "else_body")
_PRECISIONS = {
    **{"DOUBLE": "float64", "FLOAT": "float32", "FLOAT16": "float16", "BFLOAT16": "bfloat16"},
    **{f"{sign}INT{bits}": f"int{bits}" for sign in ("", "U") for bits in (2, 4, 8, 16, 32, 64)},
    **{"f64": "float64", "f32": "float32", "f16": "float16", "bf16": "bfloat16"},
    **{f"{sign}{bits}": f"int{bits}" for sign in ("i", "u") for bits in (1, 2, 3, 4, 6, 8, 16, 32, 64)},
    **{"FLOAT4E2M1": "fp4", "f4e2m1": "fp4", "f8e4m3": "fp8", "f8e5m2": "fp8", "f8e8m0": "fp8"},
}
FLOATS = frozenset({"float64", "float32", "float16", "bfloat16"})
# A weight that several operators read has the first of these roles.
_ROLES: tuple[Role, ...] = ("table", "matrix", "output")
# A constant of an ONNX model: the id of its scope, and its name.
_Constant = tuple[int, str]


@dataclass(frozen=True)
class GraphWeight:
    """A weight of a graph.

    numbers: how many numbers it encodes; dimensions: those longer than 1; role: the kind of its operator.
    """

    name: str
    precision: str
    numbers: int
    dimensions: int
    role: Role = "unread"


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
    return _read_openvino(file) if file.suffix == OPENVINO else (_read_onnx(file), "")


def _read_onnx(file: Path) -> list[GraphWeight]:
    problem = describe_missing(f'"{file.name}"', ["onnx"])
    if problem is not None:
        raise SuiteError(problem)
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(str(file), load_external_data=False)
    except (DecodeError, OSError) as error:
        raise SuiteError(f"{file} is no readable ONNX file: {error}") from error
    scopes = [*_list_scopes(model.graph, None, [output.name for output in model.graph.output])]
    for function in model.functions:
        scopes += _list_scopes(function, None)
    seen: set[_Constant] = set()
    weights = [weight for role in _ROLES for scope in scopes for weight in scope.list_read(role, seen)]
    return weights + [weight for scope in scopes for weight in scope.list_unread(seen)]


class _Source(NamedTuple):
    """The constant behind an input, with what unpacks it.

    scales: names of scales, zero points and shapes. is_reshaped: whether a node gives it another shape.
    """

    scope: _OnnxScope
    name: str
    scales: list[str]
    is_reshaped: bool


@dataclass
class _OnnxScope:
    """One graph or function: a name may be of the graph around it. outputs: names that leave the model."""

    around: _OnnxScope | None
    outputs: Sequence[str] = ()
    constants: dict[str, GraphWeight] = field(default_factory=dict)
    makers: dict[str, Any] = field(default_factory=dict)
    nodes: list[Any] = field(default_factory=list)

    def list_read(self, role: Role, seen: set[_Constant]) -> Iterator[GraphWeight]:
        """Each constant that an operator of a role reads, once."""
        for node in self.nodes:
            if self._find_role(node) == role:
                for place in _ONNX_READERS.get(node.op_type, ()):
                    if place < len(node.input):
                        yield from self._read(node, place, role, seen)

    def _find_role(self, node: Any) -> Role:
        """The role of the weights that a node reads."""
        if node.op_type in _ONNX_TABLES:
            return "table"
        return "output" if any(name in self._last_products for name in node.output) else "matrix"

    def _read(self, node: Any, place: int, role: Role, seen: set[_Constant]) -> Iterator[GraphWeight]:
        source = self._find_source(node.input[place])
        if source is None:
            return
        weight, scales = source.scope.constants[source.name], source.scales
        if node.op_type in _ONNX_PACKED:
            weight = _describe_unpacked(weight, {attribute.name: attribute.i for attribute in node.attribute})
            scales = [*scales, *node.input[2:]]
        weight = _set_role(weight, role, source.is_reshaped)
        for scale in map(self._find_source, scales):
            if scale is not None and scale.scope.constants[scale.name].numbers < weight.numbers:
                seen.add((id(scale.scope), scale.name))
        key = (id(source.scope), source.name)
        if key not in seen and weight.dimensions > 1:
            seen.add(key)
            yield weight

    def list_unread(self, seen: set[_Constant]) -> Iterator[GraphWeight]:
        """Floats of several dimensions that no operator of a known kind reads."""
        for name, weight in self.constants.items():
            if (id(self), name) not in seen and weight.dimensions > 1 and weight.precision in FLOATS:
                yield weight

    def _find_source(self, name: str) -> _Source | None:
        """The constant behind an input, through nodes that only unpack it; None if it is computed."""
        scales: list[str] = []
        scope: _OnnxScope | None = self
        is_reshaped = False
        while scope is not None:
            if name in scope.constants:
                return _Source(scope, name, scales, is_reshaped)
            node = scope.makers.get(name)
            if node is None:
                scope = scope.around
            elif node.op_type in _ONNX_UNPACKING and node.input:
                is_reshaped = is_reshaped or node.op_type == "Reshape"
                scales += node.input[1:]
                name = node.input[0]
            else:
                return None
        return None

    @cached_property
    def _last_products(self) -> set[str]:
        def read_node(name: str) -> tuple[str, Sequence[str]] | None:
            node = self.makers.get(name)
            return None if node is None else (node.op_type, node.input)

        return _find_last_products(self.outputs, read_node, lambda name: self._find_source(name) is not None)


def _set_role(weight: GraphWeight, role: Role, is_reshaped: bool) -> GraphWeight:
    """The weight with its role. What is stored flat and gets another shape counts as a matrix.

    Rows of an array of matrices, such as those of experts, are no rows of a table.
    """
    if role == "table" and weight.dimensions > 2:
        role = "matrix"
    dimensions = max(2, weight.dimensions) if is_reshaped and weight.numbers > 1 else weight.dimensions
    return replace(weight, role=role, dimensions=dimensions)


def _find_last_products(
    outputs: Iterable[str],
    read_node: Callable[[str], tuple[str, Sequence[str]] | None],
    is_constant: Callable[[str], bool],
) -> set[str]:
    """The nodes whose results are outputs of the model but for bias, scale and shape.

    read_node: the operator of a node and the nodes of its inputs; None if no node has this name.
    """
    names, waiting = set[str](), list(outputs)
    while waiting:
        name = waiting.pop()
        node = read_node(name)
        if node is None or name in names:
            continue
        names.add(name)
        operator, sources = node
        if operator == "Add":  # a bias is a constant, and a residual connection is not
            computed = [source for source in sources if not is_constant(source)]
            waiting += computed if len(computed) == 1 else []
        elif operator in _ENDING:
            waiting += sources
    return names


def _list_scopes(graph: Any, around: _OnnxScope | None, outputs: Sequence[str] = ()) -> Iterator[_OnnxScope]:
    """The scope of a graph (or function), and those of the graphs inside its nodes (If, Loop, Scan)."""
    scope = _OnnxScope(around, outputs)
    for tensor in getattr(graph, "initializer", ()):
        scope.constants[tensor.name] = _describe_tensor(tensor.name, tensor.data_type, tensor.dims)
    for sparse in getattr(graph, "sparse_initializer", ()):
        name = sparse.values.name
        scope.constants[name] = _describe_tensor(name, sparse.values.data_type, sparse.dims)
    yield scope
    for node in graph.node:
        scope.nodes.append(node)
        scope.makers |= dict.fromkeys(node.output, node)
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _list_scopes(attribute.g, scope)
            elif node.op_type == "Constant":
                scope.constants[node.output[0]] = _describe_constant(node.output[0], attribute)


def _describe_constant(name: str, attribute: Any) -> GraphWeight:
    """The value of a Constant node, by its attribute."""
    if attribute.HasField("t"):
        return _describe_tensor(name, attribute.t.data_type, attribute.t.dims)
    if attribute.HasField("sparse_tensor"):
        sparse = attribute.sparse_tensor
        return _describe_tensor(name, sparse.values.data_type, sparse.dims)
    floats = len(attribute.floats)
    return GraphWeight(
        name, "float32" if floats else "int64", floats or len(attribute.ints) or 1, int(floats > 1)
    )


def _describe_tensor(name: str, data_type: int, shape: Sequence[int]) -> GraphWeight:
    stored = _read_type_names().get(data_type, f"type {data_type}")
    precision = "fp8" if stored.startswith("FLOAT8") else _PRECISIONS.get(stored, stored.lower())
    return GraphWeight(name, precision, prod(shape), sum(size > 1 for size in shape))


@cache
def _read_type_names() -> Mapping[int, str]:
    """The names of ONNX's data types, such as FLOAT, by their numbers."""
    from onnx import TensorProto

    return {number: name for name, number in TensorProto.DataType.items()}


def _describe_unpacked(weight: GraphWeight, options: Mapping[str, int]) -> GraphWeight:
    """The weight that the bytes encode. options: the integer attributes of its operator."""
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
    bodies = [body for tag in _BODIES for body in root.iter(tag)]
    graphs = [_OpenVinoGraph(root, is_main=True), *(_OpenVinoGraph(body) for body in bodies)]
    weights = [weight for graph in graphs for weight in graph.list_weights()]
    return weights, _read_nncf_claim(root)


def _read_nncf_claim(root: ElementTree.Element) -> str:
    """What NNCF wrote on its quantization, such as `nncf, int4_sym`."""
    mode = root.find("rt_info/nncf/weight_compression/mode")
    if mode is not None:
        return f"nncf, {mode.get('value')}"
    return "nncf, quantization" if root.find("rt_info/nncf/quantization") is not None else ""


class _OpenVinoGraph:
    """The layers of an IR file or of a body in it, and which layer feeds which port."""

    def __init__(self, root: ElementTree.Element, *, is_main: bool = False) -> None:
        self._is_main = is_main
        self._layers = {layer.get("id", ""): layer for layer in root.iterfind("layers/layer")}
        self._sources: dict[str, list[str]] = {}
        edges = sorted(root.iterfind("edges/edge"), key=lambda edge: int(edge.get("to-port", 0)))
        for edge in edges:
            self._sources.setdefault(edge.get("to-layer", ""), []).append(edge.get("from-layer", ""))
        self._constants = {
            key: self._describe(layer) for key, layer in self._layers.items() if layer.get("type") == "Const"
        }

    def list_weights(self) -> Iterator[GraphWeight]:
        """Each constant that counts, once."""
        seen: set[str] = set()
        last = self._find_last_products()
        roles: dict[str, Role] = {}
        for key, layer in self._layers.items():
            if (kind := layer.get("type")) in _OPENVINO_READERS:
                roles[key] = "table" if kind == "Gather" else "output" if key in last else "matrix"
        for role in _ROLES:
            for key in (key for key, role_of_layer in roles.items() if role_of_layer == role):
                for source in self._sources.get(key, [])[: 1 if role == "table" else None]:
                    yield from self._read(source, role, seen)
        for key, weight in self._constants.items():
            if key not in seen and weight.dimensions > 1 and weight.precision in FLOATS:
                yield weight

    def _read(self, key: str, role: Role, seen: set[str]) -> Iterator[GraphWeight]:
        constants, is_reshaped = self._list_constants(key)
        if not constants:
            return
        # Scales and zero points have fewer numbers than their weight.
        chosen = max(constants, key=lambda constant: self._constants[constant].numbers)
        weight = self._constants[chosen]
        weight = _set_role(weight, role, is_reshaped)
        seen.update(constant for constant in constants if self._constants[constant].numbers < weight.numbers)
        if chosen not in seen and weight.dimensions > 1:
            seen.add(chosen)
            yield weight

    def _list_constants(self, key: str) -> tuple[list[str], bool]:
        """The constants behind a port through layers that only unpack them; none if anything is computed.

        Also whether a layer between gives another shape.
        """
        constants: list[str] = []
        waiting, is_reshaped = [key], False
        while waiting:
            key = waiting.pop()
            layer = self._layers.get(key)
            if key in self._constants:
                constants.append(key)
            elif layer is None or layer.get("type") not in _OPENVINO_UNPACKING:
                return [], False
            else:
                is_reshaped = is_reshaped or layer.get("type") == "Reshape"
                waiting += self._sources.get(key, [])
        return constants, is_reshaped

    def _find_last_products(self) -> set[str]:
        def read_node(key: str) -> tuple[str, Sequence[str]] | None:
            layer = self._layers.get(key)
            return None if layer is None else (layer.get("type", ""), self._sources.get(key, []))

        results = [key for key, layer in self._layers.items() if layer.get("type") == "Result"]
        outputs = [source for key in results for source in self._sources.get(key, []) if self._is_main]
        return _find_last_products(outputs, read_node, lambda key: bool(self._list_constants(key)[0]))

    @staticmethod
    def _describe(layer: ElementTree.Element) -> GraphWeight:
        data = layer.find("data")
        shape_text = "" if data is None else data.get("shape", "")
        shape = [int(size) for size in shape_text.split(",") if size.strip()]
        stored = "" if data is None else data.get("element_type", "")
        numbers, dimensions = prod(shape), sum(size > 1 for size in shape)
        return GraphWeight(layer.get("name", ""), _PRECISIONS.get(stored, stored), numbers, dimensions)

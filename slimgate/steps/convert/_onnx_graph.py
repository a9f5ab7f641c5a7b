"""Which nodes make and read each value of an ONNX graph, for code that rewrites the graph."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import onnx

Values = npt.NDArray[Any]
MICROSOFT = "com.microsoft"


class GraphIndex:
    """An index over a ModelProto that is rewritten in place."""

    def __init__(self, proto: onnx.ModelProto) -> None:
        self.proto: Any = proto
        self._tensors = {tensor.name: tensor for tensor in proto.graph.initializer}
        self._makers: dict[str, Any] = {}
        self._readers: dict[str, list[Any]] = {}
        for node in proto.graph.node:
            self._enter(node)

    def _enter(self, node: onnx.NodeProto) -> None:
        self._makers.update(dict.fromkeys(node.output, node))
        for name in list_inputs(node):
            self._readers.setdefault(name, []).append(node)

    def find_maker(self, name: str, *kinds: str) -> Any:
        """The node that makes a value, if it is of one of these kinds; else None."""
        node = self._makers.get(name)
        return node if node is not None and node.op_type in kinds else None

    def list_readers(self, name: str) -> list[Any]:
        """The nodes that read a value."""
        return self._readers.get(name, [])

    def find_only_reader(self, name: str, *kinds: str) -> Any:
        """The single node that reads a value, if it is of one of these kinds; else None."""
        readers = self.list_readers(name)
        if len(readers) != 1 or readers[0].op_type not in kinds or self.is_output(name):
            return None
        return readers[0]

    def is_output(self, name: str) -> bool:
        return any(output.name == name for output in self.proto.graph.output)

    def read_value(self, name: str) -> Values | None:
        """The numbers of a fixed value; None for a computed one."""
        from onnx import numpy_helper

        tensor = self._tensors.get(name)
        values: Values | None = None if tensor is None else numpy_helper.to_array(tensor)
        return values

    def add_constant(self, name: str, values: Values) -> str:
        """Adds an initializer; returns its name."""
        from onnx import numpy_helper

        tensor = numpy_helper.from_array(np.ascontiguousarray(values), name)
        self.proto.graph.initializer.append(tensor)
        self._tensors[name] = self.proto.graph.initializer[-1]
        return name

    def put(
        self,
        kind: str,
        inputs: list[str],
        outputs: list[str],
        *,
        before: onnx.NodeProto,
        **options: float | str,
    ) -> onnx.NodeProto:
        """Adds a node of ONNX Runtime's own kind before another node, and gives it that node's outputs."""
        from onnx import helper

        node = helper.make_node(
            kind, inputs, outputs, name=f"{kind}_{outputs[0]}", domain=MICROSOFT, **options
        )
        self.insert(node, self.find_position(before))
        if all(opset.domain != MICROSOFT for opset in self.proto.opset_import):
            self.proto.opset_import.append(helper.make_opsetid(MICROSOFT, 1))
        return node

    def find_position(self, node: onnx.NodeProto) -> int:
        """The position of a node in the order in which nodes are computed."""
        return next(i for i, entry in enumerate(self.proto.graph.node) if entry is node)

    def insert(self, node: onnx.NodeProto, position: int) -> None:
        """Puts a node at a position in the order in which nodes are computed."""
        self.proto.graph.node.insert(position, node)
        self._enter(self.proto.graph.node[position])

    def cast_to_int32(self, name: str) -> str:
        """The name of an input's value in int32; adds the Cast node unless it exists."""
        from onnx import TensorProto, helper

        cast = f"{name}_int32"
        if self.find_maker(cast, "Cast") is None:
            self.insert(helper.make_node("Cast", [name], [cast], name=cast, to=TensorProto.INT32), 0)
        return cast

    def remove(self, *nodes: onnx.NodeProto) -> None:
        """Removes nodes whose outputs another node makes now."""
        for node in nodes:
            self.proto.graph.node.remove(node)

    def list_ancestors(self, name: str) -> list[onnx.NodeProto]:
        """The nodes that a value is computed from, in the graph's order."""
        needed, ancestors = {name}, []
        for node in reversed(self.proto.graph.node):
            if needed & set(node.output):
                ancestors.append(node)
                needed |= set(list_inputs(node))
        return ancestors[::-1]


def list_inputs(node: onnx.NodeProto) -> Iterator[str]:
    """The names of the values that a node reads, also in the graphs inside it (If, Loop, Scan)."""
    yield from node.input
    for attribute in node.attribute:
        for inner in attribute.g.node:
            yield from list_inputs(inner)


def remove_unread_nodes(proto: onnx.ModelProto) -> None:
    """Removes nodes whose outputs no node reads, and unused initializers."""
    read = {output.name for output in proto.graph.output}
    nodes = []
    for node in reversed(proto.graph.node):
        if read & set(node.output):
            nodes.append(node)
            read |= set(list_inputs(node))
    del proto.graph.node[:]
    proto.graph.node.extend(nodes[::-1])
    remove_unread_initializers(proto)


def remove_unread_initializers(proto: onnx.ModelProto) -> None:
    """Removes initializers that neither a node nor an output reads."""
    read = {output.name for output in proto.graph.output}
    read |= {name for node in proto.graph.node for name in list_inputs(node)}
    tensors = [tensor for tensor in proto.graph.initializer if tensor.name in read]
    del proto.graph.initializer[:]
    proto.graph.initializer.extend(tensors)


def read_attributes(node: onnx.NodeProto) -> Mapping[str, Any]:
    """A node's attributes."""
    from onnx import helper

    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


def count_node_kinds(proto: onnx.ModelProto) -> Counter[str]:
    """How many nodes there are of each kind."""
    return Counter(node.op_type for node in proto.graph.node)


def list_weighted_nodes(graph: GraphIndex, *kinds: str) -> Iterator[tuple[Any, Values]]:
    """The nodes of these kinds whose second input is fixed, with that input."""
    for node in graph.proto.graph.node:
        if node.op_type in kinds and (values := graph.read_value(node.input[1])) is not None:
            yield node, values

"""Exports a PyTorch network as an ONNX graph for any number of rows and tokens.

    proto = export_onnx(model.network, select_example_batches(encoded), opset=20)

Two batches of different shapes show which axes vary. Attention is exported in its written-out form (`eager`),
which gives the simplest graph: the fused call adds checks for rows without any token. Every exporter uses
`exportable` and `LogitsOnly`, which prepare a network for torch.export.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from slimgate._system.quiet import silent
from slimgate._system.requirements import import_extra
from slimgate.errors import BuildError, to_one_line
from slimgate.plugins.base import Arrays
from slimgate.plugins.rows import Encoded

if TYPE_CHECKING:
    import onnx

OUTPUT = "logits"
LONGEST_EXAMPLE = 16
INTEGER_LAYERS = frozenset(
    f"slimgate.steps.layers.{name}" for name in ("int8_linear", "int8_static_linear", "binary_linear")
)
PACKED_LAYERS = "slimgate.steps.layers.packed"
ROWS = (3, 5)
Batches = tuple[Arrays, Arrays]


@contextmanager
def exportable(network: nn.Module, attention: str) -> Iterator[None]:
    """Sets the form of attention, and keeps the cache of keys and values out of the outputs."""
    changes = {"_attn_implementation": attention, "use_cache": False}
    configs = {id(m.config): m.config for m in network.modules() if hasattr(m, "config")}
    before = [
        (config, key, getattr(config, key))
        for config in configs.values()
        for key in changes
        if getattr(config, key, None) is not None
    ]
    try:
        for config, key, _ in before:
            setattr(config, key, changes[key])
        yield
    finally:
        for config, key, value in before:
            setattr(config, key, value)


def select_example_batches(encoded: Encoded) -> Batches:
    """Two batches that differ in rows and in tokens. Raises BuildError if there are no rows."""
    if not len(encoded.lengths):
        raise BuildError("there are no rows from which to read the shapes of the inputs")
    longest = int(min(max(encoded.lengths), LONGEST_EXAMPLE))
    last = len(encoded.lengths) - 1
    tokens = max(longest, 4)
    first, other = ([min(i, last) for i in range(rows)] for rows in ROWS)
    return encoded.batch(first, tokens), encoded.batch(other, tokens - 1)


def export_onnx(network: nn.Module, batches: Batches, *, opset: int) -> Any:
    """The onnx.ModelProto of a network's logits, with the input names of the batches and the output `logits`.

    Raises BuildError if the exporter fails, MissingExtra without onnx and onnxscript.
    """
    import_extra("onnxscript", "onnx", "to_onnx")
    _check_layers(network)
    names = list(batches[0])
    device = next(network.parameters()).device
    inputs = [torch.from_numpy(values).to(device) for values in batches[0].values()]
    with silent(), exportable(network, "eager"):
        try:
            program: Any = torch.onnx.export(
                LogitsOnly(network, names).eval(),
                tuple(inputs),
                dynamo=True,
                dynamic_shapes={"values": tuple(_find_dynamic_axes(batches).values())},
                input_names=list(names),
                output_names=[OUTPUT],
                opset_version=opset,
                verbose=False,
            )
        except Exception as error:  # the exporter's errors have no common base, and are pages long
            raise BuildError(_format_error(network, error)) from error
    return _remove_notes(program.model_proto, names)


class LogitsOnly(nn.Module):
    """The network with its logits as the only output, called with positional arguments."""

    def __init__(self, network: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.network, self.names = network, tuple(names)

    def forward(self, *values: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.network(**dict(zip(self.names, values, strict=True))).logits
        return logits


def _find_dynamic_axes(batches: Batches) -> dict[str, dict[int, Any]]:
    """For each input, the axes whose sizes differ between two batches. Pairs of texts have 2 · rows.

    batches: with ROWS rows, as `select_example_batches` makes them.
    """
    rows, tokens = torch.export.Dim("rows"), torch.export.Dim("tokens")
    axes: dict[str, dict[int, Any]] = {}
    for name, values in batches[0].items():
        sizes = list(zip(values.shape, batches[1][name].shape, strict=True))
        axes[name] = {axis: tokens for axis, (size, other) in enumerate(sizes) if axis and size != other}
        axes[name][0] = 2 * rows if sizes[0] == (2 * ROWS[0], 2 * ROWS[1]) else rows
    return axes


def _remove_notes(proto: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    """The graph without the exporter's notes: the type of every value, and the source lines."""
    del proto.graph.value_info[:]
    for node in proto.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    for part in (proto, proto.graph, *proto.graph.input, *proto.graph.output, *proto.graph.initializer):
        del part.metadata_props[:]
    if unread := set(names) - {node.name for node in proto.graph.input}:
        raise BuildError(f"the exported graph has no input {sorted(unread)[0]}")
    return proto


def _check_layers(network: nn.Module) -> None:
    """Raises BuildError for layers that ONNX operators cannot express: integers, tables of few bits."""
    types = sorted(
        {
            type(m).__name__
            for m in network.modules()
            if type(m).__module__ in INTEGER_LAYERS or getattr(m, "activations", None) == "int8"
        }
    )
    if types:
        raise BuildError(
            f"{type(network).__name__}: its layers {', '.join(types)} compute in integers, which cannot "
            "be exported; export the model first, then quantize it with onnx_int8_dynamic or "
            "onnx_int8_static"
        )
    packed = next((name for name, m in network.named_modules() if _is_packed_table(m)), None)
    if packed is not None:
        raise BuildError(
            f"{type(network).__name__}: the token embeddings {packed} have fewer than 8 bits, which "
            "cannot be exported; set embeddings = 8, leave it out, or export the model first, then "
            "quantize it with onnx_weight_only"
        )


def _is_packed_table(module: nn.Module) -> bool:
    """Whether a lookup unpacks its rows bit by bit. Linear layers have unpacked their weights by now."""
    scheme: Any = getattr(module, "scheme", None)
    is_table = type(module).__module__ == PACKED_LAYERS and hasattr(module, "num_embeddings")
    return is_table and bool(scheme.bits < 8)


def _format_error(network: nn.Module, error: Exception) -> str:
    while isinstance(error.__cause__, Exception):
        error = error.__cause__
    problem = to_one_line(error)[:300]
    return f"{type(network).__name__} cannot be exported: {type(error).__name__}: {problem}"

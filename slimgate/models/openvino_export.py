"""Exports a PyTorch network as an OpenVINO graph for any number of rows and tokens.

graph = export_openvino(model.network, encoded.batch([0, 1, 2]), attention="eager")

It uses torch.export, which reports a shape that would be fixed; tracing would fix it silently.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from slimgate._system.quiet import silent
from slimgate.errors import BuildError
from slimgate.models.onnx_export import exportable
from slimgate.models.openvino_model import OUTPUT
from slimgate.models.openvino_package import load_openvino
from slimgate.plugins.base import Arrays

if TYPE_CHECKING:
    import openvino


def export_openvino(network: nn.Module, batch: Arrays, *, attention: str) -> Any:
    """An openvino.Model for any number of rows and tokens: input names as in the batch, output `logits`.

    batch: an example of at least two rows and two tokens. attention: "sdpa", one operator, or "eager",
    written out as products and softmax. Raises BuildError if the network cannot be exported.
    """
    openvino = load_openvino("to_openvino")
    inputs = {name: torch.from_numpy(values) for name, values in batch.items()}
    axes = tuple(dict.fromkeys(range(values.dim()), torch.export.Dim.AUTO) for values in inputs.values())
    with silent(), exportable(network, attention):
        try:
            program = torch.export.export(
                _Logits(network, tuple(inputs)).eval(),
                tuple(inputs.values()),
                dynamic_shapes=(axes,),
                strict=False,
            )
            graph = openvino.convert_model(program)
        except Exception as error:  # the errors of both exporters have no common base, and are pages long
            raise BuildError(format_export_error(network, error)) from error
    _name(graph, list(inputs))
    return graph


class _Logits(nn.Module):
    """The network as a function of tensors that returns one tensor."""

    def __init__(self, network: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.network, self.names = network, names

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.network(**dict(zip(self.names, tensors, strict=True))).logits
        return logits


def _name(graph: openvino.Model, names: list[str]) -> None:
    if len(graph.inputs) != len(names) or len(graph.outputs) != 1:
        raise BuildError(
            f"the exported graph has {len(graph.inputs)} inputs and {len(graph.outputs)} outputs, expected "
            f"{len(names)} and 1"
        )
    for port, name in zip(graph.inputs, names, strict=True):
        port.get_tensor().set_names({name})
        if any(axis.is_static for axis in port.partial_shape):
            raise BuildError(f"the exported graph accepts {name} only in the shape {port.partial_shape}")
    graph.outputs[0].get_tensor().set_names({OUTPUT})


def format_export_error(network: nn.Module, error: Exception) -> str:
    """One line: what failed, and whether layers of slimgate may be the cause."""
    format_hint = {
        type(m).__name__ for m in network.modules() if type(m).__module__.startswith("slimgate.steps.layers.")
    }
    hint = (
        f"; its layers {', '.join(sorted(format_hint))} may be the reason: export the model first, then "
        "quantize it"
        if format_hint
        else ""
    )
    problem = " ".join(str(error).split())[:300] or "no message"
    return f"{type(network).__name__} cannot be exported: {type(error).__name__}: {problem}{hint}"

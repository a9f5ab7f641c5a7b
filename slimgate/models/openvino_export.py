"""Exports a PyTorch network as an OpenVINO graph for any number of rows and tokens.

    graph = export_openvino(model.network, encoded.batch([0, 1, 2]), attention="eager")

It uses torch.export, which reports a shape that would be fixed; tracing would fix it silently.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from slimgate._system.quiet import silent
from slimgate.errors import BuildError, to_one_line
from slimgate.models.onnx_export import LogitsOnly, exportable
from slimgate.models.openvino_model import OUTPUT, load_openvino
from slimgate.plugins.base import Arrays

if TYPE_CHECKING:
    import openvino
    from torch import nn


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
                LogitsOnly(network, tuple(inputs)).eval(),
                tuple(inputs.values()),
                dynamic_shapes=(axes,),
                strict=False,
            )
            graph = openvino.convert_model(program)
        except Exception as error:  # the errors of both exporters have no common base, and are pages long
            raise BuildError(format_export_error(network, error)) from error
    _name_ports_(graph, list(inputs))
    return graph


def _name_ports_(graph: openvino.Model, names: list[str]) -> None:
    """Names inputs and output. Raises BuildError for another number of them, or for a fixed shape."""
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
    layers = {
        type(m).__name__ for m in network.modules() if type(m).__module__.startswith("slimgate.steps.layers.")
    }
    hint = ""
    if layers:
        hint = (
            f"; its layers {', '.join(sorted(layers))} may be the reason: export the model first, then "
            "quantize it"
        )
    problem = to_one_line(error)[:300]
    return f"{type(network).__name__} cannot be exported: {type(error).__name__}: {problem}{hint}"

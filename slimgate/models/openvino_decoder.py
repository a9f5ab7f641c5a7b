"""A decoder as an OpenVINO graph whose key-value cache is a state that persists between calls.

    graph = export_decoder(model.network)

| input            | shape          | what                                                             |
|------------------|----------------|------------------------------------------------------------------|
| `input_ids`      | (rows, tokens) | the tokens after those that the state holds                      |
| `logits_to_keep` | (places,)      | the positions of this call whose scores are wanted, from 0       |
| `beam_idx`       | (rows,)        | the row of the state that each row continues; greedy: 0, 1, 2…  |

The output `logits` is (rows, places, vocabulary). All rows of a call have the same number of tokens.
The graph is made by transformers' own exporter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from slimgate._system.quiet import silent
from slimgate.errors import BuildError
from slimgate.models.cache_argument import CACHE_NAMES, make_cache_keyword
from slimgate.models.openvino_model import OUTPUT, load_openvino

if TYPE_CHECKING:
    import openvino
    from torch import nn

Numbers = npt.NDArray[np.integer] | npt.NDArray[np.floating]
IDS, PLACES, ROWS = "input_ids", "logits_to_keep", "beam_idx"
INPUTS = frozenset({IDS, PLACES, ROWS})
# Sizes of the example, all different: rows, tokens in the state, tokens of the call, positions.
_ROWS, _PAST, _TOKENS, _PLACES = 3, 7, 5, 2


def export_decoder(network: nn.Module) -> Any:
    """The openvino.Model of a causal language model, for any number of rows and tokens.

    Raises BuildError if the network cannot be exported, MissingExtra without openvino.
    """
    load_openvino("to_openvino_decoder")
    import torch
    from transformers.exporters import OpenVINOConfig, OpenVINOExporter

    from slimgate.models.onnx_export import exportable
    from slimgate.models.openvino_export import format_export_error

    with silent(), exportable(network, "sdpa"):
        try:
            with torch.no_grad():
                example = _make_example_call(network.eval())
            config = OpenVINOConfig(dynamic_shapes=_make_dynamic_shapes(example))
            exported = OpenVINOExporter().export(network, example, config)
        except Exception as error:  # the exporter's errors have no common base, and are pages long
            raise BuildError(format_export_error(network, error)) from error
    graph = getattr(exported, "program", exported)  # transformers before 5.23 returns the program itself
    _repeat_heads_by_products(graph)
    _check_ports(graph)
    return graph


def make_decoder_inputs(ids: Numbers, places: Numbers) -> dict[str, npt.NDArray[Any]]:
    """The inputs of one call. ids: (rows, tokens); places: (places,), as in the table above."""
    return {
        IDS: np.ascontiguousarray(ids, dtype=np.int64),
        PLACES: np.ascontiguousarray(places, dtype=np.int64),
        ROWS: np.arange(len(ids), dtype=np.int32),
    }


def _make_example_call(network: nn.Module) -> dict[str, Any]:
    """A call with a cache that already holds tokens. Every layer's cache grows, also those with a window."""
    import torch
    from transformers import DynamicCache

    device, cache = next(network.parameters()).device, DynamicCache()
    network(
        input_ids=torch.ones((_ROWS, _PAST), dtype=torch.int64, device=device),
        **make_cache_keyword(network, cache),
        use_cache=True,
    )
    return {
        IDS: torch.ones((_ROWS, _TOKENS), dtype=torch.int64, device=device),
        **make_cache_keyword(network, cache),
        PLACES: torch.arange(_PLACES, device=device),
        "use_cache": True,
    }


def _make_dynamic_shapes(example: dict[str, Any]) -> dict[str, Any]:
    """The axes that vary: rows and tokens, and in the cache (rows, heads, tokens, size) the same."""
    import torch

    varies = torch.export.Dim.AUTO
    [name] = [name for name in CACHE_NAMES if name in example]
    tensors = 2 * len(example[name].layers)  # keys and values
    return {
        IDS: {0: varies, 1: varies},
        name: [{0: varies, 2: varies} for _ in range(tensors)],
        PLACES: {0: varies},
    }


def _repeat_heads_by_products(graph: openvino.Model) -> None:
    """Repeats keys and values that heads share by a product with ones, instead of a broadcast.

    OpenVINO's CPU plugin computes attention and cache in one operator, which `kv_cache` needs, if the graph
    repeats heads in such a pattern. The exporter's broadcasts to computed shapes are none
    (src/plugins/intel_cpu/src/transformations/cpu_opset/common/pass/stateful_sdpa_fusion.cpp of OpenVINO).
    """
    import openvino.opset14 as operators

    for node in graph.get_ordered_ops():
        repeats = _count_head_repeats(node)
        if repeats is not None:
            unit = operators.constant(np.ones((1, 1, repeats, 1, 1), dtype=np.float32))
            node.output(0).replace(operators.multiply(node.input_value(0), unit).output(0))
    graph.validate_nodes_and_infer_types()


def _count_head_repeats(node: openvino.Node) -> int | None:
    """How often a node repeats heads; None for a node that does something else.

    The shapes change from (rows, heads, 1, tokens, size) to (rows, heads · repeats, tokens, size).
    """
    if node.get_type_name() != "Broadcast" or node.input_value(0).get_node().get_type_name() != "Unsqueeze":
        return None
    readers = [target.get_node() for target in node.output(0).get_target_inputs()]
    before = node.input_value(0).get_partial_shape()
    if [reader.get_type_name() for reader in readers] != ["Reshape"] or len(before) != 5:
        return None
    after = readers[0].get_output_partial_shape(0)
    if len(after) != 4 or before[1].is_dynamic or after[1].is_dynamic or before[2] != 1:
        return None
    return int(after[1].get_length() // before[1].get_length())


def _check_ports(graph: openvino.Model) -> None:
    """Raises BuildError unless the graph has the inputs, the output and the state that the runtime uses."""
    inputs, outputs = ([port.any_name for port in ports] for ports in (graph.inputs, graph.outputs))
    if set(inputs) != INPUTS or outputs != [OUTPUT] or not graph.get_variables():
        raise BuildError(
            f"the exported graph has inputs {', '.join(inputs)}, outputs {', '.join(outputs)} and "
            f"{len(graph.get_variables())} tensors of state, expected {', '.join(sorted(INPUTS))}, {OUTPUT} "
            "and the keys and values of each block"
        )

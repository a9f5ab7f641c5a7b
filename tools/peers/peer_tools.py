"""Other compression tools by name, each called as its documentation says; see compare.py."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch

from tools.peers.graph_peers import measure_nncf_int8, measure_nncf_weights, measure_onnxruntime_dynamic
from tools.peers.peer_case import Case, Result
from tools.peers.torch_peers import measure_torch_pruning, measure_torchao_weights

PEERS: dict[str, Callable[[Case], Result]] = {
    "torchao Int8WeightOnly": partial(measure_torchao_weights, config=lambda ao: ao.Int8WeightOnlyConfig()),
    "torchao Int8DynamicActivationInt8Weight": partial(
        measure_torchao_weights, config=lambda ao: ao.Int8DynamicActivationInt8WeightConfig()
    ),
    "torchao Int4WeightOnly, groups of 64": partial(
        measure_torchao_weights, config=lambda ao: ao.Int4WeightOnlyConfig(group_size=64)
    ),
    "torchao IntxWeightOnly int4, groups of 64": partial(
        measure_torchao_weights,
        config=lambda ao: ao.IntxWeightOnlyConfig(
            weight_dtype=getattr(torch, "int4"),  # noqa: B009  torch's stubs lack it
            granularity=ao.PerGroup(64),
        ),
    ),
    "onnxruntime quantize_dynamic": measure_onnxruntime_dynamic,
    "nncf compress_weights INT8_ASYM": partial(measure_nncf_weights, mode="INT8_ASYM"),
    "nncf compress_weights INT4_SYM, groups of 64": partial(
        measure_nncf_weights, mode="INT4_SYM", group_size=64, ratio=1.0
    ),
    "nncf compress_weights INT4_SYM, groups of 64, all layers": partial(
        measure_nncf_weights, mode="INT4_SYM", group_size=64, ratio=1.0, all_layers=True
    ),
    "nncf quantize int8": measure_nncf_int8,
    "nncf quantize_with_accuracy_control, 1 point": partial(measure_nncf_int8, max_drop=0.01),
    "Torch-Pruning, half of heads and FFN": measure_torch_pruning,
}

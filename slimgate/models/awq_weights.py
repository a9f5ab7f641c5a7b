"""AWQ's int4 weights as floats, where no kernel of AWQ runs: on a CPU.

A layer's file has qweight (inputs, outputs / 8) int32, eight levels to a number in the order of AWQ_ORDER,
qzeros (groups, outputs / 8) packed alike, and scales (groups, outputs). Its weight is (level - zero) * scale.
Source: Lin et al. 2023 (AWQ), the layout "gemm" of AutoAWQ.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from slimgate.errors import BuildError

# The place in the row of outputs of each 4-bit number, lowest bits first.
AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
_PARTS = ("qweight", "qzeros", "scales")


def load_awq_network(folder: Path, auto: str, config: Any) -> Any:
    """The network of a folder of AWQ's "gemm", its weights as floats. Raises BuildError."""
    import transformers

    stated = config.quantization_config
    if stated.get("version", "gemm") != "gemm" or stated.get("bits", stated.get("w_bit")) != 4:
        raise BuildError(f'an AWQ folder of version "{stated.get("version")}" came, expected gemm of 4 bits')
    del config.quantization_config
    state: dict[str, Tensor] = {}
    for file in sorted(folder.glob("*.safetensors")):
        state |= safetensors.torch.load_file(file)
    float_state = to_float_state(state)
    dtype = next(tensor.dtype for name, tensor in float_state.items() if "norm" in name)
    network: Any = getattr(transformers, auto).from_config(config, dtype=dtype)
    missing, unexpected = network.load_state_dict(float_state, strict=False)
    network.tie_weights()
    lost = [name for name in missing if name not in network.all_tied_weights_keys]
    if lost or unexpected:
        raise BuildError(f"an AWQ folder whose files do not fit its config.json: {(lost or unexpected)[0]}")
    return network


def to_float_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state with `weight` in the place of AWQ's parts; the rest as it is."""
    packed = [name.removesuffix(".qweight") for name in state if name.endswith(".qweight")]
    parts = {f"{layer}.{part}" for layer in packed for part in _PARTS}
    kept = {name: tensor for name, tensor in state.items() if name not in parts}
    for layer in packed:
        kept[f"{layer}.weight"] = dequantize_awq(*(state[f"{layer}.{part}"] for part in _PARTS))
    return kept


def dequantize_awq(qweight: Tensor, qzeros: Tensor, scales: Tensor) -> Tensor:
    """(outputs, inputs) float32."""
    levels, zeros = _unpack(qweight), _unpack(qzeros)
    width = len(levels) // len(zeros)
    zeros, scale = (part.repeat_interleave(width, dim=0) for part in (zeros, scales.float()))
    return ((levels - zeros).float() * scale).t().contiguous()


def _unpack(packed: Tensor) -> Tensor:
    """(rows, outputs / 8) int32 -> (rows, outputs) int32, 0 to 15."""
    shifts = torch.arange(8, dtype=torch.int32) * 4
    found = (packed.unsqueeze(-1) >> shifts) & 15
    return found[..., torch.tensor(AWQ_ORDER).argsort()].reshape(len(packed), -1)

"""How the files of GPTQ, AWQ and AutoRound pack whole numbers, from their config.json.

The two orders are those of AutoGPTQ and AutoAWQ (dequantize.py). AutoRound packs its integers in either
order, and its other formats (FP8, MXFP4, NVFP4) in neither.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from slimgate._system.json_text import JsonObject

FULL_BITS = 16
# packing_format of AutoRound -> order, and the offset to add to a stored zero point (auto_round/inference).
_AUTO_ROUND: dict[str, tuple[Literal["gptq", "awq"], int]] = {
    "auto_round": ("gptq", 0),
    "auto_round:gptqmodel": ("gptq", 0),
    "auto_round:auto_gptq": ("gptq", 1),
    "auto_round:gptq": ("gptq", 1),
    "auto_round:auto_awq": ("awq", 0),
    "auto_round:awq": ("awq", 0),
}


@dataclass(frozen=True)
class Packing:
    """How the layers of a folder are packed.

    bits: of each weight; None if layers differ, which their shapes show. zero_offset: what to add to a stored
    zero point. version: of AWQ. group_size: how many inputs of most layers share a scale, if stated.
    """

    order: Literal["gptq", "awq"]
    bits: int | None
    zero_offset: int = 0
    version: str = "gemm"
    group_size: int | None = None

    def compute_group_size(self, inputs: int, groups: int) -> int:
        """The size of the groups of a layer, of which the last may be smaller."""
        if self.group_size is not None and -(-inputs // self.group_size) == groups:
            return self.group_size
        return -(-inputs // groups)


def find_packing(method: str, quantization: JsonObject) -> Packing | None:
    """The packing of a quantization_config; None for weights that are stored in other ways."""
    bits, size = read_bits(quantization) or 4, read_group_size(quantization)
    if method == "awq":
        return Packing("awq", bits, version=str(quantization.get("version", "gemm")).lower(), group_size=size)
    if method == "gptq":
        offset = 0 if quantization.get("checkpoint_format") == "gptq_v2" else 1
        return Packing("gptq", None if quantization.get("dynamic") else bits, offset, group_size=size)
    packing = _AUTO_ROUND.get(str(quantization.get("packing_format", "auto_round:auto_gptq")))
    if method != "auto-round" or packing is None or not _is_integer(quantization):
        return None
    order, offset = packing
    return Packing(order, None if _list_layer_settings(quantization) else bits, offset, group_size=size)


def read_bits(quantization: JsonObject) -> int | None:
    """The bits of a weight that a quantization_config states; None if it states none above 0."""
    bits = quantization.get("bits", quantization.get("w_bit"))
    return bits if isinstance(bits, int) and bits > 0 else None


def read_group_size(quantization: JsonObject) -> int | None:
    """How many weights share a scale, as a quantization_config states; None if it states none above 0."""
    size = quantization.get("group_size", quantization.get("q_group_size"))
    return size if isinstance(size, int) and size > 0 else None


def _is_integer(quantization: JsonObject) -> bool:
    """Whether each quantized layer holds only integers: no rounded activations, floats or rotations."""
    if quantization.get("rotation_config") or quantization.get("spinquant_config"):
        return False
    return all(
        table.get("data_type", "int") == "int" and (table.get("act_bits") or FULL_BITS) >= FULL_BITS
        for table in (quantization, *_list_layer_settings(quantization))
    )


def _list_layer_settings(quantization: JsonObject) -> list[JsonObject]:
    """AutoRound's settings of single layers, without those that stay in floating point."""
    extra = quantization.get("extra_config")
    settings = extra.values() if isinstance(extra, dict) else ()
    return [table for table in settings if isinstance(table, dict) and table.get("bits", 0) < FULL_BITS]

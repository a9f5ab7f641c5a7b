"""Converts GPTQ, AWQ and AutoRound weights to floating point exactly, without their packages.

GPTQ (Frantar et al. 2023), as AutoGPTQ and GPTQModel save it, for a layer with n inputs and m outputs:

    qweight (n · bits / 32, m) int32    levels, a stream of bits down each column
    qzeros  (groups, m · bits / 32)     zero points, along rows: minus 1, or unchanged (gptq_v2)
    scales  (groups, m)                 g_idx (n,): the group of each input, if groups are not in order

AWQ (Lin et al. 2024), as AutoAWQ saves it in its version gemm, in 4 bits:

    qweight (n, m / 8) int32            eight outputs a word, in the order 0 2 4 6 1 3 5 7
    qzeros  (groups, m / 8)             scales (groups, m)

AutoRound (Cheng et al. 2023) saves integers in either layout. A weight is scale · (level - zero point).
"""

from __future__ import annotations

from pathlib import Path

import torch

from slimgate.errors import BuildError, to_one_line
from slimgate.models.integer_packing import Packing

WORD = 32
# The order of the eight values in a word: the value at place i belongs to output _AWQ_ORDER[i].
_AWQ_ORDER = (0, 4, 1, 5, 2, 6, 3, 7)
_PARTS = ("qweight", "qzeros", "scales", "g_idx")
Tensors = dict[str, torch.Tensor]


def dequantize_folder(
    folder: Path, packing: Packing, text: str, *, transposed: frozenset[str] = frozenset()
) -> Tensors:
    """The weights of a folder. Quantized layers get a `weight` (outputs, inputs) in the scales' dtype.

    text: the model, as the suite names it; transposed: layers whose `weight` is (inputs, outputs). Raises
    BuildError for a layout that is not one of the two above.
    """
    from safetensors.torch import load_file

    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise BuildError(
            f"{text}: {packing.order} weights are read from safetensors files, but there are none"
        )
    stored: Tensors = {}
    for file in files:
        stored |= load_file(str(file))
    layers = {name.removesuffix(".qweight") for name in stored if name.endswith(".qweight")}
    parts = {f"{layer}.{part}" for layer in layers for part in _PARTS}
    state = {name: tensor for name, tensor in stored.items() if name not in parts}
    for layer in sorted(layers):
        tensors = {part: stored[f"{layer}.{part}"] for part in _PARTS if f"{layer}.{part}" in stored}
        try:
            weight = _unpack_layer(packing, tensors)
        except (RuntimeError, IndexError, KeyError) as error:
            problem = to_one_line(error)
            raise BuildError(
                f"{text}: {layer} does not have the layout of {packing.order}: {problem}"
            ) from error
        state[f"{layer}.weight"] = weight.T.contiguous() if layer in transposed else weight
    return state


def _unpack_layer(packing: Packing, tensors: Tensors) -> torch.Tensor:
    """(outputs, inputs), in the dtype of the scales. tensors: of the layer, by the names in _PARTS."""
    if packing.order == "awq":
        if packing.bits != 4 or packing.version != "gemm":
            raise BuildError(
                f"AWQ weights of {packing.bits or 'several'} bits, version {packing.version}, were given, "
                "expected 4 bits in the version gemm; install gptqmodel, or save the weights in that version"
            )
        size = packing.compute_group_size(len(tensors["qweight"]), len(tensors["scales"]))
        levels, zeros = (
            _restore_order(unpack(packed.T.contiguous(), 4).T)
            for packed in (tensors["qweight"], tensors["qzeros"])
        )
        return _scale_levels(levels, zeros, tensors["scales"], torch.arange(len(levels)) // size)
    # without stated bits: the outputs are a multiple of 32, so the zero points fill their words
    bits = packing.bits or (tensors["qzeros"].shape[1] * WORD // tensors["scales"].shape[1])
    size = packing.compute_group_size(len(tensors["qweight"]) * WORD // bits, len(tensors["scales"]))
    return _dequantize_gptq(**tensors, bits=bits, group_size=size, zero_offset=packing.zero_offset)


def _dequantize_gptq(
    qweight: torch.Tensor,
    qzeros: torch.Tensor,
    scales: torch.Tensor,
    g_idx: torch.Tensor | None = None,
    *,
    bits: int,
    group_size: int,
    zero_offset: int,
) -> torch.Tensor:
    """(outputs, inputs), in the dtype of the scales.

    group_size: for layers without g_idx; zero_offset: what to add to stored zero points.
    """
    inputs = qweight.shape[0] * WORD // bits
    levels = unpack(qweight, bits)
    zeros = unpack(qzeros.T.contiguous(), bits).T[:, : scales.shape[1]] + zero_offset
    if g_idx is None:
        g_idx = torch.arange(inputs) // group_size
    return _scale_levels(levels, zeros, scales, g_idx.long())


def _restore_order(values: torch.Tensor) -> torch.Tensor:
    return values.reshape(len(values), -1, 8)[..., list(_AWQ_ORDER)].reshape(len(values), -1)


def _scale_levels(
    levels: torch.Tensor, zeros: torch.Tensor, scales: torch.Tensor, groups: torch.Tensor
) -> torch.Tensor:
    """levels (inputs, outputs), zeros and scales (groups, outputs), groups (inputs,) -> (outputs, inputs).

    The product is rounded once, to the dtype of the scales.
    """
    weight = (levels - zeros[groups]).to(torch.float32) * scales.to(torch.float32)[groups]
    return weight.T.to(scales.dtype).contiguous()


def unpack(words: torch.Tensor, bits: int) -> torch.Tensor:
    """(words, columns) int32 -> (words · 32 / bits, columns) int32: the first value in the lowest bits.

    If `bits` does not divide 32, a value may begin in one word and end in the next.
    """
    values = words.shape[0] * WORD // bits
    unsigned = words.to(torch.int64) & 0xFFFFFFFF
    starts = torch.arange(values) * bits
    word, shift = starts // WORD, (starts % WORD)[:, None]
    following = (word + 1).clamp(max=len(words) - 1)
    spanning = unsigned[word] | (unsigned[following] << WORD)
    return ((spanning >> shift) & ((1 << bits) - 1)).to(torch.int32)

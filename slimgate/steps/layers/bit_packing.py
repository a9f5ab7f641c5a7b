"""Numbers of k bits, stored without gaps.

A row is one stream of bits, the lowest bits of its first number first: two numbers of 4 bits share a byte,
eight numbers of 3 bits fill three bytes. The stream of every row begins at a whole byte, so that a row can be
read without the others.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def count_packed_bytes(columns: int, bits: int) -> int:
    """The bytes of a row of `columns` numbers."""
    return -(-columns * bits // 8)


def pack(levels: Tensor, bits: int) -> Tensor:
    """The streams of (rows, columns) uint8 below 2**bits: (rows, packed_bytes) uint8; bits: 1 to 8."""
    rows, columns = levels.shape
    if bits == 8:
        return levels.clone()
    eights = functional.pad(levels, (0, -columns % 8)).view(rows, -1, 8)
    words = (eights.long() << _make_offsets(8, bits, levels)).sum(dim=-1, keepdim=True)
    stream = (words >> _make_offsets(bits, 8, levels)) & 255
    packed_rows = stream.to(torch.uint8).view(rows, -1)[:, : count_packed_bytes(columns, bits)]
    return packed_rows.clone(
        memory_format=torch.contiguous_format
    )  # separate storage, which safetensors requires


def unpack(packed: Tensor, bits: int, columns: int) -> Tensor:
    """The levels that `pack` got: (rows, columns) uint8."""
    if bits == 8:
        return packed
    rows = packed.shape[0]
    stream = functional.pad(packed, (0, -packed.shape[1] % bits)).view(rows, -1, bits)
    words = (stream.long() << _make_offsets(bits, 8, packed)).sum(dim=-1, keepdim=True)
    eights = (words >> _make_offsets(8, bits, packed)) & ((1 << bits) - 1)
    return eights.to(torch.uint8).view(rows, -1)[:, :columns]


def _make_offsets(count: int, width: int, like: Tensor) -> Tensor:
    steps: Tensor = torch.arange(0, count * width, width, device=like.device)
    return steps

"""Codes a matrix with many zeros as a few bytes for the positions of the other values, and these in order.

    pattern, values = encode(weight, "mask")
    assert torch.equal(decode(pattern, values, weight.shape, "mask"), weight)

| layout          | the pattern, row by row                                                  | least at     |
|-----------------|--------------------------------------------------------------------------|--------------|
| "mask"          | a bit for each weight, 1 if there is a value                             | half zeros   |
| "2:4", any n:m  | for each m weights the number of the combination of n, several a byte    | n:m pruning  |
| "gaps2" "gaps4" | zeros before each value in 2 or 4 bits, the highest code: only skip on   | > 70, > 85 % |
| "dense"         | nothing; all weights are values                                          | few zeros    |

n:m stores n values per group, also zeros. Six combinations of 2:4 take 2/3 bit per weight; two 2-bit indices
would take 1. Gaps: Han et al. 2016 (Deep Compression), section 3. All codes are exact and plain uint8.
"""

from __future__ import annotations

import math
from itertools import combinations

import torch
from torch import Tensor

from slimgate.errors import BuildError
from slimgate.models.sparsity import keep_n_of_m

_GROUPS = (2, 4, 8)


def choose_layout(weight: Tensor, value_bits: int) -> tuple[str, int]:
    """The layout with the fewest bytes for a matrix (out_features, in_features), and its bytes.

    value_bits: the bits of a value, which are packed if they are less than a byte.
    """
    count, nonzero = weight.numel(), int(torch.count_nonzero(weight))
    values = math.ceil(nonzero * value_bits / 8)
    sizes = {"dense": math.ceil(count * value_bits / 8), "mask": math.ceil(count / 8) + values}
    gaps = _compute_gaps(weight.flatten() != 0)
    for bits in (2, 4):
        codes = int((gaps // (2**bits - 1) + 1).sum())
        sizes[f"gaps{bits}"] = math.ceil(codes * bits / 8) + values
    for m in _GROUPS:
        if count and weight.shape[1] % m == 0:
            groups = (weight.reshape(-1, m) != 0).sum(dim=1)
            n = int(groups.max())
            if 0 < n < m:
                pattern = math.ceil(len(groups) / _count_groups_per_byte(n, m))
                sizes[f"{n}:{m}"] = pattern + math.ceil(len(groups) * n * value_bits / 8)
    layout = min(sizes, key=lambda name: sizes[name])
    return layout, sizes[layout]


def encode(weight: Tensor, layout: str) -> tuple[Tensor, Tensor]:
    """(pattern uint8, values in the weight's dtype) of a matrix (out_features, in_features)."""
    if layout == "dense":
        return torch.empty(0, dtype=torch.uint8, device=weight.device), weight.flatten()
    if ":" in layout:
        n, m = map(int, layout.split(":"))
        keep = keep_n_of_m(weight.float().abs(), n, m)
        return _encode_combinations(keep.view(-1, m), n), weight[keep]
    is_nonzero = weight.flatten() != 0
    values = weight.flatten()[is_nonzero]
    if layout == "mask":
        return _pack(is_nonzero.to(torch.uint8), 1), values
    bits = int(layout.removeprefix("gaps"))
    return _pack(_encode_gaps(is_nonzero, bits), bits, fill=2**bits - 1), values


def decode(pattern: Tensor, values: Tensor, shape: tuple[int, int], layout: str) -> Tensor:
    """The matrix (out_features, in_features) again. Raises BuildError if the parts do not fit."""
    count = shape[0] * shape[1]
    positions = compute_positions(pattern, count, layout)
    if len(positions) != len(values) or (len(positions) and int(positions.max()) >= count):
        raise BuildError(
            f"a sparse weight of layout {layout} names {len(positions)} places in {count} weights, "
            f"but {len(values)} values were given"
        )
    weight = torch.zeros(count, dtype=values.dtype, device=values.device)
    weight[positions] = values
    return weight.view(shape)


def compute_positions(pattern: Tensor, count: int, layout: str) -> Tensor:
    """The positions of the values in a matrix of `count` weights, counted row by row: (values,) int64."""
    if layout == "dense":
        return torch.arange(count, device=pattern.device)
    if ":" in layout:
        n, m = map(int, layout.split(":"))
        return _decode_combinations(pattern, count // m, n, m).flatten().nonzero().flatten()
    if layout == "mask":
        return _unpack(pattern, 1)[:count].nonzero().flatten()
    bits = int(layout.removeprefix("gaps"))
    codes = _unpack(pattern, bits).long()
    skip = 2**bits - 1
    ends = torch.where(codes == skip, skip, codes + 1).cumsum(0)
    return ends[codes != skip] - 1


def _compute_gaps(is_nonzero: Tensor) -> Tensor:
    """The number of zeros between each value and the previous one."""
    positions = is_nonzero.nonzero().flatten()
    before = torch.cat([positions.new_tensor([-1]), positions[:-1]])[: len(positions)]
    return positions - before - 1


def _encode_gaps(is_nonzero: Tensor, bits: int) -> Tensor:
    skip = 2**bits - 1
    gaps = _compute_gaps(is_nonzero)
    ends = (gaps // skip + 1).cumsum(0)
    codes = torch.full(
        (int(ends[-1]) if len(ends) else 0,), skip, dtype=torch.uint8, device=is_nonzero.device
    )
    codes[ends - 1] = (gaps % skip).to(torch.uint8)
    return codes


def _pack(codes: Tensor, bits: int, *, fill: int = 0) -> Tensor:
    """Codes of 1, 2, 4 bits in bytes, the first in the lowest bits; `fill` fills up the last byte."""
    each = 8 // bits
    full = torch.full((math.ceil(len(codes) / each) * each,), fill, dtype=torch.uint8, device=codes.device)
    full[: len(codes)] = codes
    shifts = torch.arange(0, 8, bits, dtype=torch.uint8, device=codes.device)
    packed: Tensor = (full.view(-1, each) << shifts).sum(dim=1, dtype=torch.uint8)
    return packed


def _unpack(packed: Tensor, bits: int) -> Tensor:
    shifts = torch.arange(0, 8, bits, dtype=torch.uint8, device=packed.device)
    codes: Tensor = (packed.unsqueeze(1) >> shifts) & (2**bits - 1)
    return codes.flatten()


def _count_groups_per_byte(n: int, m: int) -> int:
    return int(math.log(256, math.comb(m, n)) + 1e-9)


def _make_combination_table(n: int, m: int) -> Tensor:
    """(combinations, m): in each row n ones, the combinations in the order of itertools."""
    table = torch.zeros(math.comb(m, n), m, dtype=torch.bool)
    for row, chosen in enumerate(combinations(range(m), n)):
        table[row, list(chosen)] = True
    return table


def _encode_combinations(keep: Tensor, n: int) -> Tensor:
    """keep: (groups, m) with n true in each row -> numbers of combinations, as digits of bytes."""
    m = keep.shape[1]
    weights = 2 ** torch.arange(m, device=keep.device)
    table = _make_combination_table(n, m).to(keep.device)
    number = torch.zeros(2**m, dtype=torch.long, device=keep.device)
    number[(table * weights).sum(dim=1)] = torch.arange(len(table), device=keep.device)
    codes = number[(keep * weights).sum(dim=1)]
    each = _count_groups_per_byte(n, m)
    full = codes.new_zeros(math.ceil(len(codes) / each) * each)
    full[: len(codes)] = codes
    return (
        (full.view(-1, each) * _compute_digit_values(len(table), each, keep.device))
        .sum(dim=1)
        .to(torch.uint8)
    )


def _decode_combinations(pattern: Tensor, groups: int, n: int, m: int) -> Tensor:
    """(groups, m) bool."""
    table = _make_combination_table(n, m).to(pattern.device)
    digits = _compute_digit_values(len(table), _count_groups_per_byte(n, m), pattern.device)
    codes = (pattern.long().unsqueeze(1) // digits % len(table)).flatten()[:groups]
    return table[codes]


def _compute_digit_values(base: int, each: int, device: torch.device) -> Tensor:
    return base ** torch.arange(each, device=device)

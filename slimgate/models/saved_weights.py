"""The names, shapes and dtypes of a folder's weights, as the headers of its safetensors files have them.

    8 bytes (length of the header, little endian)   header (JSON: name -> dtype, shape, offsets)   numbers

Nothing but the headers is read, and neither torch nor safetensors is loaded.
"""

from __future__ import annotations

import json
from collections import Counter
from math import prod
from pathlib import Path
from typing import NamedTuple

Shapes = dict[str, tuple[int, ...]]
# How the headers call the floating-point formats that a model may be computed in.
FLOATS = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}
# safetensors itself reads no longer header.
LONGEST_HEADER = 100_000_000
_METADATA = "__metadata__"


class Stored(NamedTuple):
    """A tensor of a file. dtype: as the header calls it, such as BF16 or I32."""

    dtype: str
    shape: tuple[int, ...]


def read_weight_shapes(folder: Path) -> Shapes | None:
    """Name -> shape of all weights; None without safetensors files, or where one of them cannot be read."""
    tensors = read_stored_tensors(folder)
    return None if tensors is None else {name: tensor.shape for name, tensor in tensors.items()}


def read_stored_tensors(folder: Path) -> dict[str, Stored] | None:
    """Name -> dtype and shape of all weights; None as for read_weight_shapes."""
    files = sorted(folder.glob("*.safetensors"))
    stored: dict[str, Stored] = {}
    for file in files:
        tensors = _read_header(file)
        if tensors is None:
            return None
        stored |= tensors
    return stored if files else None


def find_main_dtype(folder: Path) -> str | None:
    """The floating-point format of most numbers of a folder that are in one; None where it has none."""
    sizes: Counter[str] = Counter()
    for tensor in (read_stored_tensors(folder) or {}).values():
        if tensor.dtype in FLOATS:
            sizes[FLOATS[tensor.dtype]] += prod(tensor.shape)
    return sizes.most_common(1)[0][0] if sizes else None


def _read_header(file: Path) -> dict[str, Stored] | None:
    """None for what is no safetensors file: loading it says more about it than its header can."""
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if not 0 < length <= min(LONGEST_HEADER, file.stat().st_size):
            return None
        header = stream.read(length)
    try:
        entries = json.loads(header)
        return {
            name: Stored(entry["dtype"], tuple(entry["shape"]))
            for name, entry in entries.items()
            if name != _METADATA
        }
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def describe_names(names: list[str], limit: int = 3) -> str:
    """`4 (a, b, c, …)`: how many, and the first of them."""
    shown = ", ".join(names[:limit])
    return f"{len(names):,} ({shown}{', …' if len(names) > limit else ''})"

"""The names, shapes and dtypes of a folder's weights, from the headers of its safetensors files.

    8 bytes (length of the header, little endian)   header (JSON: name -> dtype, shape, offsets)   numbers

It reads only the headers, and loads neither torch nor safetensors.
"""

from __future__ import annotations

import json
from collections import Counter
from math import prod
from pathlib import Path
from typing import NamedTuple

Shapes = dict[str, tuple[int, ...]]
# The headers' names of the floating-point formats that a model may be computed in.
FLOATS = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}
# safetensors itself reads no longer header.
LONGEST_HEADER = 100_000_000
_METADATA = "__metadata__"
_SHOWN = 3  # names in a message


class Stored(NamedTuple):
    """A tensor of a file. dtype: the header's name for it, such as BF16 or I32."""

    dtype: str
    shape: tuple[int, ...]


def list_safetensors(folder: Path) -> list[Path]:
    """The safetensors files of a model; none if transformers reads a .bin in their place."""
    files = sorted(folder.glob("*.safetensors"))
    has_model = any(file.name.startswith("model") for file in files)
    return files if has_model or not any(folder.glob("pytorch_model*.bin")) else []


def read_weight_shapes(folder: Path) -> Shapes | None:
    """Name -> shape of all weights; None without safetensors files, or if one of them cannot be read."""
    tensors = read_stored_tensors(folder)
    return None if tensors is None else {name: tensor.shape for name, tensor in tensors.items()}


def read_stored_tensors(folder: Path) -> dict[str, Stored] | None:
    """Name -> dtype and shape of all weights; None as for read_weight_shapes."""
    files = list_safetensors(folder)
    stored: dict[str, Stored] = {}
    for file in files:
        tensors = _read_header(file)
        if tensors is None:
            return None
        stored |= tensors
    return stored if files else None


def find_main_dtype(folder: Path) -> str | None:
    """The floating-point format of most numbers of a folder; None if it has no floating-point weights."""
    sizes: Counter[str] = Counter()
    for tensor in (read_stored_tensors(folder) or {}).values():
        if tensor.dtype in FLOATS:
            sizes[FLOATS[tensor.dtype]] += prod(tensor.shape)
    return sizes.most_common(1)[0][0] if sizes else None


def _read_header(file: Path) -> dict[str, Stored] | None:
    """None if the file is no safetensors file: loading it raises a clearer error than its header can give."""
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


def describe_names(names: list[str]) -> str:
    """`4 (a, b, c, …)`: the number of names, and the first ones."""
    shown = ", ".join(names[:_SHOWN])
    return f"{len(names):,} ({shown}{', …' if len(names) > _SHOWN else ''})"

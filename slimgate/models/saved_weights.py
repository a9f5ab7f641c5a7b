"""The names and shapes of a folder's weights, as the headers of its safetensors files have them.

    8 bytes (length of the header, little endian)   header (JSON: name -> dtype, shape, offsets)   numbers

Nothing but the headers is read, and neither torch nor safetensors is loaded.
"""

from __future__ import annotations

import json
from pathlib import Path

Shapes = dict[str, tuple[int, ...]]
# safetensors itself reads no longer header.
LONGEST_HEADER = 100_000_000
_METADATA = "__metadata__"


def saved_weights(folder: Path) -> Shapes | None:
    """Name -> shape of all weights; None without safetensors files, or where one of them cannot be read."""
    files = sorted(folder.glob("*.safetensors"))
    found: Shapes = {}
    for file in files:
        weights = _weights_of(file)
        if weights is None:
            return None
        found |= weights
    return found if files else None


def _weights_of(file: Path) -> Shapes | None:
    """None for what is no safetensors file: loading it says more about it than its header can."""
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if not 0 < length <= min(LONGEST_HEADER, file.stat().st_size):
            return None
        header = stream.read(length)
    try:
        entries = json.loads(header)
        return {name: tuple(entry["shape"]) for name, entry in entries.items() if name != _METADATA}
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def describe_names(names: list[str], most: int = 3) -> str:
    """`4 (a, b, c, …)`: how many, and the first of them."""
    shown = ", ".join(names[:most])
    return f"{len(names):,} ({shown}{', …' if len(names) > most else ''})"

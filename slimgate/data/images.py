"""Images of rows, in whatever form a source gives them, as a model's pixels.

bytes of a PNG or JPEG file · a path · {bytes, path}, as the hub's Image columns are ·
rows of pixels as numbers: (height, width) or (height, width, 3), integers 0 to 255 or fractions 0 to 1
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from slimgate.errors import DataError, MissingExtra

# Pixels up to this are computed once; of more, each batch's when it is asked for.
KEPT_BYTES = 1 << 28


def picture(value: Any) -> Any:
    """The image as Pillow's, in RGB. Raises DataError for what is none, MissingExtra without Pillow."""
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingExtra('images need an extra: pip install "slimgate[images]"') from error
    if isinstance(value, Mapping):
        value = value.get("bytes") or value.get("path")
    try:
        if isinstance(value, bytes):
            return Image.open(io.BytesIO(value)).convert("RGB")
        if isinstance(value, str):
            return Image.open(value).convert("RGB")
        return Image.fromarray(_bytes_of(value)).convert("RGB")
    except (OSError, ValueError, TypeError) as error:
        said = " ".join(str(error).split())
        raise DataError(
            f"an image cannot be read: {said}; expected a file, its bytes, or pixels as numbers"
        ) from error


def _bytes_of(value: Any) -> npt.NDArray[np.uint8]:
    pixels = np.asarray(value)
    if pixels.ndim not in (2, 3) or not np.issubdtype(pixels.dtype, np.number):
        raise ValueError(f"{type(value).__name__} of shape {pixels.shape} came")
    scale = 255 if np.issubdtype(pixels.dtype, np.floating) else 1
    if not (pixels.min() >= 0 and pixels.max() * scale <= 255):
        raise ValueError(f"pixels from {pixels.min()} to {pixels.max()} came")
    return np.asarray(np.rint(pixels * scale), dtype=np.uint8)


class Pixels:
    """The images of rows, processed as the model wants them: computed once where they are few."""

    def __init__(self, images: Sequence[Any], processor: Any) -> None:
        """images: as rows hold them; processor: transformers' image processor."""
        self._images, self._processor = images, processor
        self._kept: npt.NDArray[np.float32] | None = None
        if images and len(images) * self._compute([0]).nbytes <= KEPT_BYTES:
            self._kept = self._compute(range(len(images)))

    def __len__(self) -> int:
        return len(self._images)

    def of(self, positions: Sequence[int]) -> npt.NDArray[np.float32]:
        """(rows, channels, height, width) float32."""
        return self._compute(positions) if self._kept is None else self._kept[list(positions)]

    def joined(self, more: Pixels) -> Pixels:
        """These images and more behind them."""
        return Pixels([*self._images, *more._images], self._processor)

    def _compute(self, positions: Sequence[int]) -> npt.NDArray[np.float32]:
        pictures = [picture(self._images[i]) for i in positions]
        found = self._processor(pictures, return_tensors="np")["pixel_values"]
        return np.asarray(found, dtype=np.float32)

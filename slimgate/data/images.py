"""Reads the images of rows, and converts them to pixels for a model. An image in a row is one of:

- the bytes of a PNG or JPEG file
- a path
- {bytes, path}, as in Image columns of the hub
- pixels as numbers: (height, width) or (height, width, 3), integers 0 to 255 or fractions 0 to 1

Files with more than 8 bits for each number of a pixel, such as 16-bit greyscale PNG, are refused.

`read_images` replaces paths by the bytes of their files, so that splits, stores and keys depend on the
content.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from slimgate.errors import DataError, MissingExtra, format_suggestion, to_one_line

if TYPE_CHECKING:
    from transformers import BaseImageProcessor

# Up to this size, the pixels of all rows are computed once. Above it, they are computed for each batch.
CACHE_BYTES = 1 << 28


def open_image(value: Any) -> Any:
    """The image as a Pillow image in RGB.

    Raises DataError if it is not an image, too large for Pillow, or has more than 8 bits for each number of a
    pixel. Raises MissingExtra without Pillow.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingExtra('images need an extra: pip install "slimgate[images]"') from error
    if isinstance(value, Mapping):
        value = value.get("bytes") or value.get("path")
    try:
        if isinstance(value, bytes | str):
            image: Image.Image = Image.open(io.BytesIO(value) if isinstance(value, bytes) else value)
        else:
            image = Image.fromarray(_convert_to_pixels(value))
        # Pillow cuts 16 and 32 bits off at 255, so that nearly every such image would be white or black.
        if image.mode in ("I", "F") or image.mode.startswith("I;"):
            raise ValueError(f"a pixel of mode {image.mode} has more than 8 bits; convert images to 8 bits")
        return image.convert("RGB")
    except (
        *(OSError, ValueError, TypeError, SyntaxError, RuntimeError),
        *(Image.DecompressionBombError, Image.DecompressionBombWarning),  # a warning may be an error
    ) as error:
        problem = to_one_line(error)
        raise DataError(
            f"an image cannot be read: {problem}; expected a file, its bytes, or pixels as numbers"
        ) from error


def _convert_to_pixels(value: object) -> npt.NDArray[np.uint8]:
    """Pixels from 0 to 255, from integers of that range or fractions. Raises ValueError for other values."""
    pixels = np.asarray(value)
    if pixels.ndim not in (2, 3) or not np.issubdtype(pixels.dtype, np.number):
        raise ValueError(f"{type(value).__name__} of shape {pixels.shape} was given")
    scale = 255 if np.issubdtype(pixels.dtype, np.floating) else 1
    if not (pixels.min() >= 0 and pixels.max() * scale <= 255):
        raise ValueError(f"pixels from {pixels.min()} to {pixels.max()} were given")
    return np.asarray(np.rint(pixels * scale), dtype=np.uint8)


class Pixels:
    """The images of rows, processed for the model. If they are few, their pixels are computed once."""

    def __init__(self, images: Sequence[object], processor: BaseImageProcessor) -> None:
        """images: in one of the forms above; processor: transformers' image processor."""
        self._images, self._processor = images, processor
        self._cached_pixels: npt.NDArray[np.float32] | None = None
        if images and len(images) * self._compute([0]).nbytes <= CACHE_BYTES:
            self._cached_pixels = self._compute(range(len(images)))

    def __len__(self) -> int:
        return len(self._images)

    def read_pixels(self, positions: Sequence[int]) -> npt.NDArray[np.float32]:
        """The pixels of the images at these positions: (rows, channels, height, width) float32."""
        pixels = self._cached_pixels
        return self._compute(positions) if pixels is None else pixels[list(positions)]

    def take(self, positions: Sequence[int]) -> Pixels:
        """The images at these positions, in this order."""
        return Pixels([self._images[i] for i in positions], self._processor)

    def join(self, more: Pixels) -> Pixels:
        """These images, then those of `more`, all processed by the processor of these."""
        return Pixels([*self._images, *more._images], self._processor)

    def _compute(self, positions: Sequence[int]) -> npt.NDArray[np.float32]:
        images = [open_image(self._images[i]) for i in positions]
        pixels = self._processor(images, return_tensors="np")["pixel_values"]
        return np.asarray(pixels, dtype=np.float32)


def read_images(table: pa.Table, columns: Sequence[str], folder: Path) -> pa.Table:
    """Replaces the paths in these columns, relative to `folder`, by the files' bytes. Raises DataError."""
    for name in columns:
        contents = [path.read_bytes() for path in _iter_paths(table, name, folder)]
        index = table.column_names.index(name)
        table = table.set_column(index, name, pa.array(contents, pa.large_binary()))
    return table


def digest_images(table: pa.Table, columns: Sequence[str], folder: Path) -> str:
    """The sha256 of all files that the columns name, in order. Raises DataError."""
    total = hashlib.sha256()
    for name in columns:
        for path in _iter_paths(table, name, folder):
            with path.open("rb") as stream:
                total.update(hashlib.file_digest(stream, "sha256").digest())
    return total.hexdigest()


def _iter_paths(table: pa.Table, name: str, folder: Path) -> Iterator[Path]:
    if name not in table.column_names:
        known = table.column_names
        raise DataError(
            f'images names the column "{name}", which the rows do not have{format_suggestion(name, known)}'
        )
    for row, value in enumerate(table[name].to_pylist()):
        yield _resolve_path(value, folder, f"column {name}, row {row}")


def _resolve_path(value: object, folder: Path, where: str) -> Path:
    if not isinstance(value, str) or not value:
        raise DataError(f"{where}: {value!r}, expected the path of an image")
    path = folder / value
    if "\0" in value or not path.resolve().is_relative_to(folder.resolve()):
        raise DataError(
            f"{where}: {value!r} is outside of {folder}, the folder of the rows; images must be inside "
            "this folder"
        )
    if not path.is_file():
        raise DataError(f"{where}: there is no file {path}")
    return path

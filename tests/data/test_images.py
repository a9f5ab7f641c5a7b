from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from slimgate.data.images import Pixels, open_image
from slimgate.data.parts import SplitColumns, digest_image_content, make_pools
from slimgate.errors import DataError

PIXELS = np.arange(48, dtype=np.uint8).reshape(4, 4, 3) * 5


def png(folder: Path) -> Path:
    Image.fromarray(PIXELS).save(folder / "one.png")
    return folder / "one.png"


def test_an_image_is_the_same_in_every_form(tmp_path: Path) -> None:
    path = png(tmp_path)
    content = path.read_bytes()
    forms: list[Any] = [
        content,
        str(path),
        {"bytes": content, "path": None},
        {"bytes": None, "path": str(path)},
        PIXELS.tolist(),
        (PIXELS / 255).tolist(),
    ]
    for form in forms:
        np.testing.assert_array_equal(np.asarray(open_image(form)), PIXELS)


def test_grey_pixels_become_three_channels() -> None:
    pixels = np.asarray(open_image([[0, 255], [128, 64]]))
    assert pixels.shape == (2, 2, 3)
    assert pixels[1, 0].tolist() == [128, 128, 128]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (b"no image", "cannot identify"),
        ([[300, 0]], "pixels from 0 to 300 were given"),
        ([1, 2], r"shape \(2,\)"),
    ],
    ids=["bytes", "range", "shape"],
)
def test_what_is_no_image_is_an_error(value: Any, message: str) -> None:
    with pytest.raises(DataError, match=f"an image cannot be read: .*{message}"):
        open_image(value)


def broken_png() -> bytes:
    """A file whose second chunk of pixels has no name."""
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).save(stream, "PNG")
    content = stream.getvalue()
    second = content.index(b"IDAT", content.index(b"IDAT") + 4)
    return content[:second] + bytes(4) + content[second + 4 :]


def bitmap_of(side: int) -> bytes:
    """A file of few bytes that claims to have side x side pixels."""
    stream = io.BytesIO()
    Image.fromarray(PIXELS).save(stream, "BMP")
    content = stream.getvalue()
    return content[:18] + struct.pack("<ii", side, side) + content[26:]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (broken_png(), "broken PNG file"),
        (bitmap_of(100_000), "exceeds limit"),
        (bitmap_of(10_000), "exceeds limit"),
    ],
    ids=["png", "bmp", "warned of"],
)
@pytest.mark.filterwarnings("error")
def test_a_file_that_pillow_refuses_is_an_error(content: bytes, problem: str) -> None:
    with pytest.raises(DataError, match=f"an image cannot be read: .*{problem}"):
        open_image(content)


@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.float32], ids=["16 bits", "32 bits", "float"])
def test_an_image_of_more_than_8_bits_is_refused(kind: type) -> None:
    """Pillow converts it to RGB without a warning: 16 bits become white, fractions become black."""
    stream = io.BytesIO()
    Image.fromarray(np.linspace(0, 60_000, 16).reshape(4, 4).astype(kind)).save(stream, "TIFF")
    with pytest.raises(DataError, match="has more than 8 bits; convert images to 8 bits"):
        open_image(stream.getvalue())


def plain(pictures: list[Any], *, return_tensors: str) -> dict[str, Any]:
    assert return_tensors == "np"
    return {"pixel_values": np.stack([np.asarray(image, dtype=np.float32) for image in pictures])}


def test_many_images_are_processed_when_a_batch_asks_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    images = [[[k, 0], [0, 0]] for k in range(5)]
    pixels = Pixels(images, plain).read_pixels([3, 1])
    monkeypatch.setattr("slimgate.data.images.CACHE_BYTES", 0)
    uncached = Pixels(images, plain)
    np.testing.assert_array_equal(uncached.read_pixels([3, 1]), pixels)
    assert pixels[:, 0, 0, 0].tolist() == [3, 1]
    assert len(uncached.join(Pixels(images, plain))) == 10


def test_an_image_in_two_splits_is_found_by_its_content() -> None:
    rows = [[[1, 2]], [[3, 4]]]
    parts = {
        "train": pa.table({"image": rows, "label": ["a", "b"]}),
        "gate": pa.table({"image": rows[:1], "label": ["a"]}),
    }
    train, _ = make_pools(parts, SplitColumns(["image"], "label", None))
    assert train.free.tolist() == [False, True]
    same = b"\x89PNG"
    assert digest_image_content({"bytes": same, "path": "a"}) == digest_image_content(
        {"bytes": same, "path": "b"}
    )

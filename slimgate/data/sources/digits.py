"""Handwritten digits with captions: scikit-learn's 1,797 images of 8 × 8 pixels, which come with it.

    [task]
    kind = "image_text"
    source = { name = "digits" }
    image = "image"
    caption = "caption"
    label = "label"

People wrote the digits (Alpaydin & Kaynak 1998); the captions are made from five templates, drawn by a hash
of the row's number, so that they say the digit in several ways and nothing else of the image.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa

from slimgate._system.digests import json_digest
from slimgate.params import Table

COLUMNS = ("image", "caption", "label")
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
TEMPLATES = (
    "a handwritten {label}",
    "a photo of the digit {label}",
    "the number {label}, written by hand",
    "a small grey picture of a {label}",
    "somebody wrote a {label}",
)
# What the data set counts in a pixel: of 16 points those that the pen has touched.
POINTS = 16


class Params(Table):
    """source = { name = "digits" } has no options."""


def columns(params: Params) -> tuple[str, ...]:
    """image, caption, label."""
    return COLUMNS


def parts(params: Params) -> tuple[str, ...]:
    """One part: the splits are cut from it."""
    return ("all",)


def is_real(params: Params) -> bool:
    """People wrote the digits."""
    return True


def digest(params: Params) -> str:
    """Changes with scikit-learn's version; the code counts apart."""
    return json_digest({"scikit-learn": importlib.metadata.version("scikit-learn")})


def caption(row: int, label: str) -> str:
    """One of the templates, by a hash of the row's number."""
    drawn = int.from_bytes(hashlib.sha256(f"caption {row}".encode()).digest()[:8], "big")
    return TEMPLATES[drawn % len(TEMPLATES)].format(label=label)


def read(params: Params, *, scratch: Path) -> Mapping[str, pa.Table]:
    """image: 8 lists of 8 pixels, 0 (paper) to 255; caption; label: the digit as a word."""
    from sklearn.datasets import load_digits

    found = load_digits()
    labels = [WORDS[int(digit)] for digit in found.target]
    images = (found.images * 255 / POINTS).round().astype("uint8").tolist()
    rows = {
        "image": pa.array(images, pa.list_(pa.list_(pa.uint8()))),
        "caption": [caption(row, label) for row, label in enumerate(labels)],
        "label": labels,
    }
    return {"all": pa.table(rows)}

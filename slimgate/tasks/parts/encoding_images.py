"""Rows of images, with a caption each, or with texts that are compared with every image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from slimgate.data.images import Pixels
from slimgate.plugins.base import Arrays
from slimgate.tasks.parts.encoding import EncodedTexts


@dataclass(frozen=True, eq=False)
class EncodedImages:
    """Images and texts. has_captions: each row has its own text; otherwise every batch has all texts."""

    pixels: Pixels
    texts: EncodedTexts
    has_captions: bool

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """(rows,) of 1: images have no tokens, so rows need no sorting."""
        return np.ones(len(self.pixels), dtype=np.int64)

    @property
    def tokens(self) -> int:
        """The number of tokens of all texts."""
        return int(self.texts.lengths.sum())

    @property
    def row_of(self) -> None:
        """None: no row is split."""

    @property
    def columns(self) -> Mapping[str, Sequence[Sequence[int]]]:
        """The tokens of the texts, to compare or count them."""
        return self.texts.columns

    @property
    def side(self) -> str:
        """The side on which texts are padded."""
        return self.texts.side

    def batch(self, positions: Sequence[int], tokens: int | None = None) -> Arrays:
        """input_ids, attention_mask (texts, tokens) int64, pixel_values (rows, …); tokens: texts' width."""
        texts = positions if self.has_captions else range(len(self.texts))
        return {**self.texts.batch(texts, tokens), "pixel_values": self.pixels.read_pixels(positions)}

    def extra_arrays(self, positions: Sequence[int]) -> Arrays:
        """No arrays."""
        return {}

    def take(self, positions: Sequence[int]) -> EncodedImages:
        """Some of the rows, in that order."""
        texts = self.texts.take(positions) if self.has_captions else self.texts
        return replace(self, pixels=self.pixels.take(positions), texts=texts)

    def join(self, more: EncodedImages) -> EncodedImages:
        """These rows, followed by more rows."""
        texts = self.texts.join(more.texts) if self.has_captions else self.texts
        return replace(self, pixels=self.pixels.join(more.pixels), texts=texts)

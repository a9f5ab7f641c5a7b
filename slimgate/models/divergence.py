"""Where an answer differs from the expected one, and whether that is a near tie.

Greedy answers of two models begin to differ at a near tie, and continue differently from there. So slimgate
looks at the first token that differs: how much lower it scores than the expected token.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from math import inf, isnan
from typing import Literal

import numpy as np
import numpy.typing as npt

# The scale of a gap: the scores at the position where the answers begin to differ.
Scale = Literal["standard deviation", "root mean square"]
# A model excludes tokens by -inf, by -1e9 or by the lowest number of its format; scores are far above this.
_EXCLUDED = -1e4


@dataclass(frozen=True)
class Divergence:
    """The first token at which an answer differs from the expected one. place: 0 is the first new token.

    written, expected: tokens of the vocabulary, None for the end; gap: how much higher the expected token
    scores, as a multiple of the scale of the scores there.
    """

    row: str
    place: int
    written: int | None
    expected: int | None
    gap: float
    scale: Scale = "standard deviation"

    def describe(self, rows: str, tolerance: float, format_token: Callable[[int | None], str] = str) -> str:
        """Which tokens differ, where, and by how much. rows: the name of the rows."""
        return (
            f"token {self.place + 1} of {rows} {self.row} is {format_token(self.written)}, expected "
            f"{format_token(self.expected)}, whose score is higher by {self.gap:.3g} times the "
            f"{self.scale} of the scores; expected at most {tolerance:g}"
        )


def find_divergence(
    row: str,
    expected: Sequence[int],
    written: Sequence[int],
    score_after: Callable[[int], npt.NDArray[np.float32]],
    ends: Collection[int] = (),
    *,
    scale: Scale = "standard deviation",
) -> Divergence | None:
    """The first difference of two answers; None if they are equal.

    score_after(place): (vocabulary,) scores of the token after `place` expected ones. ends: end tokens.
    """
    place = count_common_prefix(expected, written)
    if place == len(expected) == len(written):
        return None
    expected_token, written_token = (
        tokens[place] if place < len(tokens) else None for tokens in (expected, written)
    )
    scores = score_after(place)
    high, low = (
        float(scores[sorted(ends)].max() if token is None else scores[token])
        for token in (expected_token, written_token)
    )
    gap = _compute_gap(high, low, scores, scale)
    return Divergence(row, place, written_token, expected_token, gap, scale)


def count_common_prefix(first: Sequence[object], second: Sequence[object]) -> int:
    """How many equal items two sequences begin with."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((place for place, (item, other) in pairs if item != other), min(len(first), len(second)))


def _compute_gap(high: float, low: float, scores: npt.NDArray[np.float32], scale: Scale) -> float:
    """(high - low) / scale of the scores of tokens that the model does not exclude. Infinite for NaN."""
    if high == low:
        return 0.0
    scored = scores[np.isfinite(scores) & (scores > _EXCLUDED)].astype(np.float64)
    if isnan(high) or isnan(low) or not scored.size:
        return inf
    size = float(scored.std() if scale == "standard deviation" else np.sqrt(np.square(scored).mean()))
    return (high - low) / size if size else inf

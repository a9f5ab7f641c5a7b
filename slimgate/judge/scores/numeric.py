"""Numeric: the last number of the answer is the last number of the reference.

`1,234`, `-0.5`, `3e8`, `$42` and `-$42` are numbers; the minus may also be U+2212. An answer without a
number is wrong.
"""

from __future__ import annotations

import re

from pydantic import Field

from slimgate.judge.scores.base import Score
from slimgate.plugins.params import Table

_NUMBER = re.compile(r"(?<![\w.])-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][+-]?\d+)?|(?<![\w.])-?\.\d+")

# A minus sign of any kind before a number, and the sign of a currency between them.
_MINUS = re.compile(r"[-\N{MINUS SIGN}](?:[$€£¥](?=[\d.]))?")


class Params(Table):
    """Options of numeric."""

    tolerance: float = Field(default=0.0, ge=0)
    """Largest allowed difference between the number and the reference."""


class Numeric(Score[Params]):
    right_or_wrong = True

    def check_reference(self, params: Params, reference: str) -> None:
        """Raises ValueError if the reference has no number, because every answer would be wrong."""
        if find_last_number(reference) is None:
            raise ValueError(f"{reference[:60]!r} was given, expected a text with a number")

    def rate(self, params: Params, answer: str, reference: str | None) -> float:
        """1 or 0."""
        number, expected = find_last_number(answer), find_last_number(reference or "")
        return float(
            number is not None and expected is not None and abs(number - expected) <= params.tolerance
        )


score = Numeric()


def find_last_number(text: str) -> float | None:
    """The last number of a text."""
    numbers = _NUMBER.findall(_MINUS.sub("-", text))
    return float(numbers[-1].replace(",", "")) if numbers else None

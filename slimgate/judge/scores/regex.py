"""Regex: the match of a pattern in the answer is the reference; without references, 1 if there is a match.

The last match counts, because the last number of a worked solution is its result. If the pattern has a group,
the group is compared.
"""

from __future__ import annotations

import re

from pydantic import field_validator

from slimgate.judge.scores.base import Score
from slimgate.plugins.params import Table


class Params(Table):
    """Options of regex."""

    pattern: str
    """A regular expression of Python; with a group, the group is compared."""

    @field_validator("pattern")
    @classmethod
    def _check_pattern(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"{value!r} is not a regular expression: {error}") from error
        return value


class Regex(Score[Params]):
    right_or_wrong = True
    needs_reference = False

    def check_reference(self, params: Params, reference: str) -> None:
        """Raises ValueError if the pattern matches only a part of the reference, as of a worked solution."""
        part = _find_last(params.pattern, reference)
        if part not in (None, reference.strip()):
            raise ValueError(
                f"{reference[:60]!r} was given, of which the pattern matches {part!r}; "
                "expected only this part"
            )

    def rate(self, params: Params, answer: str, reference: str | None) -> float:
        """1 or 0."""
        part = _find_last(params.pattern, answer)
        return float(part is not None and (reference is None or part == reference.strip()))


score = Regex()


def _find_last(pattern: str, text: str) -> str | None:
    """The last match of the pattern, or its first group; None without a match."""
    matches = list(re.finditer(pattern, text))
    if not matches:
        return None
    return ((matches[-1].group(1) if matches[-1].re.groups else matches[-1].group()) or "").strip()

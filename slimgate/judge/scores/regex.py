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

    def rate(self, params: Params, answer: str, reference: str | None) -> float:
        """1 or 0."""
        matches = list(re.finditer(params.pattern, answer))
        if not matches or reference is None:
            return float(bool(matches))
        last = matches[-1].group(1) if matches[-1].re.groups else matches[-1].group()
        return float((last or "").strip() == reference.strip())


score = Regex()

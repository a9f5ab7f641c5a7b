"""Exact match: 1 if the answer is the reference, without white space at both ends."""

from __future__ import annotations

from slimgate.judge.scores.base import Score
from slimgate.plugins.params import Table


class Params(Table):
    """exact_match has no options."""


class ExactMatch(Score[Params]):
    right_or_wrong = True

    def rate(self, params: Params, answer: str, reference: str | None) -> float:
        """1 or 0."""
        return float(answer.strip() == (reference or "").strip())


score = ExactMatch()

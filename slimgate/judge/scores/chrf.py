"""chrF of each answer, by sacrebleu: the F2 score of n-grams of 1 to 6 characters, divided by 100.

The metric is the mean over the answers, which has an interval. sacrebleu's corpus score adds up counts
instead.
Source: Popović 2015 (chrF: character n-gram F-score for automatic MT evaluation).
"""

from __future__ import annotations

from functools import cache
from typing import Any

from slimgate.judge.scores.base import Score, check_for_score, import_for_score
from slimgate.plugins.params import Table


class Params(Table):
    """chrf has no options."""


class Chrf(Score[Params]):
    def check(self, params: Params) -> None:
        """Raises MissingExtra without sacrebleu."""
        check_for_score("sacrebleu", "chrf")

    def rate(self, params: Params, answer: str, reference: str | None) -> float:
        """chrF2 / 100."""
        return min(1.0, float(_load_scorer().sentence_score(answer, [reference or ""]).score) / 100)


score = Chrf()


@cache
def _load_scorer() -> Any:
    return import_for_score("sacrebleu", "chrf").CHRF()

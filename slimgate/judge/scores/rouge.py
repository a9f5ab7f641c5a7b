"""ROUGE: F-measure of the words, word pairs or longest common subsequence of answer and reference.

By rouge-score, with Porter stemming. Source: Lin 2004 (ROUGE: A Package for Automatic Evaluation of
Summaries).
"""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

from slimgate.judge.scores.base import Score, check_for_score, import_for_score
from slimgate.plugins.params import Table

Variant = Literal["rouge1", "rouge2", "rougeL"]


class Params(Table):
    """Options of rouge."""

    variant: Variant = "rougeL"
    """rouge1 (words), rouge2 (pairs of words) or rougeL (longest common subsequence)."""


class Rouge(Score[Params]):
    def check(self, params: Params) -> None:
        """Raises MissingExtra without rouge-score."""
        check_for_score("rouge_score.rouge_scorer", "rouge")

    def rate(self, params: Params, answer: str, reference: str | None) -> float:
        """F-measure."""
        scores = _load_scorer(params.variant).score(reference or "", answer)
        return min(1.0, max(0.0, float(scores[params.variant].fmeasure)))


score = Rouge()


@cache
def _load_scorer(variant: Variant) -> Any:
    return import_for_score("rouge_score.rouge_scorer", "rouge").RougeScorer([variant], use_stemmer=True)

"""BLEU of each answer, by sacrebleu with its exponential smoothing, divided by 100.

The metric is the mean over answers, which has an interval; a paper's corpus BLEU adds up counts instead, and
is another number. Source: Papineni et al. 2002; Post 2018 (A Call for Clarity in Reporting BLEU Scores).
"""

from __future__ import annotations

from functools import cache
from typing import Any

from slimgate.judge.scores.base import Score, check_for_score, import_for_score
from slimgate.plugins.params import Table


class Params(Table):
    """bleu has no options."""


class Bleu(Score[Params]):
    def check(self, params: Params) -> None:
        """Raises MissingExtra without sacrebleu."""
        check_for_score("sacrebleu", "bleu")

    def rate(self, params: Params, answer: str, reference: str | None) -> float:
        """BLEU / 100."""
        return min(1.0, float(_load_scorer().sentence_score(answer, [reference or ""]).score) / 100)


score = Bleu()


@cache
def _load_scorer() -> Any:
    return import_for_score("sacrebleu", "bleu").BLEU(effective_order=True)

"""Normalized match: exact match without case, punctuation, articles and runs of white space.

Source: the evaluation script of SQuAD (Rajpurkar et al. 2016), `normalize_answer`.
"""

from __future__ import annotations

import re
import string

from slimgate.judge.scores.base import Score
from slimgate.plugins.params import Table

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")


class Params(Table):
    """normalized_match has no options."""


class NormalizedMatch(Score[Params]):
    right_or_wrong = True

    def rate(self, params: Params, answer: str, reference: str | None) -> float:
        """1 or 0."""
        return float(normalize_answer(answer) == normalize_answer(reference or ""))


score = NormalizedMatch()


def normalize_answer(text: str) -> str:
    """Lower case; without punctuation, then without articles; single blanks."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())

"""Normalized match: exact match without case, punctuation, articles and runs of white space.

A reference such as "A" or "+" keeps its articles and, without a letter or digit, its punctuation.
Otherwise nothing would be left of it, and an empty answer would be right.

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
        for normalize in (normalize_answer, _remove_punctuation, _fold):
            if expected := normalize(reference or ""):
                return float(normalize(answer) == expected)
        return float(not normalize_answer(answer))


score = NormalizedMatch()


def normalize_answer(text: str) -> str:
    """Lower case; without punctuation, then without articles; single blanks."""
    return _fold(_ARTICLES.sub(" ", _remove_punctuation(text)))


def _remove_punctuation(text: str) -> str:
    return _fold(text.lower().translate(_PUNCTUATION))


def _fold(text: str) -> str:
    """Lower case; single blanks."""
    return " ".join(text.lower().split())

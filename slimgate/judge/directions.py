"""Decides by the name of a metric whether higher is better, from a short list and without guesses.

A metric with the wrong direction can pass every budget while it doubles a harm. So a name is known only if
each of its words is: one gives the direction, and the others change nothing, as in `exact_match_strict`.
Names such as `toxicity`, `refusal_rate`, `cost` or `answer_length` are unknown.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_HIGHER = """
acc accuracy auc auroc auprc bertscore bleu chrf correct correctness em f1 faithfulness iou kappa maj map
match mcc meteor mrr ndcg pass pearson pem precision qem recall relevance relevancy rouge rougel rougelsum
sacrebleu spearman
"""
_LOWER = "bits brier cer ece error errors loss mae mse nll perplexity ppl rmse ter wer"
# Names that give the direction alone, but not as a word of a longer name: an `answer_length` is no answer.
_HIGHER_ALONE = """
answer choice exact includes model_graded_fact model_graded_qa passed pattern score success
"""
_NEUTRAL = """
answer at average avg balanced byte bytes char chars contextual exact extract extractive flexible info k label
labels log macro mean micro multi mutual n none norm normalized per pr prefix quasi rate roc samples score
single span strict token tokens weighted word
"""
HIGHER, LOWER, HIGHER_ALONE, NEUTRAL = (
    frozenset(text.split()) for text in (_HIGHER, _LOWER, _HIGHER_ALONE, _NEUTRAL)
)
_WORDS = re.compile(r"[^a-z0-9]+")
# A minus turns a direction round, as in `1 - acc`; so may a sign or a letter of another alphabet.
_TURNED = re.compile(r"(^|[^a-z0-9])(1\s*)?-|[^\x00-\x7f]")


def find_known_direction(metric: str) -> bool | None:
    """Whether a metric of this name is better when higher; None for a name that is not on the list.

    metric: the last part of a dotted name counts, as in `scorer.accuracy`. If it is a name such as `score`,
    the part before it counts: a `toxicity.score` is as unknown as `toxicity`.
    """
    if _TURNED.search(metric.casefold()):
        return None
    before, _, last = metric.rpartition(".")
    words = [word for word in _WORDS.split(last.partition(",")[0].casefold()) if word]
    if "_".join(words) in HIGHER_ALONE:
        return find_known_direction(before) if before else True
    directions = {_find_word_direction(word) for word in words} - {"neutral"}
    return {"higher": True, "lower": False}.get(directions.pop()) if len(directions) == 1 else None


def find_score_direction(name: str, function: Callable[..., object]) -> bool | None:
    """The direction of a user's score "package.module:function": its higher_is_better, or by its name."""
    stated = getattr(function, "higher_is_better", None)
    return stated if isinstance(stated, bool) else find_known_direction(name.rpartition(":")[2])


def _find_word_direction(word: str) -> str:
    """`higher`, `lower`, `neutral` or `unknown`. Digits at the end are ignored, as in rouge2."""
    for text in (word, word.rstrip("0123456789")):
        if text in HIGHER:
            return "higher"
        if text in LOWER:
            return "lower"
        if text in NEUTRAL or not text:
            return "neutral"
    return "unknown"

"""What the name of another tool's score says: which end is better, and its range."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from math import inf, isfinite
from numbers import Real

import numpy as np

from slimgate.outcomes import Floats

_HIGHER = """
acc accuracy auc auroc auprc bertscore bleu chrf correct correctness em f1 faithfulness iou kappa maj map
match mcc meteor mrr ndcg pass pearson pem precision qem recall relevance relevancy rouge rougel rougelsum
sacrebleu spearman
"""
_LOWER = "bits brier cer ece error errors loss mae mse nll perplexity ppl rmse ter wer"
# Names that give the direction alone, but not as a word of a longer name: an `answer_length` is no answer.
_HIGHER_ALONE = "answer choice exact includes model_graded_fact model_graded_qa passed pattern success"
_NEUTRAL = """
answer at average avg balanced byte bytes char chars contextual exact extract extractive flexible info k label
labels log macro mean micro multi mutual n none norm normalized per pr prefix quasi rate roc samples score
single span strict token tokens weighted word
"""
HIGHER, LOWER, HIGHER_ALONE, NEUTRAL = (
    frozenset(text.split()) for text in (_HIGHER, _LOWER, _HIGHER_ALONE, _NEUTRAL)
)
# Names that say nothing of their scorer. `score` alone says nothing: a column of errors may have this name.
_OF_SCORER = HIGHER_ALONE | {"score"}
_WORDS = re.compile(r"[^a-z0-9]+")
# A minus turns a direction round, as in `1 - acc`; so may a sign or a letter of another alphabet.
_TURNED = re.compile(r"(^|[^a-z0-9])(1\s*)?-|[^\x00-\x7f]")


def find_known_direction(metric: str) -> bool | None:
    """Whether a metric of this name is better when higher; None for a name that is not on the list.

    metric: the last part of a dotted name counts, as in `scorer.accuracy`. If it is a name such as `score`,
    the part before it counts: a `toxicity.score` is as unknown as `toxicity`, and `score` alone is unknown.
    """
    if _TURNED.search(metric.casefold()):
        return None
    before, _, last = metric.rpartition(".")
    words = [word for word in _WORDS.split(last.partition(",")[0].casefold()) if word]
    name = "_".join(words)
    if before and name in _OF_SCORER:
        return find_known_direction(before)
    if name in HIGHER_ALONE:
        return True
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


Range = tuple[float, float]
SHARE: Range = (0.0, 1.0)
# The cube of a larger score exceeds float64, and the bound of a mean needs it.
LARGEST_SCORE = 1e100

# Ranges by name, as evaluation tools report the scores of a sample. BLEU and chrF are sacrebleu's, from 0 to
# 100.
_NAMES: Mapping[Range, str] = {
    SHARE: """
        acc acc_norm acc_norm_tokens acc_bytes acc_mutual_info accuracy balanced_accuracy
        exact_match quasi_exact_match prefix_exact_match quasi_prefix_exact_match em match
        exact includes contains correct right success pass passed strict_match
        f1 f1_score f1_macro f1_micro token_f1 qa_f1_score precision recall mc1 mc2
        mcq_acc loglikelihood_acc pct_stereotype mrr map hit_rate meteor jaccard
        rouge rouge_l rouge_score extractive_match normalized_match json_valid mer
        toxicity toxic refusal refusal_rate hallucination error_rate classification_score
        retrieval_score code_sim_score same_answers truncated empty looping failed refused
    """,
    (-1.0, 1.0): "mcc pearson spearman cosine cosine_similarity similar_answers bertscore",
    (0.0, 2.0): "brier brier_score",
    (0.0, 100.0): "bleu sacrebleu chrf chrf++ chrf_plus bleu_max rouge1_max rouge2_max rougel_max",
    (-100.0, 100.0): "bleu_diff rouge1_diff rouge2_diff rougel_diff",
    (0.0, inf): """
        wer cer word_error_rate char_error_rate ter wer_score cer_score ter_score
        perplexity word_perplexity byte_perplexity bits_per_byte
        mse mae rmse loss nll log_loss latency answer_length
    """,
}
_BY_NAME: Mapping[str, Range] = {name: ends for ends, names in _NAMES.items() for name in names.split()}
# ROUGE by variant; shares of the first k results.
_SHARES = re.compile(
    r"rouge_?(1|2|3|4|l|lsum|w)(_fmeasure|_f1?|_precision|_recall)?"
    r"|(ndcg|recall|precision|map|mrr|hits?|hit_rate|pass|acc|accuracy)(@|_at_)k?\d*"
)
# The most that a row counts for in the mean of a score without an upper end.
_CAPS: Mapping[str, float] = dict.fromkeys(
    ("wer", "cer", "word_error_rate", "char_error_rate", "wer_score", "cer_score"), 1.0
)
# If the scores of two logs differ by this factor, one log is in percent and the other in shares.
_TIMES_APART = 10.0


def find_known_range(metric: str) -> Range | None:
    """The range that a score of this name has in every tool; None for an unknown name."""
    name = _normalize_name(metric)
    if name in _BY_NAME:
        return _BY_NAME[name]
    return SHARE if _SHARES.fullmatch(name) else None


def find_known_cap(metric: str) -> float | None:
    """The most that a row counts for, for a known score without an upper end; else None."""
    return _CAPS.get(_normalize_name(metric))


def _normalize_name(metric: str) -> str:
    return metric.lower().replace("-", "_").replace(" ", "_")


def is_bounded_range(ends: Range | None) -> bool:
    """Whether the range is known and has both ends."""
    return ends is not None and all(map(isfinite, ends))


def is_range(ends: object) -> bool:
    """Whether a plug-in declares a range: two numbers, the lower one first."""
    if not isinstance(ends, tuple | list) or len(ends) != 2:
        return False
    return all(isinstance(end, Real) for end in ends) and _are_ends(*ends)


def parse_range(text: str) -> Range:
    """Reads `LOW:HIGH`; an end may be inf. Raises ValueError."""
    low, colon, high = text.partition(":")
    if not colon:
        raise ValueError(f"{text!r} was given, expected LOW:HIGH such as 1:10")
    return check_range(float(low), float(high), text)


def check_range(low: float, high: float, shown: str) -> Range:
    """The range of two ends. Raises ValueError if they are not in order, or are not numbers."""
    if not _are_ends(low, high):
        raise ValueError(f"{shown} was given, expected two numbers up to {LARGEST_SCORE:g}, the lower first")
    return low, high


def _are_ends(low: float, high: float) -> bool:
    """Whether the lower end comes first, and each end is infinite or a possible score."""
    return bool(low < high) and not any(LARGEST_SCORE < abs(end) < inf for end in (low, high))


def format_range(ends: Range) -> str:
    """A range as messages show it, such as `0 to 1`."""
    return f"{ends[0]:g} to {ends[1]:g}"


def find_rows_outside(scores: Floats, ends: Range) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Positions of scores outside a range."""
    return np.flatnonzero((scores < ends[0]) | (scores > ends[1]))


def has_different_scales(base: Floats, target: Floats, ends: Range | None) -> bool:
    """Whether the scales of the logs plainly differ: shares in one log, percent in the other.

    ends: the declared range, or None. In a range such as 0 to 5 a weak model may have scores of at most 1.
    """
    may_hold_both = ends is not None and 1 < ends[1] < 2 * _TIMES_APART
    return not may_hold_both and (_is_hundredfold(base, target) or _is_hundredfold(target, base))


def _is_hundredfold(shares: Floats, percents: Floats) -> bool:
    """Whether the first are in 0 to 1, and the typical score of the second at least ten times as large."""
    if shares.min() < 0 or shares.max() > 1 or percents.min() < 0 or percents.max() <= 1:
        return False
    first, second = shares[shares > 0], percents[percents > 0]
    if not len(first) or not len(second):
        return False
    return float(np.median(second)) > max(1.0, _TIMES_APART * float(np.median(first)))

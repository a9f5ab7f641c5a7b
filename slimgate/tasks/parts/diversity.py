"""How varied texts are, by their words."""

from __future__ import annotations

from collections.abc import Sequence

Words = Sequence[str]


def ngrams(words: Words, n: int) -> list[tuple[str, ...]]:
    """All runs of n words, in order."""
    return [tuple(words[start : start + n]) for start in range(len(words) - n + 1)]


def distinct(texts: Sequence[str], n: int) -> float | None:
    """Different n-grams / n-grams, over all texts together, in [0, 1]; None where there are none.

    Falls with the amount of text: compare equal amounts. Source: Li et al. 2016 (A Diversity-Promoting
    Objective Function for Neural Conversation Models), section 5.
    """
    found = [gram for text in texts for gram in ngrams(text.split(), n)]
    return len(set(found)) / len(found) if found else None


def repetition(texts: Sequence[str], n: int = 4) -> float | None:
    """The share of n-grams that have come before in their own text, mean over texts, in [0, 1].

    Texts of fewer words than n do not count; None where none is longer. Source: Welleck et al. 2020 (Neural
    Text Generation with Unlikelihood Training), seq-rep-n.
    """
    by_text = [ngrams(text.split(), n) for text in texts]
    shares = [1 - len(set(grams)) / len(grams) for grams in by_text if grams]
    return sum(shares) / len(shares) if shares else None


def diversity(texts: Sequence[str]) -> dict[str, float | None]:
    """distinct_1, distinct_2, distinct_3 and repetition_4."""
    return {**{f"distinct_{n}": distinct(texts, n) for n in (1, 2, 3)}, "repetition_4": repetition(texts)}

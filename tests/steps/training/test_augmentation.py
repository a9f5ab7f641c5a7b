"""slimgate.steps.training.transfer: changed copies of texts."""

from __future__ import annotations

from collections import Counter

import pytest

from slimgate.steps.training.params import Augment
from slimgate.steps.training.transfer import augment_texts

TEXTS = ["a b c d e f g h", "i", "j k  l"]


def copies(seed: int = 0, **options: float | int) -> list[str]:
    return augment_texts(TEXTS, Augment(**options), mask="[MASK]", seed=seed)  # type: ignore[arg-type]


def test_equal_seeds_give_equal_copies_and_other_seeds_others() -> None:
    options = {"copies": 3, "word_dropout": 0.3, "word_swap": 0.2, "word_mask": 0.2, "word_replace": 0.2}
    assert copies(**options) == copies(**options)
    assert copies(**options) != copies(seed=1, **options)
    assert len(copies(**options)) == 9
    assert len(set(copies(**options)[::3])) > 1  # the copies of one text differ


def test_dropout_keeps_the_order_of_words_and_at_least_one() -> None:
    for text in copies(copies=50, word_dropout=0.9):
        assert text
        words = text.split()
        assert words == sorted(words)


def test_swapping_keeps_the_words() -> None:
    texts = copies(copies=20, word_swap=0.5)
    assert all(Counter(text) == Counter("a b c d e f g h") for text in texts[::3])
    assert any(text != "a b c d e f g h" for text in texts[::3])


def test_masks_come_as_often_as_their_chance_says() -> None:
    words = " ".join(copies(copies=100, word_mask=0.25)).split()
    assert words.count("[MASK]") / len(words) == pytest.approx(0.25, abs=0.05)
    assert set(words) <= {*"abcdefghijkl", "[MASK]"}


def test_replacements_are_words_of_the_rows_as_often_as_held() -> None:
    texts = ["x x x y"] * 300
    words = " ".join(augment_texts(texts, Augment(word_replace=0.99), mask="", seed=0)).split()
    assert Counter(words)["x"] / len(words) == pytest.approx(0.75, abs=0.05)


def test_a_copy_that_changes_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a chance above 0"):
        Augment(copies=2)

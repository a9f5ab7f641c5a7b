"""slimgate.tasks.parts.text_diversity: how varied texts are."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from slimgate.tasks.parts.text_diversity import (
    compute_distinct_share,
    compute_diversity,
    compute_repetition,
    compute_written_figures,
)


def test_distinct_counts_ngrams_over_all_texts_together() -> None:
    texts = ["a b a b", "a b c"]
    assert compute_distinct_share(texts, 1) == pytest.approx(3 / 7)
    assert compute_distinct_share(texts, 2) == pytest.approx(3 / 5)  # ab ba ab | ab bc
    assert compute_distinct_share(texts, 3) == pytest.approx(3 / 3)  # aba bab | abc


def test_repetition_looks_at_each_text_alone() -> None:
    assert compute_repetition(["a b a b a b", "a b a b"], n=2) == pytest.approx((3 / 5 + 1 / 3) / 2)
    assert compute_repetition(["a b c d", "a b c d"]) == 0.0


def test_texts_too_short_have_no_figure() -> None:
    assert compute_diversity(["one", ""]) == {
        "distinct_1": 1.0,
        "distinct_2": None,
        "distinct_3": None,
        "repetition_4": None,
    }


def test_the_order_of_texts_changes_nothing() -> None:
    texts = ["the cat sat on the mat on the mat", "a dog", "the cat sat on a dog"]
    assert compute_diversity(texts) == compute_diversity(texts[::-1])


@pytest.mark.parametrize(("count", "expected"), [(3, 3), (100, 64)], ids=["few", "many"])
def test_the_figures_say_how_many_rows_there_were(count: int, expected: int) -> None:
    rows = np.repeat(np.arange(count), 2)  # each row is split into two parts
    encoded = SimpleNamespace(row_of=rows, columns={"input_ids": [[5, 6, 7]] * len(rows)})
    model: Any = SimpleNamespace(predictor=SimpleNamespace(network=None), encoded=encoded, folder=None)
    words = compute_written_figures(model, model)["distinct_1"]["what"]
    assert words.endswith(f"of text written behind the first 8 tokens of {expected} gate rows")

"""Which range a score has, and whether two logs are of one scale."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest

from slimgate.judge.named_scores import (
    Range,
    find_known_cap,
    find_known_range,
    find_rows_outside,
    has_different_scales,
    parse_range,
)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("acc_norm", (0.0, 1.0)),
        ("exact_match", (0.0, 1.0)),
        ("F1", (0.0, 1.0)),
        ("rouge1", (0.0, 1.0)),
        ("rougeLsum", (0.0, 1.0)),
        ("rouge-l", (0.0, 1.0)),
        ("ndcg_at_10", (0.0, 1.0)),
        ("ndcg@10", (0.0, 1.0)),
        ("pass@1", (0.0, 1.0)),
        ("chrf", (0.0, 100.0)),
        ("bleu", (0.0, 100.0)),
        ("rouge1_max", (0.0, 100.0)),
        ("brier_score", (0.0, 2.0)),
        ("mcc", (-1.0, 1.0)),
        ("wer", (0.0, inf)),
        ("grade", None),
        ("score", None),
        ("helpfulness", None),
    ],
)
def test_a_range_is_known_by_the_whole_name(name: str, expected: Range | None) -> None:
    assert find_known_range(name) == expected


def test_word_errors_count_for_one_at_most() -> None:
    assert find_known_cap("WER") == 1.0
    assert find_known_cap("perplexity") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1", "expected LOW:HIGH"),
        ("10:1", "the lower first"),
        ("a:b", "could not convert"),
        ("nan:1", "two numbers"),
        ("0:1e101", r"two numbers up to 1e\+100"),
    ],
)
def test_what_is_no_range_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_range(text)


def test_a_range_may_have_no_upper_end() -> None:
    assert parse_range("0:inf") == (0.0, inf)


def test_scores_outside_are_found() -> None:
    assert find_rows_outside(np.array([0.0, 1.0, 1.1, -0.1]), (0.0, 1.0)).tolist() == [2, 3]


@pytest.mark.parametrize(
    ("base", "target", "ends", "expected"),
    [
        ([0.4, 0.9], [40.0, 90.0], None, True),
        ([40.0, 90.0], [0.4, 0.9], None, True),
        ([0.0, 1.0, 1.0], [0.0, 0.0, 100.0], None, True),
        ([0.6, 0.7], [60.0, 70.0], (0.0, 100.0), True),
        ([0.6, 0.7], [0.1, 0.2], None, False),
        ([1.0, 1.0], [4.0, 5.0], (0.0, 5.0), False),
        ([0.1, 0.0, 0.2], [0.1, 5.0, 0.2], (0.0, inf), False),
        ([60.0, 0.0], [70.0, 80.0], (0.0, 100.0), False),
        ([0.0, 0.0], [50.0, 60.0], None, False),
    ],
)
def test_two_scales_are_told_apart(
    base: list[float], target: list[float], ends: Range | None, expected: bool
) -> None:
    assert has_different_scales(np.array(base), np.array(target), ends) is expected

"""slimgate.data.same_texts: which texts count as one, and the groups that they make."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from slimgate.data.arrow import hash_texts
from slimgate.data.parts import number_texts
from slimgate.data.same_texts import BETWEEN_TEXTS, join_groups, normalize_row, normalize_text, sort_texts

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("The film was good.", "the film was good"),
        ("Is there an auto top-up option?", "is there an auto top up option"),
        ("STRASSE!", "straße"),
        ("« Très bien »", "très bien"),
        ("don’t", "don't"),
        ("what、is　this。", "What is this?"),
        ("ｇｏｏｄ film", "good film"),
        ("go\u200bod\u00ad film\ufeff", "good film"),
        ("cafe\u0301", "caf\u00e9"),
        ("good\u00a0film", "good film"),
        ("Tom &amp; Jerry &lt;3", "tom & jerry <3"),
        ("good \u2764\ufe0f", "good \u2764"),
        ("go\x00od film", "good film"),
    ],
)
def test_case_and_punctuation_make_no_other_text(text: str, same: str) -> None:
    assert normalize_text(text) == normalize_text(same)


@pytest.mark.parametrize(
    ("text", "other"),
    [("?", "!"), ("1 + 1", "1 1"), ("a < b", "a > b"), ("a film", "film a"), ("good", "goods")],
)
def test_other_words_and_symbols_make_another_text(text: str, other: str) -> None:
    assert normalize_text(text) != normalize_text(other)


def test_a_pair_is_compared_without_its_order() -> None:
    pair, turned = BETWEEN_TEXTS.join(("A.", "b")), BETWEEN_TEXTS.join(("B", "a"))
    assert normalize_row(pair) == normalize_row(turned)
    assert normalize_row(pair) != normalize_row(BETWEEN_TEXTS.join(("a", "a")))


def test_keys_sort_texts_are_equal_for_equal_texts() -> None:
    random = np.random.default_rng(0)
    texts = [random.integers(0, 6, 300).astype(str).tolist() for _ in range(3)]
    keys = sort_texts([hash_texts(column) for column in texts])
    sets = [tuple(sorted(row)) for row in zip(*texts, strict=True)]
    assert len(set(map(bytes, keys))) == len(set(sets)) > 50
    assert all((keys[0] == keys[k]).all() == (sets[0] == sets[k]) for k in range(300))


def test_texts_get_codes_by_their_compared_form() -> None:
    table = pa.table({"id": ["1", "2", "3"], "a": ["X", "y", "x "], "b": ["y", "x.", "z"]})
    assert number_texts(table, ("a",)).tolist() == [0, 1, 0]
    assert number_texts(table, ("a", "b")).tolist() == [0, 0, 1]


def test_groups_are_left_as_they_are_where_no_text_repeats() -> None:
    texts, groups = np.arange(4), np.array([7, 7, 3, 3])
    assert join_groups(None, texts) is None
    assert join_groups(groups, texts) is groups
    assert join_groups(groups, np.array([0, 0, 1, 2])) is groups  # it repeats in its own group


def test_rows_of_one_text_are_one_group() -> None:
    joined = join_groups(None, np.array([0, 1, 0, 2]))
    assert joined is not None
    assert joined.tolist() == [0, 1, 0, 2]


def test_groups_that_share_texts_are_joined_one_by_one() -> None:
    #   5 and 9 share text 0, 9 and 2 share text 3: all three are one; 4 stays alone.
    groups, texts = np.array([5, 5, 9, 9, 2, 4, 4]), np.array([0, 1, 0, 3, 3, 4, 5])
    joined = join_groups(groups, texts)
    assert joined is not None
    assert joined.dtype == np.int64
    assert len(set(joined[:5].tolist())) == 1
    assert len(set(joined[5:].tolist())) == 1
    assert joined[0] != joined[5]


def test_joined_groups_are_those_of_a_slow_search() -> None:
    random = np.random.default_rng(1)
    for _ in range(20):
        groups, texts = random.integers(0, 30, 60), random.integers(0, 50, 60)
        joined = join_groups(groups, texts)
        assert joined is not None
        slow = groups.copy()
        for _ in range(60):
            for text in np.unique(texts):
                slow[np.isin(slow, slow[texts == text])] = slow[texts == text].min()
        assert np.array_equal(joined[:, None] == joined, slow[:, None] == slow)


def test_chat_messages_are_compared_as_texts() -> None:
    """Prompts of messages were compared byte by byte, so that "Hi." and "hi" were two independent rows."""

    def ask(text: str, **more: str) -> list[dict[str, str]]:
        return [{"role": "user", "content": text, **more}]

    prompts = [
        ask("Hi there."),
        ask("hi  there"),
        ask("Hi"),
        [*ask("hi"), *ask("there")],
        ask("hi there", name="x"),
    ]
    codes = number_texts(pa.table({"id": list("abcde"), "prompt": prompts}), ["prompt"])
    assert codes[0] == codes[1]
    assert len(set(codes.tolist())) == 4

"""The source of needles: each text has one code, in the stated third, and the question asks for it."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from fixtures.sources.needles import DEPTHS, QUESTION, Params, source

NEEDLE = re.compile(r'The code is "(\d+)"\.')
Rows = list[dict[str, str]]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Rows:
    params = Params(packages=("networkx",), words=(12, 48), digits=3, per_file=2)
    return list(source.read(params, scratch=tmp_path_factory.mktemp("scratch"))["all"].to_pylist())


def test_a_text_has_one_code_and_the_question_comes_last(rows: Rows) -> None:
    assert len(rows) > 100
    for row in rows:
        text = row["prompt"].removesuffix(f" {QUESTION}")
        assert text != row["prompt"]
        assert NEEDLE.findall(text) == [row["reference"]]
        assert re.findall(r"\d+", row["prompt"]) == [row["reference"]]
        assert len(row["reference"]) == 3


def test_the_depth_is_the_third_of_the_words_before_the_code(rows: Rows) -> None:
    for row in rows:
        before, after = NEEDLE.split(row["prompt"].removesuffix(QUESTION))[::2]
        words = len(before.split()), len(after.split())
        assert sum(words) >= 12
        assert row["depth"] == DEPTHS[min(int(3 * words[0] / sum(words)), 2)]
    assert {row["depth"] for row in rows} == set(DEPTHS)


def test_texts_share_no_sentence_and_a_file_has_few(rows: Rows) -> None:
    assert max(Counter(row["file"] for row in rows).values()) == 2
    texts = [NEEDLE.sub("", row["prompt"].removesuffix(QUESTION)) for row in rows]
    assert len(set(texts)) == len(texts)


def test_wrong_numbers_of_words_are_refused() -> None:
    with pytest.raises(ValueError, match=r"words = \[9, 3\] was given, expected \[least, most\]"):
        Params(words=(9, 3))

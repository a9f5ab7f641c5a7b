"""slimgate.tasks.parts.encoding: batches are cut and filled up as stated, and the tokenizer stays as it
was.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fixtures.models.architectures import make_tokenizer
from slimgate.tasks.parts.encoding import EncodedTexts, encode_texts

IDS = [[2, 5, 3], [2, 5, 6, 7, 3], [2, 3]]


def encoded(side: str = "right") -> EncodedTexts:
    return EncodedTexts(
        columns={"input_ids": IDS, "attention_mask": [[1] * len(ids) for ids in IDS]},
        padding={"input_ids": 9, "attention_mask": 0},
        side=side,
        lengths=np.asarray([3, 5, 2]),
    )


def test_a_batch_is_filled_up_on_the_right() -> None:
    batch = encoded().batch([2, 0])
    assert batch["input_ids"].tolist() == [[2, 3, 9], [2, 5, 3]]
    assert batch["attention_mask"].tolist() == [[1, 1, 0], [1, 1, 1]]
    assert batch["input_ids"].dtype == np.int64


def test_a_batch_is_filled_up_on_the_left() -> None:
    batch = encoded("left").batch([2, 0])
    assert batch["input_ids"].tolist() == [[9, 2, 3], [2, 5, 3]]
    assert batch["attention_mask"].tolist() == [[0, 1, 1], [1, 1, 1]]


def test_stated_tokens_cut_and_fill_up() -> None:
    batch = encoded().batch([0, 1], tokens=4)
    assert batch["input_ids"].tolist() == [[2, 5, 3, 9], [2, 5, 6, 7]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]
    assert encoded("left").batch([1], tokens=2)["input_ids"].tolist() == [[2, 5]]


def test_a_row_may_be_more_than_once_in_a_batch() -> None:
    assert encoded().batch([2, 2])["input_ids"].tolist() == [[2, 3], [2, 3]]


def test_texts_are_cut_to_max_tokens_with_the_last_special_token(tmp_path: Path) -> None:
    tokenizer = make_tokenizer(tmp_path, "bert")
    encoded = encode_texts(tokenizer, [["good film", "bad " * 20]], max_tokens=6)
    assert encoded.lengths.tolist() == [4, 6]
    assert len(encoded) == 2
    cls, sep = tokenizer.cls_token_id, tokenizer.sep_token_id
    assert [ids[0] for ids in encoded.columns["input_ids"]] == [cls, cls]
    assert [ids[-1] for ids in encoded.columns["input_ids"]] == [sep, sep]


def test_two_texts_make_a_pair(tmp_path: Path) -> None:
    tokenizer = make_tokenizer(tmp_path, "bert")
    encoded = encode_texts(tokenizer, [["good film"], ["bad plot"]], max_tokens=32)
    assert encoded.columns["token_type_ids"] == [[0, 0, 0, 0, 1, 1, 1]]


def test_padding_values_are_the_tokenizers(tmp_path: Path) -> None:
    tokenizer = make_tokenizer(tmp_path, "bert")
    tokenizer.padding_side = "left"
    encoded = encode_texts(tokenizer, [["good", "good film"]], max_tokens=32)
    assert encoded.side == "left"
    assert encoded.padding == {"input_ids": tokenizer.pad_token_id, "token_type_ids": 0, "attention_mask": 0}
    assert encoded.batch([0, 1])["input_ids"][0, 0] == tokenizer.pad_token_id


@pytest.mark.parametrize("pairs", [False, True], ids=["one text", "pairs"])
@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("architecture", ["bert", "roberta", "gpt2", "qwen2"])
def test_a_fast_tokenizer_reads_as_its_own_call_does(
    tmp_path: Path, architecture: str, side: str, pairs: bool
) -> None:
    tokenizer = make_tokenizer(tmp_path, architecture)
    assert tokenizer.is_fast
    tokenizer.truncation_side = side
    tokenizer.backend_tokenizer.enable_padding(length=16)  # as the files of sentence-transformers have it
    first = ["good film", "", "bad " * 20, "Good [SEP] <|endoftext|> naïve", "plot"]
    texts = [first, ["bad plot " * 9, "good", "bad", "", "plot"]] if pairs else [first]
    encoded = encode_texts(tokenizer, texts, max_tokens=12)
    expected = dict(tokenizer(*texts, truncation=True, max_length=12))
    assert encoded.columns == expected
    assert list(encoded.columns) == list(expected)  # in the same order


@pytest.mark.parametrize("before", [None, 5], ids=["no truncation", "truncation"])
def test_the_tokenizer_is_saved_as_it_was(tmp_path: Path, before: int | None) -> None:
    tokenizer = make_tokenizer(tmp_path, "bert")
    if before:
        tokenizer.backend_tokenizer.enable_truncation(before)
    expected = tokenizer.backend_tokenizer.to_str()
    assert encode_texts(tokenizer, [["good " * 20]], max_tokens=12).lengths.tolist() == [12]
    assert tokenizer.backend_tokenizer.to_str() == expected

"""Tokenizers with fewer tokens: texts of kept tokens are cut as before, others fall to pieces, ids follow."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from slimgate.errors import BuildError
from slimgate.steps.factorize._tokenizer_json import (
    list_common_ids,
    list_needed_ids,
    read_state,
    trim_tokenizer,
)

CORPUS = [
    "lower the newest widths, please: the lowest newer width is wider than the new one",
    "a wide river lowers slowly; newly widened rivers slow the flow",
    "please show how the slow flows widen and how the newest ones narrow",
]
UNSEEN = ["zygote quux", "ÀÉ 漢字 \U0001f600", "lowering newness", "Ω", ""]
KINDS = [
    "word_piece",
    "word_level",
    "bytes_bpe",
    "bpe_with_unknown",
    "bpe_with_marks",
    "unigram",
    "unigram_bytes",
]


def trained(kind: str, size: int = 150) -> Tokenizer:
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    model: Any
    trainer: Any
    options: dict[str, Any] = {"vocab_size": size, "special_tokens": special, "show_progress": False}
    if kind == "word_piece":
        model, trainer = models.WordPiece(unk_token="[UNK]"), trainers.WordPieceTrainer(**options)
    elif kind == "word_level":
        model, trainer = models.WordLevel(unk_token="[UNK]"), trainers.WordLevelTrainer(**options)
    elif kind == "bytes_bpe":
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        model = models.BPE()
        trainer = trainers.BpeTrainer(**{**options, "vocab_size": 380}, initial_alphabet=alphabet)
    elif kind == "bpe_with_unknown":
        model, trainer = models.BPE(unk_token="[UNK]"), trainers.BpeTrainer(**options)
    elif kind == "bpe_with_marks":
        marks: dict[str, Any] = {"continuing_subword_prefix": "##", "end_of_word_suffix": "</w>"}
        model, trainer = models.BPE(unk_token="[UNK]", **marks), trainers.BpeTrainer(**options, **marks)
    else:
        special += [f"<0x{byte:02X}>" for byte in range(256)] if kind == "unigram_bytes" else []
        options.update(vocab_size=size + len(special), special_tokens=special)
        model, trainer = models.Unigram(), trainers.UnigramTrainer(**options, unk_token="[UNK]")
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = {
        "bytes_bpe": pre_tokenizers.ByteLevel(add_prefix_space=False),
        "unigram": pre_tokenizers.Metaspace(),
        "unigram_bytes": pre_tokenizers.Metaspace(),
    }.get(kind, pre_tokenizers.BertPreTokenizer())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.train_from_iterator(CORPUS * 20, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return tokenizer


def state_of(tokenizer: Tokenizer) -> Any:
    return read_state(PreTrainedTokenizerFast(tokenizer_object=tokenizer))


def smaller(tokenizer: Tokenizer, texts: list[str], min_count: int = 1) -> tuple[Tokenizer, list[int]]:
    state = state_of(tokenizer)
    counts = Counter(i for text in texts for i in tokenizer.encode(text).ids)
    ids = list_needed_ids(state, [i for i, count in counts.items() if count >= min_count])
    return Tokenizer.from_str(json.dumps(trim_tokenizer(state, ids))), ids


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", CORPUS, ids=["first", "second", "third"])
def test_a_text_whose_tokens_stay_is_cut_as_before(kind: str, text: str) -> None:
    tokenizer = trained(kind)
    trim, ids = smaller(tokenizer, [text])
    assert trim.get_vocab_size() == len(ids) < tokenizer.get_vocab_size()
    old, new = tokenizer.encode(text), trim.encode(text)
    assert new.tokens == old.tokens
    assert [ids[i] for i in new.ids] == old.ids
    assert new.tokens[0] == "[CLS]"
    assert new.tokens[-1] == "[SEP]"


@pytest.mark.parametrize("kind", KINDS)
def test_other_texts_fall_to_known_tokens(kind: str) -> None:
    tokenizer = trained(kind)
    trim, ids = smaller(tokenizer, CORPUS[:1], min_count=2)
    for text in [*UNSEEN, *CORPUS]:
        encoding = trim.encode(text)
        assert all(0 <= i < len(ids) for i in encoding.ids)
        assert "".join(encoding.tokens) or not text
        if kind == "bytes_bpe":
            assert (
                trim.decode(encoding.ids) == text
                or decoders.ByteLevel().decode(encoding.tokens[1:-1]) == text
            )


def test_a_word_piece_word_falls_to_characters_before_unknown() -> None:
    tokenizer = trained("word_piece")
    trim, _ = smaller(tokenizer, ["the"])
    assert tokenizer.encode("lower").tokens == ["[CLS]", "lower", "[SEP]"]
    assert trim.encode("lower").tokens == ["[CLS]", "l", "##o", "##w", "##e", "##r", "[SEP]"]
    assert trim.encode("漢").tokens == ["[CLS]", "[UNK]", "[SEP]"]


def test_a_bpe_token_keeps_what_its_merges_pass_through() -> None:
    state: Any = {
        "model": {
            "type": "BPE",
            "unk_token": None,
            "vocab": {"a": 0, "b": 1, "c": 2, "d": 3, "ab": 4, "cd": 5, "bc": 6, "abcd": 7, "dd": 8},
            "merges": [["a", "b"], ["c", "d"], ["b", "c"], ["ab", "cd"], ["d", "d"]],
        },
        "added_tokens": [],
    }
    ids = list_needed_ids(state, [7])
    assert ids == [0, 1, 2, 3, 4, 5, 7]  # the alphabet, ab, cd, abcd
    model = trim_tokenizer(state, ids)["model"]
    assert model["merges"] == [["a", "b"], ["c", "d"], ["ab", "cd"]]
    assert model["vocab"] == {"a": 0, "b": 1, "c": 2, "d": 3, "ab": 4, "cd": 5, "abcd": 6}


def test_the_commonest_keep_the_order_of_vocabulary_and_scores() -> None:
    words = {"[PAD]": 0, "[unused1]": 1, "a": 2, "##b": 3, "the": 4, "##ing": 5, "of": 6}
    piece = {"type": "WordPiece", "continuing_subword_prefix": "##", "vocab": words}
    assert list_common_ids({"model": piece, "added_tokens": [{"id": 0}, {"id": 6}]}) == [4, 5]
    scores = [["<unk>", 0.0], ["▁rare", -9.0], ["▁a", -1.0], ["▁the", -2.0]]
    assert list_common_ids({"model": {"type": "Unigram", "vocab": scores}, "added_tokens": [{"id": 0}]}) == [
        3,
        1,
    ]


def test_a_unigram_keeps_its_least_probable_and_unknown_tokens() -> None:
    vocabulary: list[Any] = [["<pad>", 0.0], ["<unk>", 0.0], ["x", -2.0], ["dear", -9.5], ["yes", -3.0]]
    state: Any = {"model": {"type": "Unigram", "unk_id": 1, "vocab": vocabulary}, "added_tokens": [{"id": 0}]}
    ids = list_needed_ids(state, [4])
    assert ids == [0, 1, 2, 3, 4]  # x is a character of ASCII
    smaller_state = trim_tokenizer(state, [0, 1, 3, 4])
    assert smaller_state["model"]["vocab"] == [["<pad>", 0.0], ["<unk>", 0.0], ["dear", -9.5], ["yes", -3.0]]
    assert smaller_state["model"]["unk_id"] == 1


def test_added_tokens_stay_and_every_id_is_renumbered() -> None:
    state: Any = {
        "model": {"type": "WordLevel", "unk_token": "?", "vocab": {"?": 0, "a": 1, "b": 2, "<s>": 3, "c": 4}},
        "added_tokens": [{"id": 3, "content": "<s>"}, {"id": 5, "content": "<new>"}],
        "post_processor": {
            "type": "Sequence",
            "processors": [
                {"type": "ByteLevel"},
                {"type": "RobertaProcessing", "sep": ["<s>", 3], "cls": ["<s>", 3]},
                {"type": "TemplateProcessing", "special_tokens": {"<new>": {"id": "<new>", "ids": [5]}}},
            ],
        },
        "padding": {"pad_id": 3, "pad_token": "<s>"},
    }
    ids = list_needed_ids(state, [2])
    assert ids == [0, 2, 3, 5]
    trimmed = trim_tokenizer(state, ids)
    assert [token["id"] for token in trimmed["added_tokens"]] == [2, 3]
    _, roberta, template = trimmed["post_processor"]["processors"]
    assert roberta["sep"] == roberta["cls"] == ["<s>", 2]
    assert template["special_tokens"]["<new>"]["ids"] == [3]
    assert trimmed["padding"]["pad_id"] == 2
    assert state["added_tokens"][0]["id"] == 3  # the old state is as it was


def test_a_tokenizer_without_a_file_of_this_form_is_an_error() -> None:
    with pytest.raises(BuildError, match=r"object has no tokenizer\.json"):
        read_state(object())

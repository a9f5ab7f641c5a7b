"""The exported tokenizer.json gives the library tokenizers the tokens that transformers gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from fixtures.models.architectures import write_tiny
from slimgate.cli.export.tokenizer_file import FILE, is_enough, store_length_rules
from slimgate.models.saved_files import save_tokenizer

TEXTS = ["a short text", "a much longer text " * 20, "", "Wörter mit Umlauten, 数字 and 🙂"]


def load_tokenizer(folder: Path, architecture: str, **settings: Any) -> Any:
    """A saved tokenizer, with its length rules stored."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(write_tiny(folder / "model", architecture))
    tokenizer.model_max_length = 16
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    for name, value in settings.items():
        setattr(tokenizer, name, value)
    save_tokenizer(tokenizer, folder)
    store_length_rules(tokenizer, folder)
    return tokenizer


@pytest.mark.parametrize("architecture", ["bert", "roberta", "gpt2", "qwen2"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_the_file_is_enough(tmp_path: Path, architecture: str, side: str) -> None:
    tokenizer = load_tokenizer(tmp_path, architecture, padding_side=side, truncation_side=side)
    assert is_enough(tokenizer, tmp_path, [TEXTS])
    assert is_enough(tokenizer, tmp_path, [TEXTS, TEXTS[::-1]])

    rows = Tokenizer.from_file(str(tmp_path / FILE)).encode_batch_fast(TEXTS)
    assert {len(row.ids) for row in rows} == {16}
    assert [sum(row.attention_mask) for row in rows][1] == 16, "the long text is cut"


def test_transformers_ignores_the_stored_rules(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = load_tokenizer(tmp_path, "bert")
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    plain = loaded(TEXTS)["input_ids"]
    assert len(set(map(len, plain))) == len(TEXTS), "neither cut nor padded"
    assert (
        loaded(TEXTS, padding=True, truncation=True).data
        == tokenizer(TEXTS, padding=True, truncation=True).data
    )


def test_a_limit_is_stored_only_if_there_is_one(tmp_path: Path) -> None:
    load_tokenizer(tmp_path, "bert", model_max_length=10**30)
    stored = Tokenizer.from_file(str(tmp_path / FILE))
    assert stored.truncation is None
    assert len(stored.encode(TEXTS[1]).ids) > 16


def test_an_old_limit_is_not_kept(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(tmp_path, "bert", model_max_length=10**30)
    stored = Tokenizer.from_file(str(tmp_path / FILE))
    stored.enable_truncation(8)
    stored.save(str(tmp_path / FILE))
    store_length_rules(tokenizer, tmp_path)
    assert Tokenizer.from_file(str(tmp_path / FILE)).truncation is None


@pytest.mark.parametrize("name", ["no file", "special tokens are text", "another vocabulary"])
def test_the_file_is_not_enough(tmp_path: Path, name: str) -> None:
    tokenizer = load_tokenizer(tmp_path, "bert")
    if name == "no file":
        (tmp_path / FILE).unlink()
    elif name == "special tokens are text":
        tokenizer.split_special_tokens = True
    else:
        stored = Tokenizer.from_file(str(tmp_path / FILE))
        stored.add_tokens(["text"])
        stored.save(str(tmp_path / FILE))
    assert not is_enough(tokenizer, tmp_path, [TEXTS])

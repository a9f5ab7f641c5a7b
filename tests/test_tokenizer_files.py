"""A model folder holds a tokenizer, or is refused before anything loads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fixtures.tiny_clip import PARAMS, write_tiny_clip
from slimgate.errors import SuiteError
from slimgate.fresh import tokenizer_of
from slimgate.protocols import ModelRef
from slimgate.tasks import image_text
from slimgate.tokenizer_files import check_tokenizer, has_tokenizer


@pytest.mark.parametrize(
    "name", ["tokenizer.json", "vocab.txt", "vocab.json", "sentencepiece.bpe.model", "source.spm"]
)
def test_a_vocabulary_is_a_tokenizer(tmp_path: Path, name: str) -> None:
    assert not has_tokenizer(tmp_path)
    (tmp_path / name).touch()
    assert has_tokenizer(tmp_path)


@pytest.mark.parametrize(("kind", "needs_none"), [("ByT5Tokenizer", True), ("BertTokenizer", False)])
def test_a_tokenizer_of_bytes_needs_no_vocabulary(tmp_path: Path, kind: str, needs_none: bool) -> None:
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": kind}))
    assert has_tokenizer(tmp_path) is needs_none


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    for check in (check_tokenizer, lambda ref: tokenizer_of(ref, (), None)):
        with pytest.raises(SuiteError, match=r'^"m": .* has no tokenizer, expected tokenizer\.json, vocab'):
            check(ModelRef("m", tmp_path))
    check_tokenizer(ModelRef("m", tmp_path, fresh=True))
    check_tokenizer(ModelRef("owner/name"))


def test_a_model_of_images_and_texts_needs_its_processor_too(tmp_path: Path) -> None:
    folder = write_tiny_clip(tmp_path / "clip")
    config = json.loads((folder / "config.json").read_text("utf-8"))
    image_text.check_model(PARAMS, ModelRef("clip", folder), config, None)
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(SuiteError, match=r'^"clip": .* has no preprocessor_config\.json or processor_config'):
        image_text.check_model(PARAMS, ModelRef("clip", folder), config, None)

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.tiny_suite import make_tiny_run

from slimgate.errors import BuildError, SuiteError
from slimgate.models.model_ref import parse_model_ref
from slimgate.models.pretrained import load_config, make_fresh_network, train_tokenizer

SHAPES: dict[str, dict[str, Any]] = {
    "bert": {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32},
    "gpt2": {"n_embd": 16, "n_layer": 2, "n_head": 2},
}
TEXTS = ["a good film", "a bad film", "the plot is very good"]


def shape(folder: Path, family: str) -> Path:
    folder.mkdir()
    config = {"model_type": family, "vocab_size": 300, **SHAPES[family]}
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    return folder


@pytest.mark.parametrize("family", SHAPES)
def test_a_fresh_model_starts_from_the_seed_with_a_new_tokenizer(tmp_path: Path, family: str) -> None:
    shape(tmp_path / "shape", family)
    replaced = {'model = "hub"': 'model = "fresh:shape"', "keep_layers = [0, 2]": "keep_layers = [0]"}
    run = make_tiny_run(tmp_path, **replaced)
    artifact = run.build("teacher").artifact
    again = make_tiny_run(tmp_path, store="other", **replaced).build("teacher").artifact
    assert artifact.digest == again.digest
    model = artifact.load("cpu")
    assert model.config.vocab_size == len(model.tokenizer) <= 300
    assert "film" in model.tokenizer.decode(model.tokenizer("a good film")["input_ids"])
    assert len(run.measure_outcomes("teacher")) == 60


def test_a_byte_level_tokenizer_gives_every_text_back() -> None:
    tokenizer = train_tokenizer(TEXTS, family="gpt2", size=280)
    text = "Ünknown words, 42 of them\n"
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


@pytest.mark.parametrize(("family", "framed"), [("qwen3", False), ("gpt_neo", False), ("roberta", True)])
def test_only_an_encoders_tokenizer_frames_texts(family: str, framed: bool) -> None:
    tokenizer = train_tokenizer(TEXTS, family=family, size=280)
    ids = tokenizer("a good film")["input_ids"]
    assert (ids[0] == tokenizer.bos_token_id) is framed
    assert (ids[-1] == tokenizer.eos_token_id) is framed


def test_a_tokenizer_needs_texts() -> None:
    with pytest.raises(BuildError, match="no text to train a tokenizer on"):
        train_tokenizer(["", " "], family="gpt2", size=280)


def test_fresh_weights_need_a_configuration_and_have_no_digest(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match=r"has no config\.json"):
        parse_model_ref(f"fresh:{tmp_path}")
    with pytest.raises(SuiteError, match="have no sha256"):
        parse_model_ref(f"fresh:{shape(tmp_path / 'shape', 'gpt2')}", sha256="00")


def test_a_vocabulary_has_room_for_every_byte() -> None:
    with pytest.raises(BuildError, match=r"vocab_size = 100 in .*, expected at least 260: 256 bytes"):
        train_tokenizer(TEXTS, family="bert", size=100)
    assert len(train_tokenizer(TEXTS, family="bert", size=260)) == 260


def test_an_impossible_configuration_is_one_line(tmp_path: Path) -> None:
    folder = shape(tmp_path / "shape", "bert")
    config = json.loads((folder / "config.json").read_text("utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, "num_attention_heads": 0}), "utf-8")
    ref = parse_model_ref(f"fresh:{folder}")
    with pytest.raises(BuildError, match="transformers cannot make it as AutoModel: integer modulo by zero"):
        make_fresh_network("AutoModel", ref, load_config(ref))

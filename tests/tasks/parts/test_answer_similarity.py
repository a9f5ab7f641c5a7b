"""Cosines of answers by an encoder in a folder, beside those worked out from its token vectors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from fixtures.models.tiny import write_tiny_bert
from slimgate.errors import MeasureError
from slimgate.tasks.parts.answer_figures import compute_similarities

ANSWERS = ["good film", "nice plot the movie is very fun", "", "bad"]
OTHERS = ["nice movie", "nice plot the movie is very fun", "film", "bad film not good"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bert(tmp_path_factory.mktemp("encoder") / "plain")


def pooled(folder: Path, text: str, how: str) -> torch.Tensor:
    """One text alone, without padding."""
    from transformers import AutoModel, AutoTokenizer

    ids = AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        states = AutoModel.from_pretrained(folder).eval()(input_ids=ids).last_hidden_state[0]
    return torch.nn.functional.normalize((states[0] if how == "cls" else states.mean(0)).double(), dim=-1)


def test_they_are_cosines_of_mean_vectors_from_0_to_1(folder: Path) -> None:
    cosines = compute_similarities(folder, ANSWERS, OTHERS)
    assert cosines[1] == 1
    for place in (0, 2, 3):
        vector, other = (pooled(folder, texts[place], "mean") for texts in (ANSWERS, OTHERS))
        assert cosines[place] == pytest.approx(max(0.0, float(vector @ other)), abs=1e-5)
    assert 0 <= cosines.min() <= cosines.max() == 1


def test_the_folder_says_how_tokens_are_pooled(folder: Path, tmp_path: Path) -> None:
    import shutil

    encoder = shutil.copytree(folder, tmp_path / "cls")
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    ]
    (encoder / "modules.json").write_text(json.dumps(modules))
    (encoder / "1_Pooling").mkdir()
    (encoder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_cls_token": True}))
    vector, other = (pooled(encoder, texts[3], "cls") for texts in (ANSWERS, OTHERS))
    assert compute_similarities(encoder, ANSWERS[3:], OTHERS[3:])[0] == pytest.approx(
        max(0.0, float(vector @ other)), abs=1e-5
    )


def test_the_end_of_a_long_answer_counts(folder: Path) -> None:
    """The encoder reads 64 tokens at once; of the longer answer it reads two parts."""
    first, last = " ".join(["good"] * 62), " ".join(["bad"] * 31)
    parts = [pooled(folder, text, "mean") for text in (first, last)]
    expected = parts[0] @ torch.nn.functional.normalize(64 * parts[0] + 33 * parts[1], dim=-1)
    [cosine] = compute_similarities(folder, [first], [f"{first} {last}"])
    assert cosine == pytest.approx(float(expected), abs=1e-5)
    assert cosine < 0.999


def test_a_slow_tokenizer_is_refused_for_a_long_answer(folder: Path, tmp_path: Path) -> None:
    import shutil

    encoder = shutil.copytree(folder, tmp_path / "slow")
    (encoder / "tokenizer.json").unlink()
    settings = {"tokenizer_class": "BertJapaneseTokenizer", "word_tokenizer_type": "basic"}
    (encoder / "tokenizer_config.json").write_text(json.dumps(settings))
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad"]
    (encoder / "vocab.txt").write_text("\n".join(words), "utf-8")
    assert compute_similarities(encoder, ["good bad"], ["bad"])[0] < 1
    with pytest.raises(MeasureError, match="64 tokens or more, and BertJapaneseTokenizer does not"):
        compute_similarities(encoder, [" ".join(["good"] * 70)], ["bad"])


def test_equal_answers_need_no_encoder(tmp_path: Path) -> None:
    assert compute_similarities(tmp_path / "missing", ["a", ""], ["a", ""]).tolist() == [1, 1]


def test_a_folder_without_weights_of_the_encoder_is_refused(folder: Path, tmp_path: Path) -> None:
    import shutil

    from safetensors.torch import load_file, save_file

    encoder = shutil.copytree(folder, tmp_path / "broken")
    weights = load_file(encoder / "model.safetensors")
    save_file(
        {name: tensor for name, tensor in weights.items() if "layer.1." not in name},
        encoder / "model.safetensors",
    )
    with pytest.raises(MeasureError, match=r"no weights of encoder\.layer\.1"):
        compute_similarities(encoder, ["good"], ["bad"])

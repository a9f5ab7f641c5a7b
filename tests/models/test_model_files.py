"""What a model's folder may not ask for."""

from __future__ import annotations

import importlib.util
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file
from transformers import AutoConfig, BertConfig

from fixtures.models.architectures import write_tiny
from slimgate.errors import BuildError, SuiteError
from slimgate.models.model_files import check_model_files
from slimgate.models.model_ref import parse_model_ref, read_config
from slimgate.models.pretrained import forbid_code, load_weights
from slimgate.models.quantized_files import read_method_name, read_quantization, read_quantized
from slimgate.tasks.parts.sentence_models import read_sentence_layout
from tools.trust.hostile.models import Bomb


def folder_of(path: Path, **config: Any) -> Path:
    """A model's folder with this config.json."""
    (path / "config.json").write_text(json.dumps(config))
    return path


def is_accepted(folder: Path) -> bool:
    """Whether a suite may name the folder as a model. Raises SuiteError where it may not."""
    return parse_model_ref(str(folder)).folder == folder


def test_a_sound_folder_is_taken(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, model_type="bert")
    for name in ("a.safetensors", "b.safetensors"):
        save_file({"x": np.zeros(2)}, folder / name)
    (folder / "model.safetensors.index.json").write_text(
        '{"weight_map": {"x": "a.safetensors", "y": "b.safetensors"}}'
    )
    assert is_accepted(folder)


def test_a_models_code_is_left_alone_if_transformers_has_classes(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, model_type="bert", auto_map={"AutoConfig": "own.Config"})
    (folder / "model.safetensors").touch()
    (folder / "own.py").write_text("raise AssertionError('this code ran')\n")
    assert is_accepted(folder)
    assert type(AutoConfig.from_pretrained(folder)) is BertConfig
    (folder / "tokenizer_config.json").write_text(
        '{"tokenizer_class": "BertTokenizerFast", "auto_map": {"AutoTokenizer": ["own.Tokenizer", null]}}'
    )
    assert is_accepted(folder)


def test_code_of_its_own_is_refused_where_nothing_else_would_do(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, model_type="own", auto_map={"AutoModel": "own.Model"})
    with pytest.raises(
        SuiteError, match=r'^"m": config\.json needs custom code of the model \(own\.Model\), which'
    ):
        check_model_files(folder, "m")


def test_an_adapter_next_to_the_weights_is_refused(tmp_path: Path) -> None:
    """transformers would add it to weights in which it is merged."""
    folder = folder_of(tmp_path, model_type="bert")
    (folder / "model.safetensors").touch()
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    with pytest.raises(SuiteError, match=r'^"m": adapter_config\.json asks for .* save the model in another'):
        check_model_files(folder, "m")


@pytest.mark.parametrize(
    "shard", ["../a.safetensors", "/a.safetensors", "inner/a.safetensors", "gone.safetensors"]
)
def test_shards_are_beside_their_index(tmp_path: Path, shard: str) -> None:
    folder = folder_of(tmp_path, model_type="bert")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"x": shard}}))
    with pytest.raises(SuiteError, match="expected an existing file next to it"):
        check_model_files(folder, "m")


def test_a_compressed_bin_is_not_opened(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "pytorch_model.bin", "w", zipfile.ZIP_DEFLATED) as stored:
        stored.writestr("archive/data/0", bytes(1_000_000))
    with pytest.raises(SuiteError, match=r"pytorch_model\.bin is compressed, 1,000,000 bytes in 1,\d+"):
        check_model_files(tmp_path, "m")


def test_what_torch_saves_is_not_taken_for_a_bomb(tmp_path: Path) -> None:
    import torch

    folder = folder_of(tmp_path, model_type="bert")
    torch.save({"x": torch.ones(1000)}, folder / "pytorch_model.bin")
    assert is_accepted(folder)
    with forbid_code("m"):
        assert torch.load(folder / "pytorch_model.bin", weights_only=True)["x"].sum() == 1000


def test_a_pickle_of_more_than_numbers_is_refused_without_advice(tmp_path: Path) -> None:
    import torch

    file = tmp_path / "pytorch_model.bin"
    file.write_bytes(pickle.dumps(Bomb(tmp_path / "ran"), protocol=2))
    with (
        pytest.raises(BuildError, match=r"^m: its \.bin file contains more than numbers") as caught,
        forbid_code("m"),
    ):
        torch.load(file, weights_only=True)
    assert "weights_only" not in str(caught.value)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("path", ["../other", "/tmp", "a/../../b"])
def test_a_module_of_sentence_transformers_stays_in_its_folder(tmp_path: Path, path: str) -> None:
    modules = [{"type": "sentence_transformers.models.Pooling", "path": path}]
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(BuildError, match="is outside of the model's folder"):
        read_sentence_layout(tmp_path)


@pytest.mark.parametrize(
    ("method", "install"),
    [("bitsandbytes", "bitsandbytes"), ("hqq", "hqq"), ("quanto", "optimum-quanto"), ("vptq", "vptq")],
)
def test_a_quantized_model_names_the_package_that_is_missing(
    tmp_path: Path, method: str, install: str
) -> None:
    if importlib.util.find_spec(install.partition("-")[0]) is not None:
        pytest.skip(f"{install} is installed here")
    folder = folder_of(tmp_path, model_type="bert", quantization_config={"quant_method": method})
    with pytest.raises(SuiteError, match=rf"quantized by {method}, which needs .*pip install {install}$"):
        read_quantized(folder, read_config(folder), "m")


def test_bitsandbytes_is_known_by_its_own_keys() -> None:
    config = {"quantization_config": {"load_in_4bit": True}}
    stated = read_quantization(config, "m")
    assert stated is not None
    assert read_method_name(stated) == "bitsandbytes"


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ({"quant_method": "own"}, "quant_method 'own', which transformers does not read; known: aqlm, "),
        ({}, "a quantization_config without quant_method, which transformers does not read"),
        (3, "quantization_config = '3', expected an object with quant_method"),
    ],
)
def test_other_ways_of_quantizing_are_one_line(tmp_path: Path, stated: Any, message: str) -> None:
    folder = folder_of(tmp_path, model_type="bert", quantization_config=stated)
    (folder / "model.safetensors").touch()
    with pytest.raises(SuiteError, match=message):
        parse_model_ref(str(folder))


def test_no_way_of_quantizing_is_a_float_model(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, model_type="bert", quantization_config=None)
    (folder / "model.safetensors").touch()
    assert is_accepted(folder)


POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 12345\n"


@pytest.mark.parametrize(
    "names",
    [
        ("model.safetensors",),
        ("model.safetensors", "tokenizer.json"),
        ("pytorch_model.bin",),
        ("model.onnx",),
        ("model.xml", "model.bin"),
        ("model.gguf",),
    ],
    ids=["safetensors", "tokenizer", "bin", "onnx", "openvino", "gguf"],
)
def test_a_pointer_of_git_lfs_is_named(tmp_path: Path, names: tuple[str, ...]) -> None:
    folder = folder_of(tmp_path, model_type="bert")
    (folder / "tokenizer.json").write_text("{}", "utf-8")
    for name in names:
        (folder / name).touch()
    (folder / names[-1]).write_text(POINTER, "utf-8")
    with pytest.raises(SuiteError, match=f"{names[-1]} is a pointer of Git LFS.*`git lfs pull`"):
        parse_model_ref(str(folder))


def test_a_damaged_safetensors_file_is_named(tmp_path: Path) -> None:
    folder = write_tiny(tmp_path / "hub", "bert", labels=("neg", "pos"))
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    ref = parse_model_ref(str(folder))
    with pytest.raises(BuildError, match=r"model\.safetensors is not a complete safetensors file"):
        load_weights("AutoModelForSequenceClassification", ref)

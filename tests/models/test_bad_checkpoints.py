"""Ten folders that cannot be judged: each is one line, before any weight is read."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file
from support.versions import has_version, needs

from fixtures.models.building import make_tiny_context
from fixtures.models.gguf_edits import copy_gguf
from fixtures.models.quantized import WRITERS, quantize_by_gguf, write_tiny_llama
from slimgate.errors import BuildError, SlimgateError, SuiteError
from slimgate.models.model_ref import parse_model_ref
from slimgate.tasks import causal_lm

PARAMS = causal_lm.Params(text=("text",), max_tokens=8, stride=4)


@pytest.fixture(scope="module")
def float_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_llama(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def packed_folder(float_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return WRITERS["compressed_tensors_w4a16"](float_folder, tmp_path_factory.mktemp("packed"))


def edit_config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **changes}), "utf-8")


def without_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def with_wrong_group_size(folder: Path) -> None:
    quantization = json.loads((folder / "config.json").read_text("utf-8"))["quantization_config"]
    quantization["config_groups"]["group_0"]["weights"]["group_size"] = 64
    edit_config(folder, quantization_config=quantization)


def without_scales(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    remaining = {
        name: weight for name, weight in weights.items() if "layers.1.mlp.up_proj.weight_scale" not in name
    }
    save_file(remaining, folder / "model.safetensors", metadata={"format": "pt"})


def of_unknown_format(folder: Path) -> None:
    edit_config(folder, quantization_config={"quant_method": "gptqq", "bits": 4})


def with_code_of_its_own(folder: Path) -> None:
    edit_config(folder, auto_map={"AutoConfig": "modeling.Config"}, model_type="own_llama")


def with_a_missing_shard(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    index = {"weight_map": {"lm_head.weight": "model-00002-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), "utf-8")


def with_a_list_for_an_object(folder: Path) -> None:
    edit_config(folder, quantization_config=["gptq", 4])


BAD: dict[str, tuple[Callable[[Path], None], str]] = {
    "no_weights": (without_weights, r"has no weights \(model\.safetensors or"),
    "group_size": (with_wrong_group_size, r"group_size = 64, but the scales of .*_proj are for groups of 32"),
    "no_scales": (without_scales, r"its files lack 1 \(model\.layers\.1\.mlp\.up_proj\.weight_scale\)"),
    "unknown_format": (of_unknown_format, r"quant_method 'gptqq', which .* Did you mean gptq\?"),
    "own_code": (with_code_of_its_own, r"needs custom code of the model \(modeling\.Config\)"),
    "missing_shard": (with_a_missing_shard, r"names the file 'model-00002-of-00002\.safetensors'"),
    "no_object": (with_a_list_for_an_object, r"quantization_config = \"\['gptq', 4\]\", expected an object"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_folder_is_one_line(packed_folder: Path, name: str, tmp_path: Path) -> None:
    spoil, expected = BAD[name]
    folder = shutil.copytree(packed_folder, tmp_path / "model")
    spoil(folder)
    with pytest.raises(SuiteError, match=expected) as raised:
        parse_model_ref(str(folder))
    assert "\n" not in str(raised.value)


@needs("transformers>=5.18")
@pytest.mark.parametrize("share", [0.5, 0.98, 0.01], ids=["half", "all_but_the_last_blocks", "header"])
def test_a_truncated_gguf_file_is_one_line(float_folder: Path, share: float, tmp_path: Path) -> None:
    file = quantize_by_gguf(float_folder, tmp_path / "llama.gguf")
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    with pytest.raises(
        SuiteError, match=r"llama\.gguf is not a complete GGUF file .* download it again"
    ) as raised:
        parse_model_ref(str(file))
    assert "\n" not in str(raised.value)


@needs("transformers>=5.18")
@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (
            {"big_endian": True},
            r"numbers in big-endian byte order.* convert it with `gguf-convert-endian FILE little`",
        ),
        ({"values": {"split.count": 3}}, r"is one of 3 parts of a split model, .* `llama-gguf-split --merge"),
    ],
    ids=["big_endian", "split"],
)
def test_a_gguf_file_that_is_not_for_this_machine_is_one_line(
    float_folder: Path, tmp_path: Path, change: Any, problem: str
) -> None:
    file = copy_gguf(
        quantize_by_gguf(float_folder, tmp_path / "llama.gguf"), tmp_path / "other.gguf", **change
    )
    with pytest.raises(SuiteError, match=problem) as raised:
        parse_model_ref(str(file), kinds={"gguf"})
    assert "\n" not in str(raised.value)


@needs("transformers>=5.18")
@pytest.mark.skipif(
    has_version("llama-cpp-python"), reason="llama.cpp may have it, and says so while it loads"
)
def test_a_gguf_file_of_another_architecture_is_one_line(float_folder: Path, tmp_path: Path) -> None:
    file = quantize_by_gguf(float_folder, tmp_path / "model.gguf", architecture="lama")
    with pytest.raises(SuiteError, match=r"architecture 'lama', which transformers .* Did you mean llama\?"):
        parse_model_ref(str(file))


def test_a_pickle_is_never_opened(float_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(float_folder, tmp_path / "model")
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"weight": Runs(tmp_path / "ran")}, protocol=2))
    ref = parse_model_ref(str(folder))
    with pytest.raises(BuildError, match=r"its \.bin file contains more than numbers"):
        causal_lm.task.load_model(
            PARAMS, ref, make_tiny_context(tmp_path / "rows", task=causal_lm.task, params=PARAMS)
        )
    assert not (tmp_path / "ran").exists()


class Runs:
    """What a pickle may do when it is opened."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_two_gguf_files_are_one_line(float_folder: Path, tmp_path: Path) -> None:
    for kind in ("Q4_0", "Q8_0"):
        quantize_by_gguf(float_folder, tmp_path / f"llama.{kind}.gguf", kind)
    with pytest.raises(
        SuiteError, match=r"2 GGUF files \(llama\.Q4_0\.gguf, llama\.Q8_0\.gguf\), expected one"
    ):
        parse_model_ref(str(tmp_path))


@needs("transformers>=5.18")
def test_a_folder_with_one_gguf_file_is_that_model(float_folder: Path, tmp_path: Path) -> None:
    quantize_by_gguf(float_folder, tmp_path / "llama.gguf")
    assert parse_model_ref(str(tmp_path)).file == "llama.gguf"


@needs("transformers>=5.18")
@pytest.mark.parametrize("options", [{"new_head": True}, {"sha256": "0" * 64}], ids=["new_head", "sha256"])
def test_what_a_gguf_file_cannot_have(float_folder: Path, options: Any, tmp_path: Path) -> None:
    file = quantize_by_gguf(float_folder, tmp_path / "llama.gguf")
    with pytest.raises(SlimgateError, match=r"cannot get a new head|the suite expects 0{64}"):
        parse_model_ref(str(file), **options)


def test_dtype_of_fresh_weights_is_an_error(float_folder: Path) -> None:
    with pytest.raises(SuiteError, match="fresh weights are float32; leave dtype out"):
        parse_model_ref(f"fresh:{float_folder}", dtype="bfloat16")

"""slimgate weights: the precision of weights by kind of layer, against what a configuration claims."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from support.versions import needs

from fixtures.models.quantized import QUANTIZED, WRITERS, quantize_by_gguf, write_tiny_llama
from slimgate.cli.main import main
from slimgate.cli.weights import describe_problem
from slimgate.errors import SuiteError
from slimgate.models.weight_shares import WeightShares, read_weight_shares


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_llama(tmp_path_factory.mktemp("llama"))


def blocks(folder: Path) -> dict[str, int]:
    """Weights of the blocks' matrices by precision."""
    shares, sums = read_weight_shares(str(folder)), dict[str, int]()
    for kind in ("attention", "mlp"):
        for precision, numbers in shares.counts[kind].items():
            sums[precision] = sums.get(precision, 0) + numbers
    return sums


def test_floats_are_counted_by_kind(source: Path) -> None:
    shares = read_weight_shares(str(source))
    assert blocks(source) == {"bfloat16": QUANTIZED}
    assert (shares.claim, shares.quantized_share, shares.unmatched) == ("", 0.0, ())
    assert set(shares.counts) == {"embeddings", "output", "attention", "mlp", "norms and biases"}


@pytest.mark.parametrize(
    ("writer", "precision"), [("compressed_tensors_w4a16", "int4"), ("compressed_tensors_w8a8", "int8")]
)
def test_packed_weights_count_as_what_they_stand_for(
    source: Path, tmp_path: Path, writer: str, precision: str
) -> None:
    folder = WRITERS[writer](source, tmp_path / "packed")
    assert blocks(folder) == {precision: QUANTIZED}
    assert read_weight_shares(str(folder)).quantized_share == 1.0
    assert read_weight_shares(str(folder)).unmatched == ()


@needs("transformers>=5.18")
def test_a_gguf_file_is_counted_by_its_types(source: Path, tmp_path: Path) -> None:
    file = quantize_by_gguf(source, tmp_path / "llama.gguf", "Q8_0")
    assert blocks(file) == {"Q8_0": QUANTIZED}
    assert read_weight_shares(str(file)).claim == "gguf, Q8_0"


@needs("transformers>=5.18")
def test_a_gguf_file_that_holds_another_type_than_claimed_fails(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = quantize_by_gguf(source, tmp_path / "llama.gguf", "F16", claim="MOSTLY_Q4_K_M")
    shares = read_weight_shares(str(file))
    assert (shares.claim, shares.quantized_share) == ("gguf, Q4_K_M", 0.0)
    assert main(["weights", str(file)]) == 1
    assert "FAIL: the configuration claims gguf, Q4_K_M, and no weight of" in capsys.readouterr().out


def test_a_folder_without_headers_is_one_line(tmp_path: Path) -> None:
    folder = write_tiny_llama(tmp_path / "pickled")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(SuiteError, match=r"has no readable \*\.safetensors and no graph \(\*\.onnx"):
        read_weight_shares(str(folder))


def test_a_recipe_that_matched_nothing_is_named_and_fails(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_tiny_llama(tmp_path / "claims")
    config = json.loads((folder / "config.json").read_text("utf-8"))
    group = {"targets": ["re:.*qkv_proj$"], "weights": {"num_bits": 4, "group_size": 32, "type": "int"}}
    config["quantization_config"] = {
        "quant_method": "compressed-tensors",
        "format": "pack-quantized",
        "config_groups": {"group_0": group},
        "ignore": ["lm_head", "model.layers.7.mlp.down_proj"],
    }
    from slimgate.models.weight_shares import _read_folder_shares

    shares = _read_folder_shares(folder, config)
    assert shares.unmatched == ("re:.*qkv_proj$", "model.layers.7.mlp.down_proj")
    assert shares.quantized_share == 0.0
    assert main(["weights", str(source), "--quantized-share-min", "0.5"]) == 1
    printed = capsys.readouterr().out
    assert "FAIL: 0.0% of the blocks' matrices are quantized, expected at least 50.0%" in printed
    assert main(["weights", str(source)]) == 0


def test_a_share_just_below_the_least_is_not_rounded_to_it() -> None:
    shares = WeightShares({"mlp": {"int8": 9496, "float16": 504}}, "")
    assert describe_problem(shares, 0.95) == (
        "FAIL: 94.96% of the blocks' matrices are quantized, expected at least 95.00%"
    )


def test_a_share_above_one_is_one_line(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", str(source), "--quantized-share-min", "95"]) == 4
    assert "--quantized-share-min 95: expected a share from 0 to 1" in capsys.readouterr().err


def write_folder(folder: Path, tensors: dict[str, tuple[torch.dtype, tuple[int, ...]]], **config: Any) -> str:
    """A folder of tensors of zeros, by their names."""
    folder.mkdir()
    zeros = {name: torch.zeros(shape, dtype=dtype) for name, (dtype, shape) in tensors.items()}
    save_file(zeros, folder / "model.safetensors", {"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config))
    return str(folder)


@pytest.mark.parametrize("stored", [torch.bool, torch.uint8, torch.float32], ids=str)
def test_masks_of_older_checkpoints_are_no_weights(tmp_path: Path, stored: torch.dtype) -> None:
    block = "gpt_neox.layers.0"
    tensors = {
        "gpt_neox.embed_in.weight": (torch.float16, (64, 16)),
        f"{block}.attention.bias": (stored, (1, 1, 128, 128)),
        f"{block}.attention.masked_bias": (torch.float16, ()),
        f"{block}.attention.query_key_value.weight": (torch.float16, (48, 16)),
        f"{block}.mlp.dense_h_to_4h.weight": (torch.float16, (64, 16)),
        f"{block}.attention.position_ids": (torch.int64, (1, 128)),
    }
    shares = read_weight_shares(write_folder(tmp_path / "pythia", tensors, model_type="gpt_neox"))
    assert shares.quantized_share == 0.0
    assert (shares.counts["attention"], shares.counts["mlp"]) == ({"float16": 768}, {"float16": 1024})


def test_mxfp4_experts_have_two_weights_a_byte(tmp_path: Path) -> None:
    block = "model.layers.0"
    tensors = {
        f"{block}.mlp.experts.gate_up_proj_blocks": (torch.uint8, (4, 256, 4, 16)),
        f"{block}.mlp.experts.gate_up_proj_scales": (torch.uint8, (4, 256, 4)),
        f"{block}.mlp.experts.gate_up_proj_bias": (torch.bfloat16, (4, 256)),
        f"{block}.mlp.router.weight": (torch.bfloat16, (4, 128)),
        f"{block}.self_attn.q_proj.weight": (torch.bfloat16, (128, 128)),
    }
    left_out = ["model.layers.*.self_attn", "model.layers.*.mlp.router", "lm_head"]
    quantization = {"quant_method": "mxfp4", "modules_to_not_convert": left_out}
    folder = write_folder(
        tmp_path / "gpt-oss", tensors, model_type="gpt_oss", quantization_config=quantization
    )
    shares = read_weight_shares(folder)
    assert shares.counts["experts"] == {"fp4": 4 * 256 * 128}
    assert shares.counts["norms and biases"] == {"bfloat16": 4 * 256}
    assert shares.quantized_share == pytest.approx(131_072 / (131_072 + 16_384 + 512))
    assert shares.unmatched == ("lm_head",)


def test_the_dense_layers_of_heads_are_no_blocks(tmp_path: Path) -> None:
    square = (torch.float32, (16, 16))
    names = ("bert.pooler.dense", "classifier.dense", "bert.encoder.layer.0.output.dense")
    tensors = {f"{name}.weight": square for name in names}
    shares = read_weight_shares(write_folder(tmp_path / "bert", tensors, model_type="bert"))
    assert shares.counts == {"mlp": {"float32": 256}, "output": {"float32": 512}}

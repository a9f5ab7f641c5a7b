"""slimgate weights: the precision of weights by kind of layer, against what a configuration claims."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.versions import needs

from fixtures.models.quantized import QUANTIZED, WRITERS, by_gguf, write_tiny_llama
from slimgate.cli.main import main
from slimgate.errors import SuiteError
from slimgate.models.weight_shares import read_weight_shares


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
    ("writer", "precision"),
    [
        ("compressed_tensors_w4a16", "int4"),
        ("compressed_tensors_w8a8", "int8"),
    ],
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
    file = by_gguf(source, tmp_path / "llama.gguf", "Q8_0")
    assert blocks(file) == {"Q8_0": QUANTIZED}
    assert read_weight_shares(str(file)).claim == "gguf, Q8_0"


@needs("transformers>=5.18")
def test_a_gguf_file_that_holds_another_type_than_claimed_fails(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = by_gguf(source, tmp_path / "llama.gguf", "F16", claim="MOSTLY_Q4_K_M")
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
    from slimgate.models.weight_shares import _of_folder

    shares = _of_folder(folder, config)
    assert shares.unmatched == ("re:.*qkv_proj$", "model.layers.7.mlp.down_proj")
    assert shares.quantized_share == 0.0
    assert main(["weights", str(source), "--quantized-share-min", "0.5"]) == 1
    printed = capsys.readouterr().out
    assert "FAIL: 0.0% of the blocks' matrices are quantized, expected at least 50.0%" in printed
    assert main(["weights", str(source)]) == 0


def test_a_share_above_one_is_one_line(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", str(source), "--quantized-share-min", "95"]) == 4
    assert "--quantized-share-min 95: expected a share from 0 to 1" in capsys.readouterr().err

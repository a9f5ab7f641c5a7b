"""slimgate.models.torch_model: what is saved comes back to the bit, for every architecture that steps
reach.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import nn
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from fixtures.models.architectures import ENCODER_DECODERS, SHAPES, write_tiny
from fixtures.models.building import (
    MEAN,
    PARAMS,
    load_tiny,
    make_tiny_classifier,
    make_tiny_context,
    save_and_load,
    save_model,
)
from fixtures.models.masking import INPUTS
from slimgate.errors import BuildError
from slimgate.models.blocks import find_only_block_list, find_output_linear
from slimgate.models.torch_model import TorchModel, load_torch_model, measure_size
from slimgate.tasks import text_classification


def logits(model: TorchModel) -> torch.Tensor:
    with torch.inference_mode():
        scores: torch.Tensor = model.network(**INPUTS).logits
    return scores


CASES: list[Any] = [
    pytest.param(name, {}, PARAMS, id=name) for name in SHAPES if name not in ENCODER_DECODERS
]
CASES += [
    pytest.param("gpt2", {"tie_word_embeddings": False}, PARAMS, id="gpt2-untied"),
    pytest.param("llama", {"tie_word_embeddings": True}, PARAMS, id="llama-tied"),
    pytest.param("bert", {}, MEAN, id="bert-mean"),
    pytest.param("distilbert", {}, MEAN, id="distilbert-mean"),
    pytest.param("gpt2", {}, MEAN, id="gpt2-mean"),
]


@pytest.mark.parametrize(("architecture", "config", "params"), CASES)
def test_logits_are_equal_to_the_bit_after_saving_and_loading(
    tmp_path: Path, architecture: str, config: dict[str, Any], params: text_classification.Params
) -> None:
    labels = ("neg", "pos") if params is PARAMS else None
    context = make_tiny_context(tmp_path / "rows", params=params)
    model = load_tiny(write_tiny(tmp_path / "hub", architecture, labels=labels, **config), context)
    again = save_and_load(model, tmp_path / "saved")
    assert torch.equal(logits(again), logits(model))
    assert logits(model).shape == (3, 2)
    assert not again.network.training
    assert again.measure_size() == model.measure_size()
    assert sorted(p.suffix for p in (tmp_path / "saved").iterdir() if p.suffix != ".json") == [".safetensors"]
    twice = save_and_load(again, tmp_path / "twice")
    assert torch.equal(logits(twice), logits(model))
    for file in sorted((tmp_path / "saved").iterdir()):
        assert (tmp_path / "twice" / file.name).read_bytes() == file.read_bytes(), file.name


@pytest.mark.parametrize("params", [PARAMS, MEAN], ids=["model", "mean"])
def test_a_half_precision_model_of_the_hub_is_and_stays_float32(
    tmp_path: Path, params: text_classification.Params
) -> None:
    from transformers import AutoModel

    write_tiny(tmp_path / "hub", "bert")
    AutoModel.from_pretrained(tmp_path / "hub").to(torch.bfloat16).save_pretrained(tmp_path / "hub")
    assert json.loads((tmp_path / "hub" / "config.json").read_text())["dtype"] == "bfloat16"
    model = load_tiny(tmp_path / "hub", make_tiny_context(tmp_path / "rows", params=params))
    with torch.no_grad():
        for weight in model.network.parameters():
            weight.add_(1e-4)  # lost in bfloat16
    again = save_and_load(model, tmp_path / "saved")
    assert {weight.dtype for weight in again.network.parameters()} == {torch.float32}
    assert torch.equal(logits(again), logits(model))


def test_shared_tensors_are_stored_once_and_shared_again(tmp_path: Path) -> None:
    model, _ = make_tiny_classifier(tmp_path)
    layers = find_only_block_list(model.network)
    layers[1].attention.self.query.weight = layers[0].attention.self.query.weight
    stored = safetensors.torch.load_file(save_model(model, tmp_path / "saved") / "model.safetensors")
    assert len(stored) == len(model.network.state_dict()) - 1
    assert torch.equal(logits(load_torch_model(tmp_path / "saved")), logits(model))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused_by_name(tmp_path: Path, value: float) -> None:
    model, _ = make_tiny_classifier(tmp_path)
    with torch.no_grad():
        model.network.classifier.weight[1, 3] = value
    with pytest.raises(BuildError, match=r"NaN or infinite after the step, first in classifier\.weight"):
        save_model(model, tmp_path / "saved")
    assert list((tmp_path / "saved").iterdir()) == []


def test_modules_that_a_step_did_not_name_are_an_error(tmp_path: Path) -> None:
    model, _ = make_tiny_classifier(tmp_path)
    model.network.classifier = nn.Sequential(model.network.classifier)
    save_model(model, tmp_path / "saved")
    with pytest.raises(
        BuildError, match=r'do not fit the network \(.*"classifier\.0\.bias".*with `replace_modules_`'
    ):
        load_torch_model(tmp_path / "saved")


class Quantized(nn.Module):
    quantized_weights = ("weight",)

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", torch.tensor([[1, 0], [3, -4]], dtype=torch.int8))


def test_a_t5_with_a_head_of_its_own_keeps_it_and_its_scale(tmp_path: Path) -> None:
    """As T5 1.1 and Flan-T5: transformers ties the two whenever it makes the class from a configuration."""
    folder = write_tiny(tmp_path / "hub", "t5", causal=True)
    network = AutoModelForSeq2SeqLM.from_pretrained(folder)
    network.lm_head.weight = nn.Parameter(torch.randn_like(network.lm_head.weight))
    network.config.scale_decoder_outputs = False
    model = TorchModel(
        network.eval(), AutoTokenizer.from_pretrained(folder), "transformers:AutoModelForSeq2SeqLM"
    )
    again = save_and_load(model, tmp_path / "saved")
    assert again.network.lm_head.weight is not again.network.shared.weight
    assert again.network.encoder.embed_tokens.weight is again.network.shared.weight
    inputs = {**INPUTS, "decoder_input_ids": torch.tensor([[0, 4], [0, 5], [0, 6]])}
    with torch.inference_mode():
        assert torch.equal(again.network(**inputs).logits, network(**inputs).logits)
    assert again.measure_size() == model.measure_size()


def test_size_by_hand() -> None:
    network = nn.Sequential(nn.Linear(3, 2), Quantized())
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([[1.0, 0.0, 2.0], [0.0, 0.0, 3.0]]))
        network[0].bias.copy_(torch.tensor([0.0, 5.0]))
    size = measure_size(network)
    assert size["parameters"] == 6 + 2 + 4
    assert size["nonzero_parameters"] == 3 + 1 + 3
    header = size["state_bytes"] - (8 * 4 + 4)  # 8 float32 numbers and 4 int8 numbers
    assert 8 < header < 300


def test_size_counts_a_shared_weight_once() -> None:
    first, second = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)
    second.weight = first.weight
    size = measure_size(nn.Sequential(first, second))
    assert size["parameters"] == 16
    assert 64 < size["state_bytes"] < 128 + 64


@pytest.mark.parametrize("architecture", [name for name in SHAPES if name not in ENCODER_DECODERS])
def test_blocks_and_the_output_layer_are_found(tmp_path: Path, architecture: str) -> None:
    folder = write_tiny(tmp_path / "hub", architecture, labels=("a", "b", "c"))
    network = load_tiny(
        folder, make_tiny_context(tmp_path / "rows", classes=("a", "b", "c"), selection=0)
    ).network
    assert len(find_only_block_list(network)) == 4
    layer = find_output_linear(network, 3)
    seen = []
    layer.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    answer = network(**INPUTS).logits
    assert any(torch.equal(answer[0], row) for row in seen[0].reshape(-1, 3))


def test_a_network_without_blocks_or_output_layer_is_an_error() -> None:
    network: Any = nn.Sequential(nn.Linear(2, 2))
    network.config = type("Config", (), {"num_hidden_layers": 4})()
    with pytest.raises(BuildError, match="no list of its 4 transformer blocks"):
        find_only_block_list(network)
    with pytest.raises(BuildError, match="no linear layer gives 5 outputs"):
        find_output_linear(network, 5)

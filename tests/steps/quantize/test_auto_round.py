"""The step auto_round: each layout is read again by transformers, and calibration is the suite's rows."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from support.warm_workers import fork_workers

from fixtures.models.building import make_tiny_causal, make_tiny_classifier, save_model
from slimgate.errors import BuildError
from slimgate.models.served import load_served
from slimgate.steps.quantize import auto_round
from slimgate.steps.quantize.auto_round import make_calibration_sequences

pytest.importorskip("auto_round")

# Rows of 64 columns are two groups of 32.
SHAPE = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "head_dim": 16}
build = partial(make_tiny_causal, shape=SHAPE, calibration=8)
IDS = torch.tensor([[2, 7, 9, 11, 5], [2, 6, 8, 10, 12]])
Rounded = Callable[..., tuple[Path, Any]]
QUERY = "model.layers.0.self_attn.q_proj"


def rounded(tmp_path: Path, **options: Any) -> tuple[Path, Any]:
    model, context = build(tmp_path)
    params = auto_round.Params(**{"group_size": 32, "iterations": 0, **options})
    quantized = auto_round.step.apply(model, params, context)
    folder = save_model(quantized, tmp_path / "written")
    return folder, context


@pytest.fixture(scope="module")
def forked(tmp_path_factory: pytest.TempPathFactory) -> Rounded:
    """forked(**options): as `rounded`, once for each options, by workers that are forked."""

    @cache
    def make(**options: Any) -> tuple[Path, Any]:
        with pytest.MonkeyPatch.context() as patch:
            fork_workers(patch)
            return rounded(tmp_path_factory.mktemp("forked"), **options)

    return make


def logits(network: Any) -> Any:
    with torch.inference_mode():
        return network.eval()(IDS).logits.float().numpy()


def packed_bytes(folder: Path, part: str) -> int:
    from safetensors.torch import load_file

    return int(load_file(folder / "model.safetensors")[f"{QUERY}.{part}"].nbytes)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layout", "part", "method"),
    [
        ("auto_round", "qweight", "auto-round"),
        ("gptq", "qweight", "gptq"),
        ("awq", "qweight", "awq"),
        ("compressed_tensors", "weight_packed", "compressed-tensors"),
    ],
)
def test_four_bits_in_each_layout_are_two_weights_a_byte(
    forked: Rounded, layout: str, part: str, method: str
) -> None:
    folder, context = forked(layout=layout)

    assert packed_bytes(folder, part) == 64 * 64 // 2
    config = json.loads((folder / "config.json").read_text())
    assert config["quantization_config"]["quant_method"] == method
    assert context.log["format"] == method
    assert (folder / "tokenizer.json").is_file()
    assert (folder / "generation_config.json").is_file()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:You passed `quantization_config`")
def test_layouts_hold_equal_levels_and_transformers_reads_them(forked: Rounded) -> None:
    from transformers import AutoModelForCausalLM, AutoRoundConfig

    scores = {}
    for layout in ("auto_round", "gptq", "awq", "compressed_tensors"):
        folder, _ = forked(layout=layout)
        scores[layout] = logits(load_served(folder, "cpu").network)
        if layout == "awq":  # transformers needs gptqmodel for it, which has no wheel
            continue
        options = {"quantization_config": AutoRoundConfig()} if layout == "gptq" else {}
        alone = logits(AutoModelForCausalLM.from_pretrained(folder, **options))
        assert np.abs(alone - scores[layout]).max() < 0.01 * alone.std(), layout
    assert np.abs(scores["gptq"] - scores["awq"]).max() < 1e-5
    spread = scores["compressed_tensors"].std()
    assert np.abs(scores["awq"] - scores["compressed_tensors"]).max() < 0.02 * spread, "computed in float16"
    assert np.abs(scores["auto_round"] - scores["awq"]).max() < 0.02 * spread


@pytest.mark.slow
def test_learnt_rounding_with_zero_points_is_read_again(tmp_path: Path) -> None:
    before = logits(build(tmp_path / "float")[0].network)
    folder, context = rounded(tmp_path, layout="awq", symmetric=False, iterations=1)
    after = logits(load_served(folder, "cpu").network)
    assert packed_bytes(folder, "qzeros") == 2 * 64 // 2
    assert 0 < np.abs(after - before).max() < 3 * before.std()
    assert context.log["calibration_sequences"] == 6


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["auto_round", "compressed_tensors"])
def test_mxfp4_is_read_again(forked: Rounded, layout: str) -> None:
    folder, _ = forked(layout=layout, scheme="MXFP4")
    assert np.isfinite(logits(load_served(folder, "cpu").network)).all()
    assert packed_bytes(folder, "weight_packed") == 64 * 64 // 2


def test_calibration_is_the_rows_tokens_in_windows_of_the_task(tmp_path: Path) -> None:
    model, context = build(tmp_path)
    sequences = make_calibration_sequences(model.tokenizer, context, 4)
    texts = context.rows("calibration").table["text"].to_pylist()
    tokens = [token for ids in model.tokenizer(texts)["input_ids"] for token in ids]
    assert sequences.shape == (4, 16)
    assert sequences.reshape(-1).tolist() == tokens[:64]


def test_few_tokens_are_one_sequence(tmp_path: Path) -> None:
    model, context = build(tmp_path, calibration=1)
    sequences = make_calibration_sequences(model.tokenizer, context, 128)
    assert len(sequences) == 1
    assert sequences.shape[1] == len(
        model.tokenizer(context.rows("calibration").table["text"][0].as_py())["input_ids"]
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"scheme": "W2A16", "layout": "awq"},
            'scheme = "W2A16" has no layout = "awq", which supports W4A16',
        ),
        (
            {"scheme": "W8A16", "layout": "gguf", "group_size": 64},
            "group_size = 64 was given, but the format has 32",
        ),
        ({"layout": "gguf", "symmetric": False}, "symmetric = false is not possible in gguf W4A16"),
    ],
)
def test_options_that_contradict_the_layout_are_refused(options: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        auto_round.Params(**options)


def test_a_classifier_is_refused_before_the_process_starts(tmp_path: Path) -> None:
    model, context = make_tiny_classifier(tmp_path, calibration=8)
    with pytest.raises(BuildError) as caught:
        auto_round.step.apply(model, auto_round.Params(), context)
    assert str(caught.value) == (
        "auto_round quantizes only causal language models (AutoModelForCausalLM), but this is "
        "AutoModelForSequenceClassification; use compressed_tensors, which also quantizes other models"
    )

"""The step compressed_tensors: its folder holds the levels of the steps before, and transformers reads it."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from fixtures.models.architectures import write_tiny, write_tiny_classifier
from fixtures.models.building import PARAMS, load_tiny, make_tiny_causal, make_tiny_context, save_model
from slimgate.errors import BuildError
from slimgate.models.served import load_served
from slimgate.steps.quantize import compressed_tensors, gptq, int8_dynamic, weight_only

pytest.importorskip("compressed_tensors")

build = partial(make_tiny_causal, calibration=8)  # 4 blocks, hidden 32, 4 heads, 2 of keys, 64 inside
QUERY = "model.layers.0.self_attn.q_proj"
IDS = torch.tensor([[2, 7, 9, 11, 5], [2, 6, 8, 10, 12]])


def written(model: Any, context: Any, tmp_path: Path, **options: Any) -> Path:
    quantized = compressed_tensors.step.apply(model, compressed_tensors.Params(**options), context)
    return save_model(quantized, tmp_path / "written")


def logits_by_transformers(folder: Path) -> Any:
    from transformers import AutoModelForCausalLM

    network = AutoModelForCausalLM.from_pretrained(folder).eval()
    with torch.inference_mode():
        return network(IDS).logits.float().numpy()


def logits(network: Any) -> Any:
    with torch.inference_mode():
        return network.eval()(IDS).logits.float().numpy()


def stored(folder: Path) -> dict[str, Any]:
    return safetensors.torch.load_file(folder / "model.safetensors")


@pytest.mark.parametrize(
    ("step", "options"),
    [
        (gptq, {"bits": 4, "group_size": 16}),
        (weight_only, {"bits": 8, "granularity": "channel"}),
        (weight_only, {"bits": 3, "group_size": 16}),
    ],
    ids=["gptq", "int8", "int3"],
)
def test_levels_of_the_step_before_answer_the_same(tmp_path: Path, step: Any, options: Any) -> None:
    model, context = build(tmp_path)
    step.step.apply(model, step.Params(**options), context)
    before = logits(model.network)

    folder = written(model, context, tmp_path)

    assert np.abs(logits_by_transformers(folder) - before).max() < 1e-5
    assert np.array_equal(logits(load_served(folder, "cpu").network), logits_by_transformers(folder))
    assert context.log["max_difference"] < 1e-5
    assert context.log["format"] == "compressed-tensors"


def test_what_is_known_of_the_model_outlives_the_steps_folder(tmp_path: Path) -> None:
    model, context = build(tmp_path)
    quantized = compressed_tensors.step.apply(model, compressed_tensors.Params(scheme="W8A8"), context)
    folder = save_model(quantized, tmp_path / "written")
    shutil.rmtree(tmp_path / "rows")
    size = (folder / "model.safetensors").stat().st_size
    assert quantized.measure_size()["state_bytes"] == size > 0
    assert load_served(folder, "cpu").measure_size() == quantized.measure_size()


def test_a_layers_bytes_are_its_levels_and_scales(tmp_path: Path) -> None:
    model, context = build(tmp_path)
    gptq.step.apply(model, gptq.Params(bits=4, group_size=16), context)
    levels = model.network.get_submodule(QUERY).unpack_levels()

    tensors = stored(written(model, context, tmp_path))

    packed = tensors[f"{QUERY}.weight_packed"]
    assert (packed.shape, packed.dtype) == ((32, 4), torch.int32), "8 levels of 4 bits to a number"
    nibbles = (packed.unsqueeze(-1) >> (4 * torch.arange(8))) & 15
    assert torch.equal(nibbles.reshape(32, 32).to(torch.uint8), levels), (
        "level 8 stands for 0, here and there"
    )
    assert tensors[f"{QUERY}.weight_scale"].shape == (32, 2)
    assert f"{QUERY}.weight" not in tensors
    assert tensors["lm_head.weight"].dtype == torch.float32


def test_w8a8_stores_int8_and_names_activations_by_token(tmp_path: Path) -> None:
    model, context = build(tmp_path)
    weight = model.network.get_submodule(QUERY).weight.detach().clone()

    folder = written(model, context, tmp_path, scheme="W8A8", dtype="bfloat16")

    tensors = stored(folder)
    scale = weight.abs().amax(1, keepdim=True) / 127
    assert tensors[f"{QUERY}.weight"].dtype == torch.int8
    assert torch.allclose(tensors[f"{QUERY}.weight_scale"].float(), scale, rtol=0.01)
    assert (tensors[f"{QUERY}.weight"] - (weight / scale).round()).abs().max() <= 1
    assert tensors["lm_head.weight"].dtype == torch.bfloat16
    config = json.loads((folder / "config.json").read_text())
    stated = config["quantization_config"]
    assert (stated["quant_method"], stated["format"]) == ("compressed-tensors", "int-quantized")
    assert stated["ignore"] == ["lm_head"]
    assert list(stated["config_groups"]) == ["group_0"]
    assert stated["config_groups"]["group_0"]["targets"] == ["Linear"]
    activations = stated["config_groups"]["group_0"]["input_activations"]
    assert (activations["num_bits"], activations["strategy"], activations["dynamic"]) == (8, "token", True)


def test_int8_dynamic_becomes_w8a8_with_its_own_levels(tmp_path: Path) -> None:
    model, context = build(tmp_path)
    int8_dynamic.step.apply(model, int8_dynamic.Params(), context)
    levels = model.network.get_submodule(QUERY).weight.clone()

    folder = written(model, context, tmp_path)

    assert torch.equal(stored(folder)[f"{QUERY}.weight"], levels)


@pytest.mark.parametrize("scheme", ["FP8", "FP8A16"])
def test_fp8_stores_float8_with_a_scale_per_channel(tmp_path: Path, scheme: str) -> None:
    model, context = build(tmp_path)
    weight = model.network.get_submodule(QUERY).weight.detach().clone()

    folder = written(model, context, tmp_path, scheme=scheme)

    tensors = stored(folder)
    assert tensors[f"{QUERY}.weight"].dtype == torch.float8_e4m3fn
    values = tensors[f"{QUERY}.weight"].float() * tensors[f"{QUERY}.weight_scale"]
    assert ((values - weight).abs() <= weight.abs() / 16 + 1e-3).all(), "three bits behind the leading one"
    groups = json.loads((folder / "config.json").read_text())["quantization_config"]["config_groups"]
    assert (groups["group_0"]["input_activations"] is None) == (scheme == "FP8A16")


def test_layers_of_two_forms_are_two_groups_by_name(tmp_path: Path) -> None:
    model, context = build(tmp_path)
    params = weight_only.Params(bits=4, group_size=64)  # 32 of the columns that are no more than 32
    weight_only.step.apply(model, params, context)

    folder = written(model, context, tmp_path)

    groups = json.loads((folder / "config.json").read_text())["quantization_config"]["config_groups"]
    targets = {group["weights"]["group_size"]: group["targets"] for group in groups.values()}
    assert {size: len(names) for size, names in targets.items()} == {32: 24, 64: 4}
    assert "model.layers.0.mlp.down_proj" in targets[64]


def test_a_classifier_is_written_too(tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification

    context = make_tiny_context(tmp_path / "rows", calibration=8)
    hub = write_tiny_classifier(tmp_path / "hub")
    model = load_tiny(hub, context)

    folder = written(model, context, tmp_path, scheme="W4A16", group_size=16)

    network = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    mine = load_served(folder, "cpu")
    with torch.inference_mode():
        assert torch.equal(network(IDS).logits, mine.network(IDS).logits)
    assert stored(folder)["classifier.weight"].dtype == torch.float32


@pytest.mark.parametrize(
    ("before", "options", "message"),
    [
        (None, {}, "no layer is quantized; give `scheme`, or put gptq or weight_only before this step"),
        (
            weight_only.Params(bits=4, symmetric=False),
            {},
            "model.layers.0.self_attn.q_proj has zero points, which transformers cannot read in this layout; "
            "set symmetric = true in the step that quantizes",
        ),
        (
            weight_only.Params(bits=4, activations="int8"),
            {},
            'model.layers.0.self_attn.q_proj computes by activations = "int8", which rounds weights once '
            "more; leave activations out, or use int8_dynamic",
        ),
        (
            None,
            {"scheme": "W4A16", "group_size": 24},
            "model.layers.0.self_attn.q_proj has 32 columns, which is not a multiple of the group "
            "size 24; choose another group size",
        ),
    ],
    ids=["nothing", "zero points", "int8 activations", "group size"],
)
def test_what_the_layout_cannot_hold_is_one_line(
    tmp_path: Path, before: Any, options: Any, message: str
) -> None:
    model, context = build(tmp_path)
    if before is not None:
        weight_only.step.apply(model, before, context)
    with pytest.raises(BuildError) as caught:
        written(model, context, tmp_path, **options)
    assert str(caught.value) == message


def test_a_head_of_slimgates_own_has_no_place(tmp_path: Path) -> None:
    context = make_tiny_context(tmp_path / "rows", calibration=8)
    context.task_params = PARAMS.model_copy(update={"pooling": "mean"})
    hub = write_tiny(tmp_path / "hub", "bert", labels=("neg", "pos"))
    with pytest.raises(BuildError, match="no transformers class can load the model"):
        written(load_tiny(hub, context), context, tmp_path, scheme="W8A8")

"""The step mixed_precision: how many layers stay wide for a drop, and which."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from fixtures.models.building import MEAN, compute_scores, make_tiny_classifier, save_and_load
from slimgate.steps.layers.int8_linear import Int8Embedding, Int8Linear
from slimgate.steps.layers.packed import PackedEmbedding, PackedLinear
from slimgate.steps.quantize import int8_dynamic, mixed_precision
from slimgate.steps.training.scoring import compute_quality

build = partial(make_tiny_classifier, train=128, selection=96, calibration=24, params=MEAN)

TWO_BITS = {"weight_only": {"bits": 2, "granularity": "tensor"}}


def apply(model: Any, context: Any, *, narrow: dict[str, Any], **options: Any) -> Any:
    options["narrow"] = narrow
    return mixed_precision.step.apply(model, mixed_precision.Params.model_validate(options), context)


def test_nothing_stays_wide_where_everything_narrow_holds(tmp_path: Path) -> None:
    model, context = build(tmp_path)
    apply(model, context, drop_points=99.0, narrow={"int8_dynamic": {"embeddings": True}})
    twin, other = build(tmp_path / "twin")
    int8_dynamic.step.apply(twin, int8_dynamic.Params(embeddings=True), other)
    assert np.array_equal(compute_scores(model, context), compute_scores(twin, other))
    assert context.log["wide_layers"] == []
    assert context.log["weights_wide"] == 0
    assert [type(m) for m in model.network.modules()].count(Int8Embedding) == 1


@pytest.mark.parametrize("architecture", ["bert", "gpt2"])
def test_layers_stay_wide_until_the_drop_holds(tmp_path: Path, architecture: str) -> None:
    model, context = build(tmp_path, architecture)
    before = compute_quality(model, context)
    apply(model, context, drop_points=3.0, narrow=TWO_BITS)
    drop = 100 * (before - compute_quality(model, context))
    assert drop <= 3.0
    log = context.log
    assert log["held"] is True
    assert log["drop_points"]["0 wide"] > 3.0
    assert log["drop_points"][f"{len(log['wide_layers'])} wide"] == pytest.approx(drop, abs=1e-3)
    assert 0 < len(log["wide_layers"]) < len(log["sensitivity"])
    for name in log["sensitivity"]:
        assert (type(model.network.get_submodule(name)) is nn.Linear) == (name in log["wide_layers"])
    values = list(log["sensitivity"].values())
    assert values == sorted(values, reverse=True)
    assert log["wide_layers"] == list(log["sensitivity"])[: len(log["wide_layers"])]


def test_the_saved_model_gives_the_same_answers(tmp_path: Path) -> None:
    model, context = build(tmp_path)
    apply(model, context, drop_points=3.0, narrow=TWO_BITS)
    again = save_and_load(model, tmp_path / "saved")
    assert np.array_equal(compute_scores(again, context), compute_scores(model, context))


def test_too_few_layers_are_reported_not_hidden(tmp_path: Path) -> None:
    model, context = build(tmp_path)
    apply(model, context, drop_points=0.0, max_layers=1, ranking_rows=8, narrow=TWO_BITS)
    assert context.log["held"] is False
    assert len(context.log["wide_layers"]) == 1
    assert "with 1 layers wide the drop on selection is" in context.log["warning"]


def test_the_layers_that_were_put_back_are_the_models_own(tmp_path: Path) -> None:
    model, context = build(tmp_path)
    weights = {name: p.detach().clone() for name, p in model.network.named_parameters()}
    apply(model, context, drop_points=0.0, narrow=TWO_BITS)
    assert context.log["wide_layers"]
    for name in context.log["wide_layers"]:
        weight = model.network.get_submodule(name).weight
        assert torch.equal(weight, weights[f"{name}.weight"])


def test_gptq_inside_leaves_the_wide_layers_as_they_were(tmp_path: Path) -> None:
    model, context = build(tmp_path)
    before = {name: p.detach().clone() for name, p in model.network.named_parameters()}
    gptq = {"gptq": {"bits": 2, "granularity": "channel"}}
    apply(model, context, drop_points=0.0, max_layers=2, ranking_rows=8, narrow=gptq)
    names = [f"{name}.{part}" for name in context.log["wide_layers"] for part in ("weight", "bias")]
    assert len(names) == 4
    for name in names:
        assert torch.equal(model.network.get_parameter(name), before[name])
    assert context.log["narrow"]["gptq"]["output_error"] > 0


def test_wide_layers_are_made_by_the_wide_step_if_there_is_one(tmp_path: Path) -> None:
    model, context = build(tmp_path)
    narrow = {"weight_only": {"bits": 2, "granularity": "tensor", "embeddings": 2}}
    options = {"wide": {"int8_dynamic": {}}, "max_layers": 26}
    apply(model, context, drop_points=0.0, narrow=narrow, **options)
    wide = context.log["wide_layers"]
    kinds = {name: type(model.network.get_submodule(name)) for name in context.log["sensitivity"]}
    for name, kind in kinds.items():
        table = name.endswith("word_embeddings")  # the wide step was not told to reach it
        assert kind is ((nn.Embedding if table else Int8Linear) if name in wide else kind)
        assert (kind in (PackedLinear, PackedEmbedding)) == (name not in wide)
    assert [kind for kind in kinds.values() if kind is Int8Linear]
    again = save_and_load(model, tmp_path / "saved")
    assert np.array_equal(compute_scores(again, context), compute_scores(model, context))


def test_static_int8_inside_has_its_own_options(tmp_path: Path) -> None:
    model, context = build(tmp_path)
    apply(model, context, drop_points=99.0, narrow={"int8_static": {"observer": "minmax"}})
    assert context.log["narrow"]["int8_static"]["share_of_seen_range"] == 1.0
    assert not [m for m in model.network.modules() if isinstance(m, Int8Linear)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"drop_points": 1.0, "narrow": {}},
            "none of them given, expected exactly one of gptq, int8_dynamic, int8_static, weight_only",
        ),
        (
            {"drop_points": 1.0, "narrow": {"int8_dynamic": {}, "weight_only": {}}},
            "int8_dynamic and weight_only given, expected exactly one of",
        ),
        ({"drop_points": -1.0, "narrow": {"int8_dynamic": {}}}, "greater than or equal to 0"),
        ({"drop_points": 1.0, "narrow": {"int8_dynamic": {"embedings": True}}}, "Did you mean embeddings"),
    ],
    ids=["none", "two", "negative", "unknown"],
)
def test_options_that_say_nothing_clear_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        mixed_precision.Params.model_validate(options)


@pytest.mark.parametrize("drop_points", [99.0, 0.0], ids=["narrow", "wide"])
def test_tables_that_scale_their_output_are_quantized(tmp_path: Path, drop_points: float) -> None:
    model, context = build(tmp_path, "gemma2")
    narrow = {"weight_only": {"bits": 2, "granularity": "tensor", "embeddings": 2}}
    apply(model, context, drop_points=drop_points, narrow=narrow)
    tables = [m for m in model.network.modules() if isinstance(m, PackedEmbedding)]
    assert len(tables) == int("encoder.embed_tokens.table" not in context.log["wide_layers"])
    assert np.array_equal(
        compute_scores(save_and_load(model, tmp_path / "saved"), context), compute_scores(model, context)
    )

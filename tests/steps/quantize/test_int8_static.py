"""The method int8_static: which layers it reaches, which ranges it finds, and that padding does not count."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from fixtures.models.building import compute_scores, make_tiny_classifier
from slimgate.errors import BuildError, DataError
from slimgate.steps.calibration import calibration_batches, watch_inputs
from slimgate.steps.layers.int8_linear import Int8Embedding
from slimgate.steps.layers.int8_static_linear import Int8StaticLinear
from slimgate.steps.prune import keep_layers
from slimgate.steps.quantize import int8_dynamic, int8_static
from slimgate.steps.quantize.int8_static import (
    ChannelRange,
    compute_channel_ranges,
    compute_smoothing_divisors,
)

scores = partial(compute_scores, split="train")
build = partial(make_tiny_classifier, calibration=32)

QUERY = "bert.encoder.layer.0.attention.self.query"


@pytest.mark.parametrize(
    ("architecture", "options"),
    [
        ("roberta", {"observer": "percentile", "smooth_alpha": False}),
        ("electra", {"observer": "entropy"}),
        ("gpt2", {"observer": "mse", "smooth_alpha": 0.8}),
        ("llama", {"observer": "minmax", "smooth_alpha": 0.5}),
    ],
)
def test_answers_stay_close(tmp_path: Path, architecture: str, options: dict[str, Any]) -> None:
    model, context = build(tmp_path, architecture)
    before, size = scores(model, context), model.measure_size()
    int8_static.step.apply(model, int8_static.Params.model_validate(options), context)
    after = scores(model, context)
    assert 0 < np.abs(after - before).max() < 0.15 * np.ptp(before) + 0.02
    assert model.measure_size()["parameters"] == size["parameters"]
    assert model.measure_size()["state_bytes"] < 0.7 * size["state_bytes"]


def test_linear_layers_are_static_int8_but_not_the_output_layer(tmp_path: Path) -> None:
    model, context = build(tmp_path, "bert")
    int8_static.step.apply(model, int8_static.Params(), context)
    kinds = [type(m) for m in model.network.modules()]
    assert kinds.count(Int8StaticLinear) == 4 * 6 + 1  # blocks, pooler
    assert kinds.count(nn.Linear) == 1
    assert kinds.count(Int8Embedding) == 0
    assert context.log["linear_layers"] == 25
    assert context.log["not_reached"] == []
    assert 0 < context.log["share_of_seen_range"] <= 1


def test_the_output_layer_and_the_token_table_on_request(tmp_path: Path) -> None:
    model, context = build(tmp_path, "distilbert")
    int8_static.step.apply(model, int8_static.Params(output_layer=True, embeddings=True), context)
    kinds = [type(m) for m in model.network.modules()]
    assert kinds.count(nn.Linear) == 0
    assert kinds.count(Int8Embedding) == 1


def test_minmax_ranges_are_those_of_tokens_without_padding(tmp_path: Path) -> None:
    model, context = build(tmp_path, "bert")
    layer, ends = model.network.get_submodule(QUERY), []
    for row in calibration_batches(model, context, batch_size=1):  # alone, a row has no padding
        assert bool(row["attention_mask"].all())
        watch_inputs(model, {QUERY: layer}, [row], lambda _, tokens: ends.extend(tokens.aminmax()))
    int8_static.step.apply(model, int8_static.Params(observer="minmax", smooth_alpha=False), context)
    expected = [float(min(ends)), float(max(ends))]
    assert context.log["ranges"][QUERY] == pytest.approx(expected, rel=1e-3)


def test_the_hidden_padding_tokens_would_have_widened_a_range(tmp_path: Path) -> None:
    model, context = build(tmp_path, "bert")
    with torch.no_grad():
        model.network.get_submodule("bert.embeddings.LayerNorm").weight[5] = 4.0
        model.network.get_submodule("bert.embeddings.word_embeddings").weight[0, 5] = 100.0  # [PAD]
    encoded = context.task.encode_rows(context.task_params, context.rows("calibration"), model.tokenizer)
    padded = encoded.batch(range(len(encoded)))
    layers = {QUERY: model.network.get_submodule(QUERY)}
    batches = [{name: torch.from_numpy(values) for name, values in padded.items()}]
    assert any(not bool(batch["attention_mask"].all()) for batch in batches)
    counted = compute_channel_ranges(model, layers, batches)[QUERY]
    for batch in batches:
        batch["attention_mask"] = torch.ones_like(batch["attention_mask"])
    assert compute_channel_ranges(model, layers, batches)[QUERY].high[5] > 1.5 * counted.high[5]


def test_divisors_worked_by_hand() -> None:
    seen = ChannelRange(torch.tensor([-8.0, -1.0, 0.0]), torch.tensor([4.0, 2.0, 0.0]))
    weight = torch.tensor([[0.5, -1.0, 1.0], [-2.0, 0.25, 0.5]])
    expected = torch.tensor([(8 / 2) ** 0.5, (2 / 1) ** 0.5, (1e-5 / 1) ** 0.5])
    torch.testing.assert_close(compute_smoothing_divisors(seen, weight, alpha=0.5), expected)
    torch.testing.assert_close(
        compute_smoothing_divisors(seen, weight, alpha=1.0), torch.tensor([8.0, 2.0, 1e-5])
    )
    assert seen.divide_by(torch.tensor([4.0, 0.5, 1.0])) == (-2.0, 4.0)


def test_smoothing_helps_where_channels_differ_much(tmp_path: Path) -> None:
    errors = {}
    for alpha in (False, 0.7):
        model, context = build(tmp_path / str(alpha), "bert")
        for name, module in model.network.named_modules():
            if name.endswith("LayerNorm"):
                module.weight.data[3] = 30.0
        before = scores(model, context)
        int8_static.step.apply(
            model, int8_static.Params.model_validate({"observer": "minmax", "smooth_alpha": alpha}), context
        )
        errors[alpha] = float(np.abs(scores(model, context) - before).mean())
    assert errors[0.7] < 0.6 * errors[False]


def test_a_rows_answer_does_not_depend_on_its_batch(tmp_path: Path) -> None:
    model, context = build(tmp_path, "bert")
    int8_static.step.apply(model, int8_static.Params(embeddings=True), context)
    alone = scores(model, context, batch_size=1)
    # float32 attention may round otherwise in another shape, and an activation then to the next level
    assert np.abs(scores(model, context) - alone).max() < 0.01 * float(np.ptp(alone))


def test_cut_layers_stay_cut_and_a_second_int8_step_is_refused(tmp_path: Path) -> None:
    model, context = build(tmp_path, "gpt2")
    keep_layers.step.apply(model, keep_layers.Params((0, 2)), context)
    int8_static.step.apply(model, int8_static.Params(), context)
    assert [type(m) for m in model.network.modules()].count(Int8StaticLinear) == 2 * 4
    with pytest.raises(BuildError, match="already quantized"):
        int8_dynamic.step.apply(model, int8_dynamic.Params(), context)


def test_it_needs_calibration_rows(tmp_path: Path) -> None:
    model, context = build(tmp_path, "bert", calibration=0)
    with pytest.raises(DataError, match=r"set \[task\] splits.calibration"):
        int8_static.step.apply(model, int8_static.Params(), context)


def test_a_layer_that_receives_nan_is_named(tmp_path: Path) -> None:
    model, context = build(tmp_path, "bert")
    model.network.get_submodule("bert.encoder.layer.1.output.LayerNorm").bias.data[0] = float("nan")
    with pytest.raises(BuildError, match=r"layer\.2\.attention\.self\.query receives NaN or infinity"):
        int8_static.step.apply(model, int8_static.Params(), context)


@pytest.mark.parametrize("alpha", [True, -0.1, 1.1, "0.5"])
def test_an_alpha_that_is_no_share_is_refused(alpha: object) -> None:
    with pytest.raises(ValidationError, match="smooth_alpha"):
        int8_static.Params.model_validate({"smooth_alpha": alpha})
    assert int8_static.Params.model_validate({"smooth_alpha": 0}).smooth_alpha is not False
    assert int8_static.Params.model_validate({"smooth_alpha": False}).smooth_alpha is False


def test_a_percentile_without_its_observer_is_refused() -> None:
    with pytest.raises(ValidationError, match='needs observer = "percentile", but "mse" was given'):
        int8_static.Params(percentile=99.9)
    assert int8_static.Params(observer="percentile", percentile=99.9).percentile == 99.9

"""The step low_rank: what becomes two thin layers, what that keeps, and what other steps make of it."""

from __future__ import annotations

import copy
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from fixtures.models.architectures import write_tiny
from fixtures.models.building import (
    PARAMS,
    compute_scores,
    load_tiny,
    make_tiny_classifier,
    make_tiny_context,
    save_and_load,
)
from slimgate.errors import BuildError
from slimgate.plugins.rows import Rows
from slimgate.steps.calibration import calibration_batches
from slimgate.steps.factorize import low_rank
from slimgate.steps.finetune import fine_tune
from slimgate.steps.importance import compute_gradient_moments
from slimgate.steps.layers.low_rank import LowRankLinear
from slimgate.steps.prune import keep_layers, magnitude_prune
from slimgate.steps.quantize import int8_dynamic
from slimgate.tasks import causal_lm

scores = partial(compute_scores, split="train")
build = partial(make_tiny_classifier, calibration=24)

CASES = ["bert", "llama", "gpt2"]


def apply(model: Any, context: Any, **options: Any) -> dict[str, LowRankLinear]:
    low_rank.step.apply(model, low_rank.Params(**options), context)
    return {name: m for name, m in model.network.named_modules() if isinstance(m, LowRankLinear)}


def with_products(model: Any, layers: dict[str, LowRankLinear]) -> Any:
    """The same model with one dense layer in the place of each two."""
    dense = copy.deepcopy(model)
    for name, layer in layers.items():
        linear = nn.Linear(layer.in_features, layer.out_features, bias=layer.up.bias is not None)
        linear.weight.data = layer.up.weight.detach() @ layer.down.weight.detach()
        linear.bias = layer.up.bias
        dense.network.set_submodule(name, linear)
    return dense


@pytest.mark.parametrize("case", CASES)
def test_it_is_smaller_and_equals_the_products(tmp_path: Path, case: str) -> None:
    model, context = build(tmp_path, case)
    before, parameters = scores(model, context), model.measure_size()["parameters"]
    layers = apply(model, context, parameter_ratio=0.75)
    log = context.log
    saved = log["weights_before"] - log["weights_after"]
    assert model.measure_size()["parameters"] == parameters - saved
    assert 0.7 * log["weights_before"] < log["weights_after"] <= 0.75 * log["weights_before"]
    after = scores(model, context)
    assert np.abs(after - before).mean() < np.std(before)
    assert np.allclose(scores(with_products(model, layers), context), after, atol=1e-4)


def test_the_plain_factors_are_numpys_best_of_that_rank(tmp_path: Path) -> None:
    model, context = build(tmp_path)
    name = "bert.encoder.layer.1.intermediate.dense"
    old = model.network.get_submodule(name)
    weight, bias = old.weight.detach().clone().numpy(), old.bias.detach().clone()
    layer = apply(model, context, rank=5, activation_aware=False)[name]
    left, values, right = np.linalg.svd(weight)
    best = left[:, :5] * values[:5] @ right[:5]
    assert np.allclose((layer.up.weight @ layer.down.weight).detach().numpy(), best, atol=1e-5)
    assert torch.equal(layer.up.bias, bias)


@pytest.mark.parametrize("case", ["bert", "llama"], ids=["with bias", "without bias"])
def test_on_calibration_rows_activation_aware_outputs_are_nearer(tmp_path: Path, case: str) -> None:
    errors = []
    for aware in (True, False):
        model, context = build(tmp_path / str(aware), case)
        before = scores(model, context)
        apply(model, context, rank=6, activation_aware=aware)
        errors.append(np.abs(scores(model, context) - before).mean())
    assert errors[0] < errors[1]


def test_the_bias_takes_over_what_the_mean_input_loses(tmp_path: Path) -> None:
    model, context = build(tmp_path)
    name = "bert.encoder.layer.0.attention.self.query"
    old, seen = model.network.get_submodule(name), []
    model.network.get_submodule("bert.embeddings").register_forward_hook(lambda _m, _i, out: seen.append(out))
    encoded = context.task.encode_rows(PARAMS, context.rows("calibration"), model.tokenizer)
    for row in range(len(encoded)):
        model.network(**{k: torch.from_numpy(v) for k, v in encoded.batch([row]).items()})
    tokens = torch.cat([each[0] for each in seen])
    layer = apply(model, context, rank=2)[name]
    assert torch.allclose(layer(tokens).mean(0), old(tokens).mean(0), atol=1e-4)
    assert not torch.allclose(layer(tokens), old(tokens), atol=1e-2)


@pytest.mark.parametrize("case", CASES)
def test_with_loss_aware_ranks_differ_within_the_budget(tmp_path: Path, case: str) -> None:
    model, context = build(tmp_path, case)
    layers = apply(model, context, parameter_ratio=0.5, loss_aware=True)
    log = context.log
    assert 0.45 * log["weights_before"] < log["weights_after"] <= 0.5 * log["weights_before"]
    assert len({layer.rank for layer in layers.values()}) > 2
    assert all(p.grad is None for p in model.network.parameters())


def test_gradients_are_those_of_labels_drawn_from_the_answers(tmp_path: Path) -> None:
    model, context = build(tmp_path)
    context.splits = {"calibration": Rows(context.rows("calibration").table.slice(0, 1))}
    name = "bert.encoder.layer.2.output.dense"
    layer = model.network.get_submodule(name)
    moments = compute_gradient_moments(model, {name: layer}, context)[name]
    (batch,) = calibration_batches(model, context)
    seen: list[torch.Tensor] = []
    layer.register_forward_hook(lambda _m, _i, output: seen.append(output))
    chances = model.network(**batch).logits[0].softmax(-1)
    draw = int(torch.multinomial(chances, 1, generator=torch.Generator().manual_seed(0)))
    (gradient,) = torch.autograd.grad(-chances[draw].log(), seen[0])
    assert np.allclose(moments, gradient[0].T @ gradient[0], atol=1e-6)
    assert float(moments.trace()) > 1e-6


def test_gradients_are_only_of_tokens_with_a_next_token(tmp_path: Path) -> None:
    params = causal_lm.Params(text=("text",), max_tokens=16)
    context = make_tiny_context(tmp_path, calibration=1, task=causal_lm.task, params=params)
    model = load_tiny(write_tiny(tmp_path / "lm", "gpt2", causal=True, initializer_range=0.5), context)
    name = "lm_head"
    layer = model.network.get_submodule(name)
    moments = compute_gradient_moments(model, {name: layer}, context)[name]
    (batch,) = calibration_batches(model, context)
    chances = model.network(**batch).logits[0, :-1].softmax(-1)
    drawn = torch.multinomial(chances, 1, generator=torch.Generator().manual_seed(0))[:, 0]
    gradient = chances - torch.nn.functional.one_hot(drawn, chances.shape[-1])
    assert np.allclose(moments, (gradient.T @ gradient).detach(), atol=1e-5)


def test_gpt2s_fused_layer_is_one_matrix(tmp_path: Path) -> None:
    model, context = build(tmp_path, "gpt2")
    layers = apply(model, context, rank=4)
    fused = layers["transformer.h.0.attn.c_attn"]
    assert (fused.in_features, fused.out_features, fused.rank) == (32, 96, 4)
    assert len(layers) == 16


def test_a_matrix_is_left_where_factors_would_be_larger(tmp_path: Path) -> None:
    model, context = build(tmp_path)
    layers = apply(model, context, rank=16)  # 32 × 32 breaks even at 16, 64 × 32 above 21
    assert len(layers) == context.log["factorized"] == 8
    assert context.log["matrices"] == 24
    assert all("attention" not in name for name in layers)
    with pytest.raises(BuildError, match=r"rank = 30: no matrix would become smaller; .* does below rank 16"):
        apply(build(tmp_path / "again")[0], context, rank=30)


def test_parts_alone_on_request(tmp_path: Path) -> None:
    model, context = build(tmp_path)
    assert all(".attention." in name for name in apply(model, context, rank=4, parts="attention"))
    assert context.log["matrices"] == 16
    apply(model, context, rank=4, parts="feed_forward")
    assert context.log["matrices"] == 8
    with pytest.raises(BuildError, match="are low-rank factors already"):
        apply(model, context, rank=2)


def test_energy_is_kept_in_every_matrix_with_the_least_rank(tmp_path: Path) -> None:
    model, context = build(tmp_path)
    old = {
        name: m.weight.detach().numpy() for name, m in model.network.named_modules() if type(m) is nn.Linear
    }
    layers = apply(model, context, energy=0.5, activation_aware=False)
    assert context.log["energy_kept_min"] >= 0.5
    for name, layer in layers.items():
        squares = np.linalg.svd(old[name], compute_uv=False) ** 2
        assert squares[: layer.rank].sum() >= 0.5 * squares.sum() > squares[: layer.rank - 1].sum()


def test_it_follows_pruning_and_is_trained_and_quantized(tmp_path: Path) -> None:
    model, context = build(tmp_path, "gpt2")
    keep_layers.step.apply(model, keep_layers.Params((0, 2)), context)
    magnitude_prune.step.apply(model, magnitude_prune.Params(sparsity=0.3), context)
    layers = apply(model, context, rank_ratio=0.25)
    before = layers["transformer.h.1.attn.c_attn"].up.weight.detach().clone()
    fine_tune.step.apply(model, fine_tune.Params(learning_rate=1e-2), context)
    assert not torch.equal(layers["transformer.h.1.attn.c_attn"].up.weight, before)
    int8_dynamic.step.apply(model, int8_dynamic.Params(), context)
    assert context.log["linear_layers"] == 2 * 2 * 4
    model.kind = "torch_quantized"
    assert np.array_equal(scores(save_and_load(model, tmp_path / "s"), context), scores(model, context))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "none of them given, expected exactly one of rank, rank_ratio, energy, parameter_ratio"),
        ({"rank": 4, "energy": 0.9}, "rank and energy given"),
        ({"rank": 0}, "greater than or equal to 1"),
        ({"energy": 1.0}, "less than 1"),
        ({"rank_ratio": 0.5, "parts": "heads"}, "'all', 'attention' or 'feed_forward'"),
    ],
)
def test_options_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        low_rank.Params.model_validate(options)

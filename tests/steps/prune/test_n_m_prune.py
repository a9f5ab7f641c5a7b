"""The step n_m_prune: at most n of every m weights along the inputs, and the right ones."""

from __future__ import annotations

import copy
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from support.refused_options import read_refusal

from fixtures.models.building import make_tiny_classifier
from slimgate.errors import BuildError
from slimgate.models.linear_layers import find_linear_layers
from slimgate.steps.finetune import fine_tune
from slimgate.steps.prune import n_m_prune

build = partial(make_tiny_classifier, calibration=12)


def groups(layer: Any, m: int) -> Any:
    return layer.weight.detach().reshape(-1, m)


@pytest.mark.parametrize(
    ("architecture", "score"),
    [
        ("bert", "magnitude"),
        ("distilbert", "wanda"),
        ("roberta", "magnitude"),
        ("electra", "wanda"),
        ("gpt2", "wanda"),
        ("llama", "magnitude"),
    ],
)
def test_every_group_of_four_inputs_has_two_zeros(tmp_path: Path, architecture: str, score: Any) -> None:
    model, context = build(tmp_path, architecture)
    n_m_prune.step.apply(model, n_m_prune.Params(score=score), context)
    for layer in find_linear_layers(model).values():
        assert ((groups(layer, 4) == 0).sum(dim=1) == 2).all()
    assert context.log["pattern"] == "2:4"
    assert context.log["sparsity"] == 0.5


def test_by_magnitude_the_largest_of_each_group_stay_unchanged(tmp_path: Path) -> None:
    model, context = build(tmp_path, calibration=0)  # magnitudes need no rows
    before = copy.deepcopy(find_linear_layers(model))
    n_m_prune.step.apply(model, n_m_prune.Params(n=1, m=8), context)
    for name, layer in find_linear_layers(model).items():
        old, new = groups(before[name], 8), groups(layer, 8)
        largest = old.abs().argmax(dim=1, keepdim=True)
        assert torch.equal(new.gather(1, largest), old.gather(1, largest))
        assert int((new != 0).sum()) == len(new)


def test_by_activations_an_input_that_is_large_is_kept(tmp_path: Path) -> None:
    model, context = build(tmp_path)
    with torch.no_grad():
        model.network.bert.embeddings.LayerNorm.weight[::4] = 1000.0
    n_m_prune.step.apply(model, n_m_prune.Params(n=1, score="wanda"), context)
    weight = find_linear_layers(model)["bert.encoder.layer.0.attention.self.query"].weight
    assert float((weight[:, ::4] != 0).float().mean()) > 0.98


def test_later_training_keeps_the_pattern(tmp_path: Path) -> None:
    model, context = build(tmp_path)
    n_m_prune.step.apply(model, n_m_prune.Params(), context)
    fine_tune.step.apply(model, fine_tune.Params(learning_rate=1e-2, precision="float32"), context)
    for layer in find_linear_layers(model).values():
        assert ((groups(layer, 4) == 0).sum(dim=1) >= 2).all()


def test_a_width_that_m_does_not_divide_is_a_clear_error(tmp_path: Path) -> None:
    model, context = build(tmp_path)
    with pytest.raises(BuildError, match="2:5 sparsity: a layer has 32 inputs, expected a multiple of 5"):
        n_m_prune.step.apply(model, n_m_prune.Params(n=2, m=5), context)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 4}, "n = 4, m = 4 were given, expected n below m, such as n = 2, m = 4"),
        ({"n": 5, "m": 4}, "n = 5, m = 4 were given, expected n below m, such as n = 2, m = 4"),
        ({"n": 0}, "n: Input should be greater than or equal to 1"),
        ({"m": 1}, "m: Input should be greater than or equal to 2"),
        ({"score": "random"}, "score: Input should be 'magnitude' or 'wanda'"),
    ],
)
def test_patterns_that_prune_nothing_or_all_are_refused(options: dict[str, Any], message: str) -> None:
    assert read_refusal(n_m_prune.Params, options).startswith(message)

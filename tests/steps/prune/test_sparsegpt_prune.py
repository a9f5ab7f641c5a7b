"""The step sparsegpt_prune: zeros as asked, and outputs nearer to those before than by other scores."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from support.refused_options import read_refusal

from fixtures.models.building import compute_scores, make_tiny_classifier
from slimgate.models.linear_layers import find_linear_layers
from slimgate.steps.prune import magnitude_prune, n_m_prune, sparsegpt_prune, wanda_prune

build = partial(make_tiny_classifier, calibration=48, selection=64)


def moved(tmp_path: Path, step: Any, **params: Any) -> float:
    """How far a step moves the answers on rows that it did not see."""
    model, context = build(tmp_path, shape={"num_hidden_layers": 2})
    before = compute_scores(model, context)
    step.apply(model, step.Params(**params), context)
    return float(np.square(compute_scores(model, context) - before).mean())


def test_half_of_each_matrix_goes_and_the_answers_move_least(tmp_path: Path) -> None:
    by_magnitude = moved(tmp_path, magnitude_prune.step, sparsity=0.5, scope="layer")
    by_activations = moved(tmp_path, wanda_prune.step, sparsity=0.5)
    assert moved(tmp_path, sparsegpt_prune.step, sparsity=0.5) < 0.7 * min(by_magnitude, by_activations)


def test_at_2_of_4_compensation_keeps_answers_closer(tmp_path: Path) -> None:
    assert moved(tmp_path, sparsegpt_prune.step, n=2, m=4) < 0.7 * moved(
        tmp_path, n_m_prune.step, score="wanda"
    )


@pytest.mark.parametrize("architecture", ["roberta", "electra", "gpt2"])
def test_every_matrix_of_other_families_has_its_zeros(tmp_path: Path, architecture: str) -> None:
    model, context = build(tmp_path, architecture)
    sparsegpt_prune.step.apply(model, sparsegpt_prune.Params(sparsity=0.25), context)
    for layer in find_linear_layers(model).values():
        assert int((layer.weight == 0).sum()) == layer.weight.numel() // 4
    assert context.log["sparsity"] == 0.25


def test_every_group_has_its_zeros_and_the_log_names_the_pattern(tmp_path: Path) -> None:
    model, context = build(tmp_path)
    sparsegpt_prune.step.apply(model, sparsegpt_prune.Params(n=1, m=4), context)
    for layer in find_linear_layers(model).values():
        assert ((layer.weight.reshape(-1, 4) == 0).sum(dim=1) >= 3).all()
    assert (context.log["pattern"], context.log["sparsity"]) == ("1:4", 0.75)


@pytest.mark.parametrize(
    "options", [{}, {"n": 2}, {"m": 4}, {"sparsity": 0.5, "n": 2, "m": 4}, {"sparsity": 0.5, "m": 4}]
)
def test_either_a_share_or_n_and_m_is_expected(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="expected either sparsity, or n and m"):
        sparsegpt_prune.Params(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 4, "m": 4}, "sparsity = None, n = 4, m = 4 were given, expected n below m"),
        ({"sparsity": 1.0}, "sparsity: Input should be less than 1"),
        ({"sparsity": 0.5, "damping": 0.0}, "damping: Input should be greater than 0"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    assert read_refusal(sparsegpt_prune.Params, options).startswith(message)

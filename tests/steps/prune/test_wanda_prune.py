"""The step wanda_prune: |w| · ‖x‖ by row, each block after those before it are pruned."""

from __future__ import annotations

import copy
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.refused_options import read_refusal

from fixtures.models.building import MEAN, make_tiny_classifier
from slimgate.errors import DataError
from slimgate.models.linear_layers import find_linear_layers
from slimgate.steps.calibration import calibration_batches, watch_inputs
from slimgate.steps.prune import magnitude_prune, wanda_prune

build = partial(make_tiny_classifier, calibration=12)


def tokens(model: Any, context: Any, name: str) -> Any:
    """What a layer receives, concatenated: (tokens, in_features) numpy."""
    seen: list[Any] = []
    layers = {name: find_linear_layers(model)[name]}
    watch_inputs(model, layers, calibration_batches(model, context), lambda _, x: seen.append(x.numpy()))
    return np.concatenate(seen).astype(np.float64)


def test_each_output_keeps_its_best_half_after_pruned_blocks(tmp_path: Path) -> None:
    model, context = build(tmp_path)
    before = copy.deepcopy(model)
    wanda_prune.step.apply(model, wanda_prune.Params(sparsity=0.5), context)
    old, new = find_linear_layers(before), find_linear_layers(model)
    for name in ("bert.encoder.layer.0.attention.self.key", "bert.encoder.layer.3.attention.self.query"):
        # the first layers of a block receive what the pruned blocks before it give, also afterwards
        norms = np.sqrt((tokens(model, context, name) ** 2).sum(axis=0))
        weight, pruned = old[name].weight.detach().numpy(), new[name].weight.detach().numpy()
        scores = np.abs(weight) * norms
        for row in range(32):
            order = np.argsort(scores[row])
            assert (pruned[row][order[:16]] == 0).all()
            assert (pruned[row][order[16:]] == weight[row][order[16:]]).all()
    assert context.log["sparsity"] == 0.5
    assert context.log["matrices"] == 24


def test_inputs_that_are_large_save_small_weights(tmp_path: Path) -> None:
    model, context = build(tmp_path)
    norm = model.network.bert.embeddings.LayerNorm
    with torch.no_grad():
        norm.weight[:16] = 100.0
    wanda_prune.step.apply(model, wanda_prune.Params(sparsity=0.5), context)
    weight = find_linear_layers(model)["bert.encoder.layer.0.attention.self.query"].weight
    assert float((weight[:, :16] != 0).float().mean()) > 0.95


def test_by_layer_rows_may_differ_and_the_matrix_has_the_share(tmp_path: Path) -> None:
    model, context = build(tmp_path)
    wanda_prune.step.apply(model, wanda_prune.Params(sparsity=0.25, scope="layer"), context)
    for layer in find_linear_layers(model).values():
        assert int((layer.weight == 0).sum()) == layer.weight.numel() // 4
    rows = (find_linear_layers(model)["bert.encoder.layer.0.attention.self.query"].weight == 0).sum(dim=1)
    assert len(set(rows.tolist())) > 1


@pytest.mark.parametrize("architecture", ["roberta", "electra", "gpt2"])
def test_other_families_are_reached_whole(tmp_path: Path, architecture: str) -> None:
    model, context = build(tmp_path, architecture)
    wanda_prune.step.apply(model, wanda_prune.Params(sparsity=0.5), context)
    assert context.log["sparsity"] == 0.5
    assert context.log["matrices"] == (16 if architecture == "gpt2" else 24)


def test_it_works_under_mean_pooling_and_after_other_pruning(tmp_path: Path) -> None:
    model, context = build(tmp_path, params=MEAN)
    magnitude_prune.step.apply(model, magnitude_prune.Params(sparsity=0.3), context)
    zeros = {name: layer.weight == 0 for name, layer in find_linear_layers(model).items()}
    wanda_prune.step.apply(model, wanda_prune.Params(sparsity=0.75, scope="layer"), context)
    for name, layer in find_linear_layers(model).items():
        assert int((layer.weight == 0).sum()) == 0.75 * layer.weight.numel()
        assert (layer.weight[zeros[name]] == 0).all()


def test_without_calibration_rows_it_says_which_split_is_missing(tmp_path: Path) -> None:
    model, context = build(tmp_path, calibration=0)
    with pytest.raises(DataError, match="needs rows of the split calibration"):
        wanda_prune.step.apply(model, wanda_prune.Params(sparsity=0.5), context)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sparsity": 1.0}, "sparsity: Input should be less than 1"),
        ({"sparsity": 0.5, "scope": "global"}, "scope: Input should be 'row' or 'layer'"),
        ({}, "sparsity: Field required"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    assert read_refusal(wanda_prune.Params, options).startswith(message)

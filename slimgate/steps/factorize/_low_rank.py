"""Factorizes a model's linear layers: which layers, at what rank, and their replacements."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from slimgate.errors import BuildError
from slimgate.models.blocks import blocks
from slimgate.models.linear_layers import find_linear_layers
from slimgate.models.replace_modules import replace_modules_
from slimgate.plugins.base import Json
from slimgate.plugins.context import BuildContext
from slimgate.steps.calibration import Moments, calibration_batches, compute_input_moments
from slimgate.steps.factorize._svd import (
    Decomposition,
    allot_ranks,
    choose_even_ranks,
    compute_energy_share,
    decompose,
    find_energy_rank,
    is_factorization_smaller,
)
from slimgate.steps.importance import compute_gradient_moments
from slimgate.steps.layers.low_rank import LowRankLinear

if TYPE_CHECKING:
    from slimgate.models.torch_model import TorchModel
    from slimgate.steps.factorize.low_rank import Params


def factorize_layers_(model: TorchModel, params: Params, context: BuildContext) -> Json:
    """Replaces the layers that get smaller; returns the log. Raises BuildError if none does."""
    layers = _select_layers(model, params.parts)
    moments: dict[str, Moments] = {}
    if params.activation_aware:
        moments = compute_input_moments(model, layers, calibration_batches(model, context))
    gradients = compute_gradient_moments(model, layers, context) if params.loss_aware else {}
    decompositions = {
        name: decompose(layer.weight, _choose_second_moment(layer, moments.get(name)), gradients.get(name))
        for name, layer in layers.items()
    }
    ranks = {
        name: rank
        for name, rank in _choose_ranks(decompositions, params).items()
        if is_factorization_smaller(decompositions[name].shape, rank)
    }
    if not ranks:
        raise BuildError(_describe_no_gain(decompositions, params))
    factorized = {
        name: _factorize_layer(layers[name], decompositions[name], rank, moments.get(name))
        for name, rank in ranks.items()
    }
    replace_modules_(model, "low_rank", factorized)
    _forget_zeros_(model, factorized)
    return _make_log(decompositions, ranks)


def _select_layers(model: TorchModel, parts: str) -> dict[str, nn.Linear]:
    """The blocks' linear layers of these parts, without factors that an earlier step made."""
    layers = find_linear_layers(model)
    factorized = {name for name, m in model.network.named_modules() if isinstance(m, LowRankLinear)}
    names = _list_part_names(model.network, parts)
    chosen_layers = {
        name: layer
        for name, layer in layers.items()
        if name.rpartition(".")[0] not in factorized and (names is None or name in names)
    }
    if not chosen_layers:
        raise BuildError(f"{type(model.network).__name__}: its matrices are low-rank factors already")
    return chosen_layers


def _list_part_names(network: nn.Module, parts: str) -> set[str] | None:
    if parts == "all":
        return None
    if parts == "attention":
        attentions = [block.attention for block in blocks(network)]
        return {name for a in attentions for name in (a.query, a.key, a.value, a.output)}
    return {name for b in blocks(network) for name in (*b.feed_forward.inputs, b.feed_forward.output)}


def _choose_second_moment(layer: nn.Linear, moments: Moments | None) -> torch.Tensor | None:
    """The second moment that weighs the errors; with a bias, which absorbs the mean's, the covariance."""
    if moments is None:
        return None
    return moments.second_moment if layer.bias is None else moments.covariance


def _choose_ranks(decompositions: Mapping[str, Decomposition], params: Params) -> dict[str, int]:
    if params.parameter_ratio is not None:
        spread = allot_ranks if params.loss_aware else choose_even_ranks
        return spread(decompositions, params.parameter_ratio)
    return {name: _choose_rank(each, params) for name, each in decompositions.items()}


def _choose_rank(decomposition: Decomposition, params: Params) -> int:
    if params.rank is not None:
        return params.rank
    if params.rank_ratio is not None:
        return max(1, round(params.rank_ratio * min(decomposition.shape)))
    assert params.energy is not None
    return find_energy_rank(decomposition.values, params.energy)


def _factorize_layer(
    layer: nn.Linear, decomposition: Decomposition, rank: int, moments: Moments | None
) -> LowRankLinear:
    up, down = decomposition.make_factors(rank)
    bias = None
    if layer.bias is not None:
        bias = layer.bias.detach().double()
        if moments is not None:
            bias = bias + layer.weight.detach().double() @ moments.mean - up @ (down @ moments.mean)
    return LowRankLinear.from_factors(up, down, bias)


def _forget_zeros_(model: TorchModel, names: Collection[str]) -> None:
    """Removes the layers from the notes of pruning steps: products of factors have no zeros to keep."""
    for change in model.modifications:
        if "pruned" in change["spec"]:
            change["spec"]["pruned"] = [name for name in change["spec"]["pruned"] if name not in names]


def _describe_no_gain(decompositions: Mapping[str, Decomposition], params: Params) -> str:
    name, decomposition = next(iter(decompositions.items()))
    rows, columns = decomposition.shape
    choice = next(key for key in ("rank", "rank_ratio", "energy", "parameter_ratio") if getattr(params, key))
    value = getattr(params, choice)
    return (
        f"{choice} = {value}: no matrix would become smaller; {name} of {rows} × {columns} does below "
        f"rank {-(-rows * columns // (rows + columns))}; lower {choice}"
    )


def _make_log(decompositions: Mapping[str, Decomposition], ranks: Mapping[str, int]) -> Json:
    energies = [compute_energy_share(decompositions[name].values, rank) for name, rank in ranks.items()]
    sizes = {name: int(np.prod(each.shape)) for name, each in decompositions.items()}
    after = {
        name: ranks[name] * sum(decompositions[name].shape) if name in ranks else size
        for name, size in sizes.items()
    }
    return {
        "matrices": len(decompositions),
        "factorized": len(ranks),
        "weights_before": sum(sizes.values()),
        "weights_after": sum(after.values()),
        "energy_kept_mean": round(float(np.mean(energies)), 4),
        "energy_kept_min": round(min(energies), 4),
        "ranks": dict(ranks),
    }

"""Factorizes a model's linear layers: which layers, at what rank, and their replacements."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from slimgate.errors import BuildError
from slimgate.models.blocks import blocks
from slimgate.models.linear_layers import find_linear_layers
from slimgate.models.replace_modules import replace_modules_
from slimgate.plugins.base import Json
from slimgate.plugins.context import BuildContext
from slimgate.steps.calibration import Moments, calibration_batches, compute_input_moments
from slimgate.steps.importance import compute_gradient_moments
from slimgate.steps.layers.low_rank import LowRankLinear

if TYPE_CHECKING:
    from slimgate.models.torch_model import TorchModel
    from slimgate.steps.factorize.low_rank import Params


Values = npt.NDArray[np.float64]
# A share of the mean second moment that makes it invertible if inputs do not span the space.
_DAMPING = 1e-8
_GRADIENT_DAMPING = 1e-6


@dataclass(frozen=True)
class Decomposition:
    """In float64: left (out, k), values (k,), largest first, projected (k, in); left @ projected is W."""

    left: Tensor
    values: Values
    projected: Tensor

    @property
    def shape(self) -> tuple[int, int]:
        return self.left.shape[0], self.projected.shape[1]

    def make_factors(self, rank: int) -> tuple[Tensor, Tensor]:
        """up (out, rank) and down (rank, in); their product is the best of that rank."""
        root = np.sqrt(np.maximum(self.values[:rank], 1e-12 * self.values[0] + 1e-300))
        scale = torch.from_numpy(root).to(self.left)
        return self.left[:, :rank] * scale, self.projected[:rank] / scale.unsqueeze(1)


@torch.no_grad()
def decompose(
    weight: Tensor, moments: Tensor | None = None, gradients: Tensor | None = None
) -> Decomposition:
    """The singular value decomposition of a weight (out, in), or of its effect on outputs, or on the loss.

    moments: (in, in), second moment or covariance of the inputs; gradients: (out, out), second moment of the
    loss's gradients by the outputs. With moments = L L' and gradients = R' R, it decomposes R W L = U S V'.
    The best W of rank r is R⁻¹ U_r U_r' R W, so L need not be inverted.
    """
    weight = weight.detach().double()
    target = weight if moments is None else weight @ _compute_root(moments)
    if gradients is None:
        left, values, _ = torch.linalg.svd(target, full_matrices=False)
        return Decomposition(left, values.cpu().numpy(), left.t() @ weight)
    gradient_root = _compute_root(gradients, _GRADIENT_DAMPING).t()
    left, values, _ = torch.linalg.svd(gradient_root @ target, full_matrices=False)
    left_of_weight = torch.linalg.solve_triangular(gradient_root, left, upper=True)
    return Decomposition(left_of_weight, values.cpu().numpy(), left.t() @ gradient_root @ weight)


def _compute_root(moments: Tensor, damping: float = _DAMPING) -> Tensor:
    """Lower Cholesky factor of moments plus the least damping that makes them positive definite."""
    if not bool(torch.isfinite(moments).all()):
        raise BuildError("the inputs or gradients of a layer are NaN or infinite")
    scale = float(moments.diagonal().mean())
    if not scale > 0:
        raise BuildError("the inputs or gradients of a layer are only zeros or constants")
    while True:
        damped = moments + damping * scale * torch.eye(len(moments)).to(moments)
        lower, failed = torch.linalg.cholesky_ex(damped)
        if not int(failed):
            return lower  # type: ignore[no-any-return]
        damping *= 10


def compute_energy_share(values: Values, rank: int) -> float:
    """Share of the squared singular values among the first `rank`, in [0, 1]."""
    squares = values**2
    return float(squares[:rank].sum() / squares.sum()) if squares.any() else 1.0


def find_energy_rank(values: Values, energy: float) -> int:
    """The smallest rank that keeps this share of the squared singular values."""
    squares = np.cumsum(values**2)
    return min(int(np.searchsorted(squares, energy * squares[-1])) + 1, len(values))


def is_factorization_smaller(shape: tuple[int, int], rank: int) -> bool:
    """Whether two factors of this rank have fewer parameters than the matrix (out, in)."""
    return rank * (shape[0] + shape[1]) < shape[0] * shape[1]


def choose_even_ranks(decompositions: Mapping[str, Decomposition], parameter_ratio: float) -> dict[str, int]:
    """The rank at which each matrix keeps this share of its parameters, at least 1."""
    return {
        name: max(1, int(parameter_ratio * np.prod(each.shape) / sum(each.shape)))
        for name, each in decompositions.items()
    }


def allot_ranks(decompositions: Mapping[str, Decomposition], parameter_ratio: float) -> dict[str, int]:
    """A rank for each matrix so that all together keep this share of their parameters.

    It buys one singular direction after another, the one with the greatest square per number first, so the
    singular values of all matrices must have the same unit, such as the loss. A matrix whose factors would be
    as large as itself costs its own size. Every matrix gets at least rank 1. Raises BuildError if that
    exceeds the share.
    """
    prices = {name: float(sum(each.shape)) for name, each in decompositions.items()}
    sizes = {name: float(np.prod(each.shape)) for name, each in decompositions.items()}
    worth = {name: each.values**2 / prices[name] for name, each in decompositions.items()}
    offers = np.sort(np.concatenate(list(worth.values())))[::-1]

    def ranks(bought: int) -> dict[str, int]:
        least = offers[bought - 1] if bought else np.inf
        return {name: max(1, int((each >= least).sum())) for name, each in worth.items()}

    def cost(bought: int) -> float:
        return sum(min(rank * prices[name], sizes[name]) for name, rank in ranks(bought).items())

    budget = parameter_ratio * sum(sizes.values())
    if cost(0) > budget:
        raise BuildError(
            f"parameter_ratio = {parameter_ratio} leaves less than rank 1 of {len(decompositions)} matrices; "
            f"expected at least {cost(0) / budget * parameter_ratio:.3g}"
        )
    return ranks(bisect_right(range(1, len(offers) + 1), budget, key=cost))


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

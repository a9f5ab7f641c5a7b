"""Removes features from linear layers, embeddings and norms.

cut_linear(model, "bert.encoder.layer.0.intermediate.dense", rows=[0, 2, 5])      # fewer outputs
cut_linear(model, "bert.encoder.layer.0.output.dense", columns=[0, 2, 5])         # fewer inputs
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import nn

from slimgate.errors import BuildError

if TYPE_CHECKING:
    from slimgate.models.torch_model import TorchModel

M = TypeVar("M", bound=nn.Module)
# On this device a constructor draws no random numbers, so that the global random state stays unchanged.
META_DEVICE = "meta"


def cut_linear(
    model: TorchModel, name: str, *, rows: Sequence[int] | None = None, columns: Sequence[int] | None = None
) -> nn.Linear:
    """Makes a linear layer of some outputs and inputs of the model's layer, which is not changed.

    Args:
        model: the model that has the layer.
        name: the name of the layer.
        rows: the outputs to keep, in their new order; None keeps all.
        columns: the inputs to keep, in their new order; None keeps all.

    Raises:
        BuildError: if the layer is not an nn.Linear.
    """
    layer = find_part_to_cut(model.network, name, nn.Linear)
    weight, bias = _take(_take(layer.weight, rows, 0), columns, 1), layer.bias
    smaller = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device=META_DEVICE)
    _set(smaller, "weight", weight, like=layer.weight)
    if bias is not None:
        _set(smaller, "bias", _take(bias, rows, 0), like=bias)
    return smaller


def cut_embedding(model: TorchModel, name: str, columns: Sequence[int]) -> nn.Embedding:
    """An embedding table with these features only. Raises BuildError if the table is no nn.Embedding."""
    table = find_part_to_cut(model.network, name, nn.Embedding)
    weight = _take(table.weight, columns, 1)
    shape = (len(weight), weight.shape[1])
    smaller = nn.Embedding(*shape, padding_idx=table.padding_idx, device=META_DEVICE)
    _set(smaller, "weight", weight, like=table.weight)
    return smaller


def narrow_embedding_(network: nn.Module, name: str, columns: Sequence[int]) -> None:
    """Removes features, in place, from a table of a transformers class, whose width config.json states."""
    table = check_embedding(network, name)
    _set(table, "weight", _take(table.weight, columns, 1), like=table.weight)
    table.embedding_dim = len(columns)


def check_embedding(network: nn.Module, name: str) -> nn.Embedding:
    """The table with that name. Raises BuildError if another step has put another class there."""
    table = network.get_submodule(name)
    # transformers' own tables, such as OPT's table of positions, which begin with an offset
    if isinstance(table, nn.Embedding) and type(table).__module__.startswith("transformers."):
        return table
    return find_part_to_cut(network, name, nn.Embedding)


def cut_norm_(norm: nn.Module, channels: Sequence[int]) -> None:
    """Removes features from a LayerNorm or RMSNorm, in place. Its statistics are then over the others."""
    for name, parameter in list(norm.named_parameters(recurse=False)):
        _set(norm, name, _take(parameter, channels, 0), like=parameter)
    if isinstance(norm, nn.LayerNorm):
        norm.normalized_shape = (len(channels),)


def find_part_to_cut(network: nn.Module, name: str, kind: type[M]) -> M:
    """The layer with that name. Raises BuildError if another step has put another class there."""
    part = network.get_submodule(name)
    if type(part) is not kind:
        raise BuildError(
            f"{name} is {type(part).__name__}, and only nn.{kind.__name__} can be cut; put the cutting "
            "step before the step that changed this layer"
        )
    return part


def check_linear(network: nn.Module, names: Iterable[str]) -> None:
    """Raises BuildError if a layer is no nn.Linear. Call it before scores are computed in vain."""
    for name in names:
        find_part_to_cut(network, name, nn.Linear)


def _take(values: torch.Tensor, channels: Sequence[int] | None, dim: int) -> torch.Tensor:
    if channels is None:
        return values.detach()
    return values.detach().index_select(dim, torch.as_tensor(channels, device=values.device))


def _set(module: nn.Module, name: str, values: torch.Tensor, *, like: torch.Tensor) -> None:
    setattr(module, name, nn.Parameter(values.clone(), requires_grad=like.requires_grad))

"""Damages a layer of a network, for the self-test."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeGuard

from slimgate.errors import MeasureError

if TYPE_CHECKING:
    import torch
    from torch import nn


class NothingToDamage(MeasureError):
    """A model without a matrix that can be damaged here."""


def damage_largest_matrix_(network: nn.Module, *, strength: float, seed: int) -> str:
    """Adds noise to the largest matrix, and returns the name of its layer.

    strength: standard deviation of the noise, as a multiple of that of the matrix's values. Embeddings are
    left out, because only some of their rows are used. Raises NothingToDamage if there is no float matrix.
    """
    import torch

    name, weight = _find_largest_matrix(network)
    matrix = weight.detach()
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(matrix.shape, generator=generator) * (strength * float(matrix.float().std()))
    matrix.add_(noise.to(matrix.device, matrix.dtype))
    return name


def _find_largest_matrix(network: nn.Module) -> tuple[str, torch.Tensor]:
    """The layer's name and its weight (convolutions count as matrices); the first of equally large ones."""
    from torch import nn

    embeddings = [module for module in network.modules() if isinstance(module, nn.Embedding)]
    embedding_weights = {id(module.weight) for module in embeddings}
    weights = [(name, getattr(module, "weight", None)) for name, module in network.named_modules()]
    matrices: list[tuple[str, torch.Tensor]] = [
        (name, weight)
        for name, weight in weights
        if _is_float_matrix(weight) and id(weight) not in embedding_weights  # also of a layer tied to one
    ]
    if not matrices:
        raise NothingToDamage("the network has no float matrix to damage")
    return max(matrices, key=lambda pair: pair[1].numel())


def _is_float_matrix(weight: object) -> TypeGuard[torch.Tensor]:
    """Whether it is a parameter of plain floats: quantized layers hold tensors of their own types."""
    import torch

    return (
        type(weight) is torch.nn.Parameter
        and type(weight.data) is torch.Tensor
        and weight.is_floating_point()
        and weight.ndim >= 2
    )

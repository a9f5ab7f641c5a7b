"""Weights that compute with their rounded values during training.

    with with_fake_quantization(layers, grids):
        train(...)
    # now the float weights lie on their grids

Forward passes use the rounded weights. Backward passes treat rounding as the identity, and clipping as a
limit.

Source: Jacob et al. 2018, section 3; learned steps: Esser et al. 2020 (LSQ), equations 1 to 3, here as a
logarithm, so that one learning rate suits scales of any size.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from slimgate.steps.layers.grid import Grid

# A step of Adam changes a number by at most the learning rate; scales may have to change by a half.
_PACE = 8.0


class FakeQuantization(nn.Module):
    """float weights -> their nearest values on a grid whose scales are learned, too."""

    scale: Tensor
    zero_point: Tensor
    mask: Tensor | None

    def __init__(self, grid: Grid, *, learned: bool = True, mask: Tensor | None = None) -> None:
        """mask: (rows, columns) bool, False where a weight was pruned and must stay 0."""
        super().__init__()
        self.scheme, self._dtype = grid.scheme, grid.scale.dtype
        self.register_buffer("scale", grid.scale.float())
        self.register_buffer("zero_point", grid.zero_point.float().unsqueeze(-1))
        self.register_buffer("mask", mask)
        self.growth = nn.Parameter(torch.zeros_like(self.scale), requires_grad=learned)

    def forward(self, weight: Tensor) -> Tensor:
        scale = self.step().unsqueeze(-1)
        rounded = round_straight_through(self.scheme.to_groups(weight) / scale)
        levels = (rounded + self.zero_point).clamp(0, self.scheme.top)
        values = self.scheme.from_groups((levels - self.zero_point) * scale, *weight.shape)
        return values if self.mask is None else values * self.mask

    def step(self) -> Tensor:
        """The scales, rounded as they will be stored."""
        scale = self.scale * torch.exp(_PACE * self.growth)
        return scale + (scale.to(self._dtype).float() - scale).detach()

    def change(self) -> float:
        """Mean relative change of the scales since the start."""
        return float((self.step().detach() / self.scale - 1).abs().mean())


def round_straight_through(values: Tensor) -> Tensor:
    """Rounded values, with the gradient of the unrounded ones (Bengio et al. 2013)."""
    return values + (values.round() - values).detach()


@contextmanager
def with_fake_quantization(
    layers: Mapping[str, nn.Linear | nn.Embedding],
    grids: Mapping[str, Grid],
    *,
    learned: bool = True,
    pruned: frozenset[str] = frozenset(),
) -> Iterator[dict[str, FakeQuantization]]:
    """Inside, the `weight` of each layer is rounded; afterwards it is float again, on its grid.

    learned: whether scales are trained; pruned: names of layers whose zeros stay.
    """
    rounding = {
        name: FakeQuantization(
            grids[name], learned=learned, mask=layer.weight.detach() != 0 if name in pruned else None
        )
        for name, layer in layers.items()
    }
    for name, layer in layers.items():
        parametrize.register_parametrization(layer, "weight", rounding[name])
    try:
        yield rounding
    finally:
        for layer in layers.values():
            parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)

"""Random linear layers and inputs, the same at each call."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def draw_linear(inputs: int, outputs: int, *, bias: bool = True) -> nn.Linear:
    """A layer whose weights depend only on its shape."""
    linear = nn.Linear(inputs, outputs, bias=bias)
    generator = torch.Generator().manual_seed(inputs * 31 + outputs)
    with torch.no_grad():
        for values in linear.parameters():
            values.normal_(0, 0.05, generator=generator)
    return linear


def draw_rows(*shape: int) -> Tensor:
    """Inputs of this shape, such as (rows, in_features)."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(7))

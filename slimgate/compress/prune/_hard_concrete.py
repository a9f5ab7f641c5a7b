"""Gates between 0 and 1 that are exactly 0 or 1 most of the time, and yet are learned by gradient.

Source: Louizos et al. 2018, "Learning sparse neural networks through L0 regularization", section 2.2.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

TEMPERATURE = 2 / 3
LOW, HIGH = -0.1, 1.1  # the interval that a gate is stretched to before it is clipped to [0, 1]


class HardConcrete(nn.Module):
    """A vector of gates. In training they are drawn anew by `draw`; in evaluation they are their middle.

    log_alpha: (size,); a gate starts open where it is above 2.4. fixed: (size,) once the gates are decided.
    """

    fixed: Tensor | None
    noise: Tensor | None

    def __init__(self, size: int, *, log_alpha: float = 2.5) -> None:
        super().__init__()
        self.log_alpha = nn.Parameter(torch.full((size,), log_alpha))
        self.register_buffer("fixed", None, persistent=False)
        self.register_buffer("noise", None, persistent=False)

    def draw(self) -> None:
        """New noise for the next forward passes, from torch's generator."""
        uniform = torch.rand_like(self.log_alpha).clamp_(1e-6, 1 - 1e-6)
        self.noise = torch.logit(uniform)

    def forward(self) -> Tensor:
        """The gates: (size,) in [0, 1]."""
        if self.fixed is not None:
            return self.fixed
        if self.training and self.noise is not None:
            return _stretched((self.noise + self.log_alpha) / TEMPERATURE)
        return _stretched(self.log_alpha)

    def open_probability(self) -> Tensor:
        """The probability of each gate to be other than 0: (size,). Equation 12."""
        return torch.sigmoid(self.log_alpha - TEMPERATURE * math.log(-LOW / HIGH))


def _stretched(logits: Tensor) -> Tensor:
    return (torch.sigmoid(logits) * (HIGH - LOW) + LOW).clamp(0, 1)

"""How large the inputs of linear layers are on real tokens, and how they go together.

    input_norms(model, layers, batches)["…query"]     (in_features,)
    second_moments(model, layers, batches)["…query"]  (in_features, in_features)

Padding does not count.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from slimgate.calibration import Batch, watch_inputs
from slimgate.errors import BuildError
from slimgate.torch_model import TorchModel

Moments = dict[str, Tensor]


def input_norms(model: TorchModel, layers: Mapping[str, nn.Linear], batches: list[Batch]) -> Moments:
    """Root mean square of each input over the tokens: (in_features,) float64. Raises BuildError.

    Wanda's ‖x‖ but for a factor that a layer's inputs share.
    """
    sums, tokens = _summed(model, layers, batches, together=False)
    return {name: (sums[name] / tokens[name]).sqrt() for name in layers}


def second_moments(model: TorchModel, layers: Mapping[str, nn.Linear], batches: list[Batch]) -> Moments:
    """Mean of x xᵀ over the tokens: (in_features, in_features) float64. Raises BuildError."""
    sums, tokens = _summed(model, layers, batches, together=True)
    return {name: sums[name] / tokens[name] for name in layers}


def _summed(
    model: TorchModel, layers: Mapping[str, nn.Linear], batches: list[Batch], *, together: bool
) -> tuple[Moments, dict[str, int]]:
    sums: Moments = {}
    tokens = dict.fromkeys(layers, 0)

    def see(name: str, inputs: Tensor) -> None:
        rows = inputs.float()
        part = (rows.t() @ rows if together else rows.square().sum(dim=0)).double()
        sums[name] = sums[name] + part if name in sums else part
        tokens[name] += len(rows)

    with torch.no_grad():
        watch_inputs(model, layers, batches, see)
    unseen = [name for name in layers if not tokens[name]]
    if unseen:
        raise BuildError(
            f"{len(unseen)} linear layers received nothing from the calibration rows, first {unseen[0]}: "
            "they cannot be pruned by their inputs; use magnitude_prune"
        )
    return sums, tokens

"""A fresh head over tokens that starts from logistic regression on frozen features of the tokens.

As heads.py does for rows (Kumar et al. 2022, LP-FT).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from slimgate.protocols import iter_batches
from slimgate.tasks.parts.classifiers import HEAD_ROWS
from slimgate.tasks.parts.heads import fit_head
from slimgate.tasks.parts.learning import Labelled
from slimgate.tasks.parts.objectives import TokenObjective

TokenData = tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]


def fit_token_head(
    network: nn.Module, layer: nn.Linear, train: Labelled, held_out: Labelled | None, *, seed: int
) -> dict[str, Any]:
    """Sets the layer's weights by logistic regression on at most 20,000 tokens; gives the log."""
    data = token_inputs(network, layer, train)
    chosen = None if held_out is None else token_inputs(network, layer, held_out)
    return {**fit_head(layer, data, chosen, seed=seed), "tokens": len(data[1])}


def token_inputs(network: nn.Module, layer: nn.Linear, data: Labelled) -> TokenData:
    """What `layer` receives for each token that has a label, and its label: (tokens, in_features), (tokens,).

    Of the first rows, until there are 20,000 tokens.
    """
    objective = TokenObjective(shifted=False)
    features: list[torch.Tensor] = []
    labels: list[torch.Tensor] = []
    seen: list[torch.Tensor] = []
    hook = layer.register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[0]))
    device = next(network.parameters()).device
    network.eval()
    try:
        with torch.inference_mode():
            for positions in iter_batches(range(len(data[1])), 64):
                batch = {k: torch.from_numpy(v).to(device) for k, v in data[0].batch(positions).items()}
                network(**batch)
                found, told = objective.flat(seen.pop(), torch.from_numpy(data[1][positions]).to(device))
                known = objective.labelled(told)
                features.append(found[known].cpu())
                labels.append(told[known].cpu())
                if sum(map(len, labels)) >= HEAD_ROWS:
                    break
    finally:
        hook.remove()
    return torch.cat(features)[:HEAD_ROWS].numpy(), torch.cat(labels)[:HEAD_ROWS].numpy()

"""Layers of latent float weights that become binary during training, and figures of how weights change.

latent = put_latent_layers_(model, layers, tables, thresholds)
train(…, hooks=[Ramp(latent, 0.2)])
replace_modules_(model, "binarize", {name: layer.to_packed() for name, layer in latent.items()})
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from slimgate.plugins.context import BuildContext
from slimgate.steps.calibration import calibration_batches, watch_inputs
from slimgate.steps.layers.binary_linear import LatentEmbedding, LatentLinear

if TYPE_CHECKING:
    from slimgate.models.torch_model import TorchModel

Latent = LatentLinear | LatentEmbedding
THRESHOLD_ROWS = 256


def put_latent_layers_(
    model: TorchModel,
    layers: Mapping[str, nn.Linear],
    tables: Mapping[str, nn.Embedding],
    thresholds: Mapping[str, Tensor],
) -> dict[str, Latent]:
    """Replaces each layer by a latent one, with binary inputs if it has thresholds; returns them by name.

    Their pruned weights are no longer pruned: a sign is never 0, so no later step keeps those zeros.
    """
    latent: dict[str, Latent] = {
        **{name: LatentLinear(layer, thresholds=thresholds.get(name)) for name, layer in layers.items()},
        **{name: LatentEmbedding(table) for name, table in tables.items()},
    }
    for name, layer in latent.items():
        model.network.set_submodule(name, layer)
    for change in model.modifications:
        if "pruned" in change["spec"]:
            change["spec"]["pruned"] = [name for name in change["spec"]["pruned"] if name not in latent]
    return latent


def compute_mean_inputs(
    model: TorchModel, layers: Mapping[str, nn.Linear], context: BuildContext
) -> dict[str, Tensor]:
    """The mean input of each layer over THRESHOLD_ROWS train rows: name -> (in_features,) float32."""
    batches = calibration_batches(model, context, split="train", most_rows=THRESHOLD_ROWS)
    sums: dict[str, Tensor] = {}
    counts = dict.fromkeys(layers, 0)

    def see(name: str, tokens: Tensor) -> None:
        sums[name] = sums.get(name, 0) + tokens.double().sum(0)
        counts[name] += len(tokens)

    watch_inputs(model, layers, batches, see)
    return {name: (sums[name] / counts[name]).float() for name in layers}


class Ramp:
    """Leads latent layers from float to binary over the first `share` of the steps, in equal parts.

    If inputs become binary too, weights go first, over one half, and inputs follow over the other
    (Liu et al. 2022, BiT, section 3.3: through binary weights with wider inputs).
    """

    def __init__(self, latent: Collection[Latent], share: float) -> None:
        self._latent, self._share = latent, share

    def before_step(self, step: int, steps: int) -> None:
        done = 1.0 if not self._share else min(1.0, step / (self._share * steps))
        for layer in self._latent:
            if isinstance(layer, LatentLinear) and layer.threshold is not None:
                layer.weight_share, layer.input_share = min(1.0, 2 * done), max(0.0, 2 * done - 1)
            else:
                layer.weight_share = done

    def after_step(self, step: int, steps: int) -> None:
        """Does nothing: scales are trained, not computed again."""


def compute_flipped_share(latent: Mapping[str, Latent], positive: Mapping[str, Tensor]) -> float:
    """Share of binary weights whose sign flipped in training. positive: name -> weight >= 0 at the start."""
    flipped = sum(int(((layer.weight >= 0) != positive[name]).sum()) for name, layer in latent.items())
    return flipped / sum(layer.weight.numel() for layer in latent.values())


def compute_sign_error(layers: Iterable[nn.Module]) -> float:
    """Share of the weights' energy that signs times the row's mean |w| lose: 0 to 1, 0.36 of Gaussians."""
    lost = energy = 0.0
    for layer in layers:
        sizes = torch.as_tensor(layer.weight).detach().double().abs()
        lost += float(((sizes - sizes.mean(dim=1, keepdim=True)) ** 2).sum())
        energy += float((sizes**2).sum())
    return lost / energy if energy else 0.0

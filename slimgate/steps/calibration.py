"""The inputs of a model's layers on real rows: the basis of every step that looks at activations.

batches = calibration_batches(model, context)
watch_inputs(model, {"…query": layer}, batches, lambda name, tokens: …)

It measures how large the inputs of linear layers are on real tokens, and how they correlate.

    input_norms(model, layers, batches)["…query"]                 (in_features,)
    input_moments(model, layers, batches)["…query"].covariance    (in_features, in_features)

Padding does not count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from slimgate.errors import BuildError
from slimgate.plugins.base import iter_batches
from slimgate.plugins.context import BuildContext

if TYPE_CHECKING:
    from slimgate.models.torch_model import TorchModel

Batch = dict[str, torch.Tensor]
See = Callable[[str, torch.Tensor], None]


def calibration_batches(
    model: TorchModel, context: BuildContext, *, split: str = "calibration", batch_size: int = 32
) -> list[Batch]:
    """Encodes a split's rows as the model's inputs, sorted by length, on the context's device.

    Args:
        model: gives the tokenizer.
        context: the context of the build.
        split: the split to read.
        batch_size: rows of a batch.

    Returns:
        Batches of (rows, tokens) int64.

    Raises:
        DataError: if the split is empty.
    """
    rows = context.rows(split)
    encoded = context.task.encode_rows(context.task_params, rows, model.tokenizer)
    order = np.argsort(encoded.lengths, kind="stable").tolist()
    return [
        {
            name: torch.from_numpy(values).to(context.device)
            for name, values in encoded.batch(positions).items()
        }
        for positions in iter_batches(order, batch_size)
    ]


def watch_inputs(model: TorchModel, layers: Mapping[str, nn.Module], batches: list[Batch], see: See) -> None:
    """Runs the network over the batches; calls see(name, tokens) with the inputs of each layer.

    tokens: (tokens, in_features), without padding.
    """

    def hook(name: str, batch: Batch) -> Callable[..., None]:
        return lambda _module, inputs, _output: see(name, without_padding(inputs[0].detach(), batch))

    model.network.eval()
    with torch.no_grad():
        for batch in batches:
            with _with_hooks({layers[name]: hook(name, batch) for name in layers}):
                model.network(**batch)


def without_padding(values: torch.Tensor, batch: Batch) -> torch.Tensor:
    """(rows, tokens, features) -> (real tokens, features). If the mask does not fit, every vector counts."""
    mask = batch.get("attention_mask")
    if values.dim() != 3 or mask is None or mask.shape != values.shape[:2]:
        return values.reshape(-1, values.shape[-1])
    return values[mask.bool()]


@contextmanager
def _with_hooks(hooks: Mapping[nn.Module, Callable[..., None]]) -> Iterator[None]:
    handles = [module.register_forward_hook(hook) for module, hook in hooks.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@dataclass
class Moments:
    """The inputs of a linear layer: sums over tokens in float64, which give mean and covariance.

    Sums are of differences from `shift`, the first tokens' mean. Products can then be in float32, which is
    twice as fast, although some features' means are far greater than their spread.
    """

    count: int
    shift: Tensor
    total: Tensor
    products: Tensor

    @classmethod
    def empty(cls, features: int, device: torch.device) -> Moments:
        """The moments of no tokens."""
        zeros = torch.zeros(features, dtype=torch.float64, device=device)
        return cls(0, zeros, zeros.clone(), torch.diag(zeros))

    def add_(self, tokens: Tensor) -> None:
        """tokens: (tokens, features)."""
        if not self.count:
            # rounded as the tokens are, so that the subtraction is exact
            self.shift = tokens.mean(0).double()
        values = tokens - self.shift.to(tokens)
        self.count += len(values)
        self.total += values.sum(0)
        self.products += values.t() @ values

    @property
    def mean(self) -> Tensor:
        """(features,)"""
        return self.shift + self.total / max(self.count, 1)

    @property
    def covariance(self) -> Tensor:
        """(features, features)"""
        apart = self.total / max(self.count, 1)
        return self.products / max(self.count, 1) - torch.outer(apart, apart)

    @property
    def second_moment(self) -> Tensor:
        """X'X / tokens: (features, features)."""
        return self.covariance + torch.outer(self.mean, self.mean)


def input_moments(
    model: TorchModel, layers: Mapping[str, nn.Linear], batches: list[Batch]
) -> dict[str, Moments]:
    """The inputs of each layer for the batches, in the network's current state."""
    seen = {name: Moments.empty(layer.in_features, layer.weight.device) for name, layer in layers.items()}
    watch_inputs(model, layers, batches, lambda name, tokens: seen[name].add_(tokens))
    return seen


def second_moments(
    model: TorchModel, layers: Mapping[str, nn.Linear], batches: list[Batch]
) -> dict[str, Tensor]:
    """Mean of x xᵀ over the tokens: (in_features, in_features) float64. Raises BuildError."""
    seen = input_moments(model, layers, batches)
    _check_coverage({name: moments.count for name, moments in seen.items()})
    return {name: moments.second_moment for name, moments in seen.items()}


def input_norms(
    model: TorchModel, layers: Mapping[str, nn.Linear], batches: list[Batch]
) -> dict[str, Tensor]:
    """Measures the inputs of linear layers: their root mean square over the tokens.

    It is Wanda's ‖x‖ up to a factor that all inputs of a layer share.

    Args:
        model: the model that reads the batches.
        layers: name -> layer of the model.
        batches: as from `calibration_batches`.

    Returns:
        By layer, (in_features,) float64.

    Raises:
        BuildError: if a layer received nothing from the rows.
    """
    sums = {
        name: torch.zeros(layer.in_features, dtype=torch.float64, device=layer.weight.device)
        for name, layer in layers.items()
    }
    tokens = dict.fromkeys(layers, 0)

    def see(name: str, inputs: Tensor) -> None:
        sums[name] += inputs.float().square().sum(dim=0)
        tokens[name] += len(inputs)

    watch_inputs(model, layers, batches, see)
    _check_coverage(tokens)
    return {name: (sums[name] / tokens[name]).sqrt() for name in layers}


def _check_coverage(tokens: Mapping[str, int]) -> None:
    unseen = [name for name, count in tokens.items() if not count]
    if unseen:
        raise BuildError(
            f"{len(unseen)} linear layers received nothing from the calibration rows, first {unseen[0]}, so "
            "their inputs cannot be measured; leave these layers out, or use a step without calibration rows"
        )


def inverse_factor(moments: Tensor, damping: float) -> Tensor:
    """The upper Cholesky factor U of the damped inverse: Uᵀ U = (H + λI)⁻¹. float64. Raises BuildError.

    H: `moments`; λ: `damping` times the mean of its diagonal.
    """
    damped = moments.double().clone()
    diagonal = damped.diagonal()
    diagonal += damping * float(diagonal.mean())
    diagonal[diagonal == 0] = 1.0  # inputs that are always 0, without damping
    return _cholesky(torch.cholesky_inverse(_cholesky(damped)), upper=True)


def _cholesky(matrix: Tensor, *, upper: bool = False) -> Tensor:
    factor: Tensor
    factor, failed = torch.linalg.cholesky_ex(matrix, upper=upper)
    if int(failed):
        raise BuildError(
            f"second moments {tuple(matrix.shape)} of a layer's inputs cannot be inverted; raise damping"
        )
    return factor

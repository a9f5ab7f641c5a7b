"""The layers of binary_linear.py during training: float weights of which only the signs are used.

    layer = LatentLinear(nn.Linear(384, 1536))
    … training …
    layer.to_packed()                                                # the BinaryLinear of the same outputs

Gradients pass the sign as if it were the identity, if the weight is small enough to change its sign
(straight-through with clipping: Hubara et al. 2016, section 2.3). Scales, thresholds and gains are trained
too (Liu et al. 2022, BiT, section 3.2).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from slimgate.steps.layers.binary_linear import BinaryEmbedding, BinaryLinear, compute_signs

# In scales: beyond it a weight is too far from 0 to change its sign, and a gradient would be noise.
WEIGHT_CLIP = 2.0
INPUT_CLIP = 2.0
_SMALLEST_SCALE = 1e-8


class LatentLinear(nn.Module):
    """A linear layer with a float weight for each binary one.

    thresholds: (in_features,) initial values, if the inputs become binary too. weight_share and input_share:
    the progress from float (0) to binary (1) during training; evaluation is always fully binary, so that an
    epoch's score is that of the layer that will be packed.
    """

    def __init__(self, linear: nn.Linear, *, thresholds: Tensor | None = None) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        weight = linear.weight.detach().float()
        self.weight = nn.Parameter(weight.clone())
        self.weight_scale = nn.Parameter(compute_mean_size(weight))
        self.bias = None if linear.bias is None else nn.Parameter(linear.bias.detach().float().clone())
        self.threshold: nn.Parameter | None = None
        self.gain: nn.Parameter | None = None
        if thresholds is not None:
            self.threshold = nn.Parameter(thresholds.detach().to(weight).clone())
            self.gain = nn.Parameter(weight.new_ones(()))
        self.weight_share = self.input_share = 1.0

    def forward(self, inputs: Tensor) -> Tensor:
        weight = binarize_values(self.weight, self.weight_scale.unsqueeze(1), clip=WEIGHT_CLIP)
        if self.training:
            weight = self.weight.lerp(weight, self.weight_share)
        if self.threshold is not None:
            inputs = self._binarize_inputs(inputs)
        return functional.linear(inputs, weight, self.bias)

    def to_packed(self) -> BinaryLinear:
        """The packed layer with the same outputs as this one in evaluation mode."""
        scale = self.weight_scale.abs().clamp_min(_SMALLEST_SCALE)
        return BinaryLinear.from_weights(
            self.weight, scale, bias=self.bias, threshold=self.threshold, gain=self.gain
        )

    def _binarize_inputs(self, inputs: Tensor) -> Tensor:
        assert self.threshold is not None
        assert self.gain is not None
        distance = inputs.float() - self.threshold
        size = distance.abs().mean(dim=-1, keepdim=True) * self.gain
        two_valued = self.threshold + binarize_values(distance, size, clip=INPUT_CLIP)
        if self.training:
            two_valued = inputs.float().lerp(two_valued, self.input_share)
        return two_valued.to(inputs.dtype)


class LatentEmbedding(nn.Module):
    """An embedding table with a float number for each binary one."""

    def __init__(self, embedding: nn.Embedding) -> None:
        super().__init__()
        weight = embedding.weight.detach().float()
        self.padding_idx = embedding.padding_idx
        self.weight = nn.Parameter(weight.clone())
        self.weight_scale = nn.Parameter(compute_mean_size(weight))
        self.weight_share = 1.0

    def forward(self, ids: Tensor) -> Tensor:
        rows = functional.embedding(ids, self.weight)
        two_valued = binarize_values(rows, self.weight_scale[ids].unsqueeze(-1), clip=WEIGHT_CLIP)
        return rows.lerp(two_valued, self.weight_share) if self.training else two_valued

    def to_packed(self) -> BinaryEmbedding:
        """The packed table with the same outputs as this one in evaluation mode."""
        scale = self.weight_scale.abs().clamp_min(_SMALLEST_SCALE)
        return BinaryEmbedding.from_weights(self.weight, scale, padding_idx=self.padding_idx)


def binarize_values(values: Tensor, scale: Tensor, *, clip: float) -> Tensor:
    """scale · sign(values), with gradients to the scale and, up to clip · scale, to the values."""
    scale = scale.abs().clamp_min(_SMALLEST_SCALE)
    bound = clip * scale.detach()
    passing = torch.minimum(torch.maximum(values, -bound), bound)
    return scale * compute_signs(values.detach()) + (passing - passing.detach())


def compute_mean_size(weight: Tensor) -> Tensor:
    """The scale of least squared error for the signs of each row: mean |w|. (rows, n) -> (rows,)."""
    return weight.abs().mean(dim=1).clamp_min(_SMALLEST_SCALE)

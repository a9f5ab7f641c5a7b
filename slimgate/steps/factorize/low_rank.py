"""Replaces weight matrices of the blocks by products of two thin ones.

    { low_rank = { parameter_ratio = 0.5, loss_aware = true } }   the half of the numbers that matters most
    { low_rank = { rank = 64 } }                                  or rank_ratio = 0.25, or energy = 0.9

A matrix W (out, in) becomes the product up (out, rank) · down (rank, in), which has W's largest singular
values. With activation_aware these are the values of W times its inputs from `calibration`, so that the error
of the outputs is as small as possible. The bias of a layer, if it has one, absorbs the error of the mean
input. With loss_aware the error of an output is weighted by the second moment of its gradients (Fisher
information). A matrix is replaced only if its factors have fewer numbers. The factors are linear layers,
which later steps train, prune or quantize.

Sources: Wang et al. 2025 (SVD-LLM), section 3.1; Hsu et al. 2022 (FWSVD); Martens & Grosse 2015 (K-FAC).
Without activation_aware and loss_aware no rows are read, but `calibration` counts in the store's key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from slimgate.plugins.context import BuildContext
from slimgate.plugins.params import Table
from slimgate.plugins.step import Step

if TYPE_CHECKING:
    from slimgate.models.torch_model import TorchModel

CHOICES = ("rank", "rank_ratio", "energy", "parameter_ratio")


class Params(Table):
    exactly_one = CHOICES
    rank: int | None = Field(default=None, ge=1)
    """Rank of the factors; give exactly one of rank, rank_ratio, energy and parameter_ratio."""
    rank_ratio: float | None = Field(default=None, gt=0, lt=1)
    """Rank as a share of the full rank min(out, in)."""
    energy: float | None = Field(default=None, gt=0, lt=1)
    """Share of the sum of squared singular values that the step keeps."""
    parameter_ratio: float | None = Field(default=None, gt=0, lt=1)
    """Share of the parameters that the step keeps: in each matrix, or, with loss_aware = true, in all
    matrices together."""
    activation_aware: bool = True
    """true: approximate the outputs of each matrix on `calibration` rows; false: approximate the matrix
    itself."""
    loss_aware: bool = False
    """Weigh an output's error by how much it changes the loss on `calibration`."""
    parts: Literal["all", "attention", "feed_forward"] = "all"
    """Which linear layers are replaced by factors: all, only those of attention, or only those of the
    feed-forward part."""


class LowRank(Step[Params]):
    takes = frozenset({"torch", "torch_quantized"})
    reads = ("calibration",)
    claims = ("smaller", "fewer_parameters")

    def does_without(self, params: Params) -> tuple[str, ...]:
        """The calibration rows, if only the weights are used."""
        return () if params.activation_aware or params.loss_aware else ("calibration",)

    def apply(self, model: TorchModel, params: Params, context: BuildContext) -> TorchModel:
        """The model with thin factors for its big matrices."""
        from slimgate.steps.factorize._low_rank import factorize_layers_

        context.log.update(factorize_layers_(model, params, context))
        return model


step = LowRank()

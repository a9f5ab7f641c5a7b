"""Gives sentence embeddings fewer dimensions, so that their index is smaller.

    { truncate_embeddings = { dims = 128 } }                   the directions of the largest energy, by PCA
    { truncate_embeddings = { dims = 128, by = "first" } }     the first ones, for matryoshka models

By PCA: a linear layer after the pooling projects to the eigenvectors of the embeddings' second moment on
`calibration` rows (not centred, because dot products are to be kept; Eckart & Young 1936). energy_kept in
the log is the share of squares that stays. If the model or an earlier step already has a linear layer
there, the projection is merged into it. By "first" nothing is learnt (Kusupati et al. 2022).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from slimgate.plugins.context import BuildContext
from slimgate.plugins.params import Table
from slimgate.plugins.step import Step

if TYPE_CHECKING:
    from slimgate.models.torch_model import TorchModel


class Params(Table):
    dims: int = Field(ge=1)
    """Number of dimensions that the step keeps."""
    by: Literal["pca", "first"] = "pca"
    """Which dimensions the step keeps: the largest principal components ("pca"), or the first dimensions
    ("first")."""


class TruncateEmbeddings(Step[Params]):
    takes = frozenset({"torch", "torch_quantized"})
    reads = ("calibration",)

    def apply(self, model: TorchModel, params: Params, context: BuildContext) -> TorchModel:
        """The model with shorter embeddings."""
        from slimgate.steps.embeddings._steps import truncate_

        context.log.update(truncate_(model, params.dims, by=params.by, context=context))
        return model


step = TruncateEmbeddings()

"""Keeps sentence embeddings in fewer bits, so that their index is smaller.

    { quantize_embeddings = { to = "int8" } }                       a quarter of the bytes
    { quantize_embeddings = { to = "binary", query = "float" } }    a 32nd

int8: 256 levels between each dimension's lowest and highest value on `calibration` rows. binary: signs, whose
similarity is the Hamming distance. With query = "float", queries stay float, as in an index that rescores all
documents with the float query. The encoder itself does not change: int8_dynamic and similar steps compress
it. The report's figures have the bytes of an embedding.
Sources: Jacob et al. 2018, section 2.1; Yamada et al. 2021 (binary passages).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from slimgate.plugins.context import BuildContext
from slimgate.plugins.params import Table
from slimgate.plugins.step import Step

if TYPE_CHECKING:
    from slimgate.models.torch_model import TorchModel


class Params(Table):
    to: Literal["int8", "binary"] = "int8"
    """Form of stored embeddings: 256 levels for each dimension ("int8"), or only the signs ("binary")."""
    query: Literal["same", "float"] = "same"
    """Form of the embeddings of queries: quantized as the stored embeddings ("same"), or not quantized
    ("float")."""


class QuantizeEmbeddings(Step[Params]):
    takes = frozenset({"torch", "torch_quantized"})
    gives = "torch_quantized"
    reads = ("calibration",)

    def apply(self, model: TorchModel, params: Params, context: BuildContext) -> TorchModel:
        """The model with embeddings of fewer bits."""
        from slimgate.steps.embeddings._steps import quantize_

        context.log.update(quantize_(model, to=params.to, query=params.query, context=context))
        return model


step = QuantizeEmbeddings()

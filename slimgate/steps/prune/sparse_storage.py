"""Stores the linear layers without their zeros, so that what was pruned makes the artifact smaller.

    { sparse_storage = { values = "float16" } }

Each matrix becomes the values other than 0, in order, and a pattern that says where they belong, in whichever
layout takes least: a bit a weight, 2/3 bit for 2:4, gaps where nearly all is 0. Layers of int8_dynamic,
int8_static, weight_only and gptq (symmetric) keep their integers and their outputs, in 8 to 2 bits: prune,
train, weight_only or gptq, sparse_storage.

Smaller on disk, not faster: loading unpacks the matrices once, and they are computed densely. It is the last
step: the layers can be trained no more. A layer that would not become smaller stays as it is, and so does the
layer that gives the logits. Source: bit masks and gaps as in Han et al. 2016 (Deep Compression), section 3.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from slimgate.plugins.context import BuildContext
from slimgate.plugins.params import Table
from slimgate.plugins.step import Step


class Params(Table):
    values: Literal["float32", "float16", "int8"] = Field(default="float32")
    """Format of the values other than 0 of float layers; "float32" keeps the outputs, "int8" has a scale per
    output channel."""


class SparseStorage(Step[Params]):
    takes = frozenset({"torch", "torch_quantized"})
    gives = "torch_quantized"
    claims = ("smaller",)

    def apply(self, model: Any, params: Params, context: BuildContext) -> Any:
        """The model with layers that store no zeros. Raises BuildError where none would become smaller."""
        from slimgate.models.replace_modules import replace_modules_
        from slimgate.steps.prune._sparse_storage import sparse_layers

        layers, before, after = sparse_layers(model, params.values)
        replace_modules_(model, "sparse_storage", layers)
        context.log.update(layers=len(layers), layer_bytes_before=before, layer_bytes_after=after)
        context.log["layouts"] = {
            layout: sum(layer.layout == layout for layer in layers.values())
            for layout in sorted({layer.layout for layer in layers.values()})
        }
        return model


step = SparseStorage()

"""Quantizes the matrix products of an ONNX graph to int8, with activation ranges from calibration rows.

    { onnx_int8_static = { observer = "mse" } }

Weights: symmetric int8, a scale per output channel. Activations: 256 levels over a range that is fixed
beforehand (slimgate/steps/observers.py), so the answer on a row does not depend on the other rows of its
batch. Padding does not count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from slimgate.plugins.context import BuildContext
from slimgate.plugins.step import Step
from slimgate.steps.observers import ObserverParams

if TYPE_CHECKING:
    from slimgate.models.onnx_model import OnnxModel


class Params(ObserverParams):
    symmetric_activations: bool = False
    """true: the range of the activations is symmetric around 0."""
    reduce_range: bool = False
    """Store weights in 7 bits, for CPUs without VNNI, on which sums of 8-bit products would saturate."""
    embeddings: bool = False
    """Also quantize the token embeddings, with one scale for each table."""
    output_layer: bool = False
    """Also quantize the output layer, which gives the logits."""
    tolerance: float = Field(default=1.0, gt=0)
    """Largest allowed change of the answers by this step, in standard deviations of the scores."""


class OnnxInt8Static(Step[Params]):
    takes = frozenset({"onnx"})
    gives = "onnx"
    reads = ("calibration",)
    packages = ("onnx", "onnxruntime")
    claims = ("smaller", "faster")

    def apply(self, model: OnnxModel, params: Params, context: BuildContext) -> OnnxModel:
        """The graph with static int8 products in place of float products with a fixed matrix."""
        from slimgate.steps.convert._onnx_graph import GraphIndex
        from slimgate.steps.convert._onnx_quantization import (
            Quantizing,
            compute_value_ranges,
            quantize_products_,
            quantize_tables,
        )

        work = Quantizing.start(
            model, context, output_layer=params.output_layer, embeddings=params.embeddings
        )
        products = set(work.products)
        sources = list(
            dict.fromkeys(node.input[0] for node in work.proto.graph.node if node.name in products)
        )
        ranges = compute_value_ranges(model, work.proto, sources, work.before.batches, context, params)
        if params.symmetric_activations:
            ranges = {name: (-max(-low, high), max(-low, high)) for name, (low, high) in ranges.items()}
        quantize_products_(GraphIndex(work.proto), products, ranges, limit=63 if params.reduce_range else 127)
        context.log.update(
            ranges={name: [float(f"{end:.4g}") for end in ends] for name, ends in ranges.items()}
        )
        proto = quantize_tables(work) if params.embeddings else work.proto
        return work.finish(proto, tolerance=params.tolerance, reduce_range=params.reduce_range)


step = OnnxInt8Static()

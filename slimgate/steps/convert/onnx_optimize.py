"""Rewrites an ONNX graph of an encoder so that attention and embeddings are one operator each.

    { onnx_optimize = {} }

ONNX Runtime rewrites graphs itself while it loads them (runtime's graph_optimization), but finds neither
attention nor embeddings in the graphs of PyTorch's exporter: see slimgate/steps/convert/_onnx_optimize.py.
Put the step before quantizing: { to_onnx = {} }, { onnx_optimize = {} }, { onnx_int8_dynamic = {} }. If it
finds nothing, the log says 0 and the graph stays unchanged.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from slimgate.plugins.context import BuildContext
from slimgate.plugins.params import Table
from slimgate.plugins.step import Step
from slimgate.steps.agreement import AnswersBefore

if TYPE_CHECKING:
    from slimgate.models.onnx_model import OnnxModel


class Params(Table):
    attention: bool = True
    """Fuse attention into one operator."""
    embeddings: bool = True
    """Fuse the embeddings into one operator."""
    first_token: bool = True
    """Compute the last block only for the first token if the head uses no other token."""
    layer_norms: bool = False
    """Fuse layer norms with the sums before them, and GELU with its bias; on a CPU, short texts then take
    longer."""
    gelu: Literal["exact", "tanh"] = "exact"
    """Compute GELU exactly ("exact"), or by its approximation with tanh ("tanh")."""
    tolerance: float = Field(default=0.01, gt=0)
    """Largest allowed change of the answers by this step, in standard deviations of the scores."""


class OnnxOptimize(Step[Params]):
    takes = frozenset({"onnx"})
    gives = "onnx"
    reads = ("calibration",)
    packages = ("onnx", "onnxruntime")

    def apply(self, model: OnnxModel, params: Params, context: BuildContext) -> OnnxModel:
        """The graph with fused operators; how many of each kind is logged."""
        from slimgate.models.onnx_model import OnnxModel
        from slimgate.steps.convert._onnx_optimize import fuse

        before = AnswersBefore(model, context)
        proto, operators = copy.deepcopy(model.proto), len(model.proto.graph.node)
        fused, narrowed = fuse(proto, **params.model_dump(exclude={"tolerance"}))
        optimized = OnnxModel(proto, model.tokenizer, model.config, model.kind)
        before.check(optimized, tolerance=params.tolerance)
        context.log.update(
            fused=fused,
            first_token_operators=narrowed,
            fused_operators=sum(fused.values()),
            operators_before=operators,
            operators=len(proto.graph.node),
        )
        return optimized


step = OnnxOptimize()

"""Sets the smallest weights of the encoder blocks' linear layers to zero, for good.

    { magnitude_prune = { sparsity = 0.5, scope = "global" } }

sparsity: share of these weights that are zero afterwards. scope "global" ranks all of them together,
"layer" each matrix by itself. A later training step keeps the zeros. Unstructured zeros make a model
neither smaller on disk nor faster: they show what could go. Source: Han et al. 2015.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from slimgate.protocols import BuildContext
from slimgate.tables import Table

takes = frozenset({"torch"})
gives = None
reads: tuple[str, ...] = ()
uses_teacher = False
stochastic = False
claims = ("sparser",)


class Params(Table):
    """Options of magnitude pruning."""

    sparsity: float = Field(gt=0, lt=1)
    scope: Literal["global", "layer"] = "global"


def apply(model: Any, params: Params, context: BuildContext) -> Any:
    """The model with its smallest weights at zero."""
    from slimgate.linear_layers import linear_layers

    modules = linear_layers(model)
    weights = [module.weight.data for module in modules.values()]
    for group in [weights] if params.scope == "global" else [[weight] for weight in weights]:
        _prune(group, params.sparsity)
    zeros = sum(int((weight == 0).sum()) for weight in weights)
    total = sum(weight.numel() for weight in weights)
    model.note("magnitude_prune", pruned=sorted(modules))
    context.log.update(matrices=len(weights), weights=total, zeros=zeros, sparsity=round(zeros / total, 6))
    return model


def _prune(weights: list[Any], sparsity: float) -> None:
    """Zeroes the smallest share of all these matrices together; exact also where magnitudes are equal."""
    import torch

    magnitudes = torch.cat([weight.abs().flatten() for weight in weights])
    doomed = torch.topk(magnitudes, round(sparsity * len(magnitudes)), largest=False, sorted=False).indices
    keep = torch.ones_like(magnitudes, dtype=torch.bool)
    keep[doomed] = False
    for weight, mask in zip(weights, torch.split(keep, [w.numel() for w in weights]), strict=True):
        weight.mul_(mask.view_as(weight))

"""Trains the model with its weights rounded to k bits, so that it answers well with rounded weights.

    { quantization_aware_training = { bits = 2, epochs = 2 } }, { weight_only = { bits = 2 } }

The forward pass computes with rounded weights, the backward pass changes the float ones behind them; scales
are learned along (learned_scales = false keeps those that fit the first weights). The loss is that of
distill, with all its options: alpha = 1 learns from the labels alone. Afterwards the float weights lie on the
grid, so that weight_only with the same bits, granularity, group_size and symmetric packs them without any
further loss; embeddings and output_layer mean what they do there. Any training after this step leaves the
grid again; zeros of an earlier pruning stay.
Source: Jacob et al. 2018, section 3; Esser et al. 2020 (learned scales).
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from slimgate.methods import distill
from slimgate.protocols import BuildContext
from slimgate.weight_grid_params import WeightGridParams

takes = frozenset({"torch"})
gives = None
reads = distill.reads
uses_teacher = True
stochastic = True


class Params(distill.Params, WeightGridParams):
    """Options of the grid and of distillation, and what is quantized beside the linear layers."""

    learned_scales: bool = True
    embeddings: int | None = Field(default=None, ge=2, le=8)
    output_layer: bool = False


def apply(model: Any, params: Params, context: BuildContext) -> Any:
    """The model after training, its weights on the grid."""
    from slimgate.fake_quantization import fake_quantized, mean_change
    from slimgate.grid_fitting import fit_grid
    from slimgate.linear_layers import linear_layers
    from slimgate.token_embeddings import token_embeddings

    linear = linear_layers(model, inside="network", output=params.output_layer)
    tables = token_embeddings(model.network) if params.embeddings else {}
    grids = {
        name: fit_grid(
            layer.weight,
            params.scheme(params.embeddings if name in tables else None),
            observer=params.observer,
        )
        for name, layer in {**linear, **tables}.items()
    }
    pruned = frozenset(name for change in model.modifications for name in change["spec"].get("pruned", ()))
    with fake_quantized(
        {**linear, **tables}, grids, learned=params.learned_scales, pruned=pruned
    ) as rounding:
        model = distill.apply(model, params, context)
        change = mean_change(rounding)
    context.log.update(
        linear_layers=len(linear),
        embedding_tables=len(tables),
        bits=params.bits,
        scale_change=round(change, 4),
    )
    return model

"""Makes the hidden size smaller: removes features from the residual stream, the least important first.

    { prune_hidden = { pruning_ratio = 0.25 } }        384 features become 288
    { prune_hidden = { hidden_size = 288 } }

A feature is removed from everything that writes it or reads it: embeddings, projections, norms and the head's
first layer. Attention and feed-forward keep their inner widths (prune_heads, prune_ffn), and so does a head's
inner layer. LayerNorm and RMSNorm take their statistics over the remaining features, so the answers differ a
little from those of a model with masked features. rescale_norms = true scales and shifts the norms to correct
this for the average token of `calibration`. Training afterwards is needed except for small ratios. Put
factorize_embeddings after it.

The new size is a multiple of the number of attention heads in the configuration, because transformers
requires it; a pruning_ratio is rounded to it.

importance "gradient": mean over the rows of `calibration` of |∂loss/∂mask| of each feature, summed over the
inputs of each block and of the head (Molchanov et al. 2019, section 3.1). "magnitude": the Euclidean norm of
the weights that write it or read it. The same features are removed everywhere: Xia et al. 2022, section 3.1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from slimgate.errors import SuiteError
from slimgate.models.config import find_stated_value
from slimgate.plugins.context import BuildContext
from slimgate.plugins.params import Table
from slimgate.plugins.step import Step

if TYPE_CHECKING:
    from slimgate.models.torch_model import TorchModel
    from slimgate.plugins.base import Json


class Params(Table):
    exactly_one = ("pruning_ratio", "hidden_size")
    pruning_ratio: float | None = Field(default=None, gt=0, lt=1)
    """Share of the hidden features to remove; give either pruning_ratio or hidden_size."""
    hidden_size: int | None = Field(default=None, ge=1)
    """Number of hidden features that the step keeps: a multiple of the number of attention heads."""
    importance: Literal["gradient", "magnitude"] = "gradient"
    """How features are ranked: by the loss's gradient on `calibration` rows ("gradient"), or by the norm of
    their weights ("magnitude"), which needs no rows if rescale_norms = false."""
    rescale_norms: bool = True
    """Scale the normalization layers to compensate for what the average token of `calibration` loses."""


class PruneHidden(Step[Params]):
    reads = ("calibration",)
    claims = ("smaller", "fewer_parameters", "faster")
    changes = ("stream",)

    def check(self, params: Params, config: Json) -> dict[str, Any]:
        """The configuration after the step. Raises SuiteError for a size that the model cannot have."""
        width = find_stated_value(config, "hidden_size", "dim", "n_embd")
        heads = find_stated_value(config, "num_attention_heads", "n_heads", "n_head")
        if not isinstance(width, int) or not isinstance(heads, int):
            return config
        return {**config, "hidden_size": _choose_width(params, width, heads)}

    def does_without(self, params: Params) -> tuple[str, ...]:
        """The calibration rows, if only the weights are used."""
        return ("calibration",) if params.importance == "magnitude" and not params.rescale_norms else ()

    def apply(self, model: TorchModel, params: Params, context: BuildContext) -> TorchModel:
        """The model with a narrower residual stream."""
        from slimgate.models.linear_layers import check_linear
        from slimgate.models.plain_layers import convert_scaled_tables_, convert_to_linear_
        from slimgate.steps.prune._prune_hidden import (
            compute_stream_importance,
            find_residual_stream,
            narrow_,
            rescale_norms_,
        )
        from slimgate.steps.prune._unit_choice import select_best_units

        convert_to_linear_(model)
        convert_scaled_tables_(model)
        stream = find_residual_stream(model.network)
        check_linear(model.network, [*stream.writers, *stream.readers])
        width = _choose_width(params, stream.width, int(model.config.num_attention_heads))
        scores = compute_stream_importance(model, stream, context, by=params.importance)
        kept_units = select_best_units(scores, width)
        if params.rescale_norms:
            rescale_norms_(model, stream, kept_units, context)
        narrow_(model, stream, kept_units)
        context.log.update(
            hidden_size_before=stream.width,
            hidden_size_after=width,
            pruning_ratio=round(1 - width / stream.width, 4),
            importance_kept=round(float(scores[kept_units].sum() / scores.sum()), 4),
        )
        return model


step = PruneHidden()


def _choose_width(params: Params, width: int, heads: int) -> int:
    """Raises SuiteError for a size that is not smaller, or no multiple of the heads."""
    if params.hidden_size is None:
        assert params.pruning_ratio is not None
        new_width = max(heads * round((1 - params.pruning_ratio) * width / heads), heads)
    else:
        new_width = params.hidden_size
    if new_width >= width or new_width % heads:
        raise SuiteError(
            f"hidden size {new_width} was given, expected a multiple of the {heads} "
            f"attention heads below {width}"
        )
    return new_width

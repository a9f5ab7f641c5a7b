"""Narrows the feed-forward layers: removes intermediate neurons, the least important first.

    { prune_ffn = { pruning_ratio = 0.5, scope = "global" } }
    { prune_ffn = { pruning_ratio = 0.75, blocks = [0, 1] } }       only in the first two blocks

It removes a neuron's rows in the layers that make it (in Llama the gate's too) and its column in the output
layer, so the model answers as if the neuron's activation were multiplied by 0.

importance "gradient": mean over the rows of `calibration` of |∂loss/∂mask| of each neuron, which is
|Σ activation · gradient| (Molchanov et al. 2019, section 3.1). "magnitude": the Euclidean norm of the
neuron's weights. With scope "global" blocks keep different widths. The log has the ratio that was reached.
If a classification reads only the first token, a last block of full width costs little in runtimes that
compute it for that token (`onnx_optimize`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from slimgate.models.config import BlockNumbers
from slimgate.plugins.context import BuildContext
from slimgate.plugins.params import Table
from slimgate.plugins.step import Step
from slimgate.steps.prune._unit_choice import PrunesUnits, check_some_go, choose_units

if TYPE_CHECKING:
    from slimgate.models.blocks import FeedForward
    from slimgate.models.torch_model import TorchModel


class Params(Table):
    pruning_ratio: float = Field(gt=0, lt=1)
    """Share of the intermediate neurons to remove, counted over all blocks of `blocks` together."""
    scope: Literal["global", "layer"] = "global"
    """Rank the neurons of all blocks together ("global"), or remove the same share from every block
    ("layer")."""
    importance: Literal["gradient", "magnitude"] = "gradient"
    """How neurons are ranked: by the loss's gradient on `calibration` rows ("gradient"), or by the norm of
    their weights ("magnitude"), which needs no rows."""
    multiple_of: int = Field(default=8, ge=1, le=1024)
    """Widths are rounded to a multiple of this number, because matrix kernels are slower on other widths."""
    blocks: BlockNumbers = ()
    """Indices (from 0) of the blocks whose neurons may be removed; default: all."""


class PruneFfn(PrunesUnits, Step[Params]):
    changes = ("neurons",)

    def apply(self, model: TorchModel, params: Params, context: BuildContext) -> TorchModel:
        """The model with narrower feed-forward layers."""
        from slimgate.models.block_choice import select_blocks
        from slimgate.models.blocks import blocks
        from slimgate.models.linear_layers import check_linear, cut_linear
        from slimgate.models.plain_layers import convert_to_linear_
        from slimgate.models.replace_modules import replace_modules_

        convert_to_linear_(model)
        before = [block.feed_forward.width for block in blocks(model.network)]
        chosen = select_blocks(model.network, params.blocks)
        parts = [block.feed_forward for block in chosen if block.feed_forward.width]
        check_linear(model.network, [name for part in parts for name in (*part.inputs, part.output)])
        scores = _score_neurons(model, parts, params, context)
        kept_units = choose_units(scores, params.pruning_ratio, params.scope, multiple_of=params.multiple_of)
        setting = f"pruning_ratio = {params.pruning_ratio}, multiple_of = {params.multiple_of}"
        check_some_go(kept_units, scores, f"prune_ffn: {setting}")
        modules: dict[str, Any] = {}
        for part in parts:
            neurons = kept_units[part.output]
            modules |= {
                name: cut_linear(model, name, rows=rows) for name, rows in part.list_rows(neurons).items()
            }
            modules[part.output] = cut_linear(model, part.output, columns=neurons)
        replace_modules_(model, "prune_ffn", modules)
        after = [block.feed_forward.width for block in blocks(model.network)]
        ratio = round(1 - sum(map(len, kept_units.values())) / sum(part.width for part in parts), 4)
        context.log.update(widths_before=before, widths_after=after, pruning_ratio=ratio)
        return model


step = PruneFfn()


def _score_neurons(
    model: TorchModel, parts: Sequence[FeedForward], params: Params, context: BuildContext
) -> dict[str, Any]:
    """Name of the output layer -> a score for each neuron."""
    import torch
    from torch import nn

    from slimgate.models.linear_layers import find_part_to_cut
    from slimgate.steps.importance import compute_mask_importance

    if params.importance == "gradient":
        return compute_mask_importance(model, {part.output: part.width for part in parts}, context)

    def weight(name: str) -> Any:
        return find_part_to_cut(model.network, name, nn.Linear).weight.detach().double()

    # by output layer, (neurons, …) parts; a layer that makes both halves of a gated unit has two
    weight_parts = {
        part.output: [rows for name in dict.fromkeys(part.inputs) for rows in weight(name).split(part.width)]
        + [weight(part.output).t()]
        for part in parts
    }
    return {
        name: torch.cat(weights, dim=1).norm(dim=1).cpu().numpy() for name, weights in weight_parts.items()
    }

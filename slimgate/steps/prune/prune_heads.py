"""Removes attention heads from the model, the least important first.

    { prune_heads = { pruning_ratio = 0.5 } }                      half of all heads, in any block
    { prune_heads = { heads = 6, importance = "magnitude" } }      six stay in every block
    { prune_heads = { pruning_ratio = 0.5, blocks = [0, 1] } }     half of those of the first two blocks

It removes the rows of the query, key and value layers and the columns of the output layer that belong to a
head, so the model answers as if the head's output were multiplied by 0. Blocks may keep different numbers
of heads, at least one each. If heads share keys and values (Llama), whole groups are removed.

importance "gradient": mean over the rows of `calibration` of |∂loss/∂mask| of each head, divided by the
Euclidean norm of its block's (Michel et al. 2019, section 4.1). "magnitude": the norm of the head's weights,
divided in the same way. If a classification reads only the first token, a last block of full width costs
little in runtimes that compute it for that token (`onnx_optimize`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from slimgate.models.config import BlockNumbers
from slimgate.plugins.context import BuildContext
from slimgate.plugins.params import Table
from slimgate.plugins.step import Step
from slimgate.steps.prune._unit_choice import PrunesUnits, check_some_go, choose_units, select_best_units

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from slimgate.models.blocks import Attention
    from slimgate.models.torch_model import TorchModel


class Params(Table):
    exactly_one = ("pruning_ratio", "heads")
    pruning_ratio: float | None = Field(default=None, gt=0, lt=1)
    """Share of the attention heads to remove; give either pruning_ratio or heads."""
    heads: int | None = Field(default=None, ge=1)
    """Number of attention heads that each block keeps; give either pruning_ratio or heads."""
    scope: Literal["global", "layer"] = "global"
    """Rank the heads of all blocks together ("global"), or remove the same share from every block
    ("layer")."""
    importance: Literal["gradient", "magnitude"] = "gradient"
    """How heads are ranked: by the loss's gradient on `calibration` rows ("gradient"), or by the norm of
    their weights ("magnitude"), which needs no rows."""
    blocks: BlockNumbers = ()
    """Indices (from 0) of the blocks whose heads may be removed; default: all."""


class PruneHeads(PrunesUnits, Step[Params]):
    changes = ("heads",)

    def apply(self, model: TorchModel, params: Params, context: BuildContext) -> TorchModel:
        """The model without those heads."""
        from slimgate.models.block_choice import select_blocks
        from slimgate.models.blocks import blocks
        from slimgate.models.linear_layers import check_linear
        from slimgate.models.plain_layers import convert_to_linear_
        from slimgate.models.replace_modules import replace_modules_
        from slimgate.steps.prune._attention_heads import cut_attention

        convert_to_linear_(model)
        before = [block.attention.heads for block in blocks(model.network)]
        chosen = select_blocks(model.network, params.blocks)
        attentions = {b.attention.module: b.attention for b in chosen if b.attention.heads}
        check_linear(
            model.network, [n for a in attentions.values() for n in (a.query, a.key, a.value, a.output)]
        )
        scores = _compute_head_scores(model, attentions, params, context)
        kept_heads = _choose_heads(params, scores, attentions)
        setting = f"heads = {params.heads}" if params.heads else f"pruning_ratio = {params.pruning_ratio}"
        check_some_go(kept_heads, scores, f"prune_heads: {setting}")
        modules: dict[str, Any] = {}
        settings: dict[str, Any] = {}
        for name, units in kept_heads.items():
            layers, values = cut_attention(model, attentions[name], units)
            modules |= layers
            settings |= {name: values} if values else {}
        replace_modules_(model, "prune_heads", modules, settings)
        after = [block.attention.heads for block in blocks(model.network)]
        context.log.update(
            heads_before=before,
            heads_after=after,
            pruning_ratio=round(1 - sum(map(len, kept_heads.values())) / sum(map(len, scores.values())), 4),
            kept=list(kept_heads.values()),
        )
        return model


step = PruneHeads()


def _compute_head_scores(
    model: TorchModel, attentions: Mapping[str, Attention], params: Params, context: BuildContext
) -> dict[str, npt.NDArray[np.float64]]:
    """Block's attention -> a score for each unit; the scores of a block have norm 1."""
    import numpy as np

    from slimgate.steps.importance import compute_mask_importance
    from slimgate.steps.prune._attention_heads import compute_unit_magnitudes

    if params.importance == "gradient":
        sites = {attention.output: attention.kv_heads for attention in attentions.values()}
        importance = compute_mask_importance(model, sites, context)
        scores = {name: importance[attention.output] for name, attention in attentions.items()}
    else:
        scores = {
            name: compute_unit_magnitudes(model.network, attention) for name, attention in attentions.items()
        }
    return {name: values / (np.linalg.norm(values) or 1.0) for name, values in scores.items()}


def _choose_heads(
    params: Params, scores: Mapping[str, npt.NDArray[np.float64]], attentions: Mapping[str, Attention]
) -> dict[str, list[int]]:
    from slimgate.errors import BuildError

    if params.heads is None:
        assert params.pruning_ratio is not None
        return choose_units(scores, params.pruning_ratio, params.scope)
    kept_heads = {}
    for name, attention in attentions.items():
        shared = attention.heads // attention.kv_heads
        if params.heads % shared or params.heads > attention.heads:
            raise BuildError(
                f"prune_heads: heads = {params.heads} was given, but {name} has {attention.heads} heads, "
                f"which share keys and values by {shared}; give a multiple of {shared} up to "
                f"{attention.heads}"
            )
        kept_heads[name] = select_best_units(scores[name], params.heads // shared)
    return kept_heads

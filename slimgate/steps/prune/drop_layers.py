"""Drops whole transformer blocks.

    { drop_layers = { layers = 3, strategy = "loss" } }           three blocks go
    { drop_layers = { pruning_ratio = 0.5, strategy = "top" } }   half of them

strategy, which blocks go:
    "alternate"  those between blocks that stay at equal distances, the first and the last among them: of 12
                 six stay as 0, 2, 4, 7, 9, 11, DistilBERT's start (Sanh et al. 2019)
    "top"        the last ones, nearest to the answer (Sajjad et al. 2020)
    "influence"  those that turn the tokens of `calibration` least: 1 - cosine between what comes in and what
                 goes out (Men et al. 2024, ShortGPT, section 3.1)
    "loss"       one after the other, each time the one without which the loss on `calibration` is least

To name the blocks that stay, use keep_layers.
"""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from slimgate.errors import SuiteError
from slimgate.models.config import blocks_of
from slimgate.plugins.context import BuildContext
from slimgate.plugins.params import Table
from slimgate.plugins.step import Step


class Params(Table):
    layers: int | None = Field(default=None, ge=1)
    """Number of blocks that go; give layers or pruning_ratio."""
    pruning_ratio: float | None = Field(default=None, gt=0, lt=1)
    """Share of the blocks that goes, rounded to whole blocks."""
    strategy: Literal["alternate", "top", "influence", "loss"] = "alternate"
    """Which blocks go: by their place ("alternate", "top"), or those that matter least on `calibration`
    ("influence", "loss")."""

    @model_validator(mode="after")
    def _one_size(self) -> Self:
        if (self.pruning_ratio is None) == (self.layers is None):
            raise ValueError("expected either layers or pruning_ratio, such as layers = 3")
        return self


class DropLayers(Step[Params]):
    reads = ("calibration",)
    claims = ("smaller", "fewer_parameters", "faster")
    changes = ("blocks",)

    def check(self, params: Params, config: dict[str, Any]) -> dict[str, Any]:
        """The configuration after the step. Raises SuiteError where no block would go, or all of them."""
        blocks = blocks_of(config)
        if blocks is None:
            return config
        count = _count(params, blocks)
        if not 0 < count < blocks:
            raise SuiteError(
                f"{count} of {blocks} blocks would go, expected 1 to {blocks - 1}: "
                "change layers or pruning_ratio"
            )
        return {**config, "num_hidden_layers": blocks - count}

    def does_without(self, params: Params) -> tuple[str, ...]:
        """The calibration rows, where blocks are chosen by their place."""
        return ("calibration",) if params.strategy in ("alternate", "top") else ()

    def apply(self, model: Any, params: Params, context: BuildContext) -> Any:
        """The model without those blocks; its configuration says how many there are."""
        from slimgate.models.block_choice import keep_blocks_
        from slimgate.models.blocks import encoder_layers

        before = len(encoder_layers(model.network))
        self.check(params, {"num_hidden_layers": before})
        gone = _blocks_to_drop(model, params, before, context)
        remaining = [block for block in range(before) if block not in gone]
        keep_blocks_(model, remaining)
        context.log.update(blocks_before=before, blocks_after=len(remaining), kept=remaining)
        return model


step = DropLayers()


def _count(params: Params, blocks: int) -> int:
    return params.layers if params.layers is not None else round((params.pruning_ratio or 0.0) * blocks)


def _blocks_to_drop(model: Any, params: Params, before: int, context: BuildContext) -> list[int]:
    from slimgate.models.block_choice import evenly_spread
    from slimgate.steps.prune._drop_layers import block_influence, least_loss_order

    count = _count(params, before)
    if params.strategy == "alternate":
        remaining = evenly_spread(before, before - count)
        return [block for block in range(before) if block not in remaining]
    if params.strategy == "top":
        return list(range(before - count, before))
    if params.strategy == "influence":
        influence = block_influence(model, context)
        context.log["influence"] = [round(value, 4) for value in influence]
        return sorted(range(before), key=lambda block: influence[block])[:count]
    gone, losses = least_loss_order(model, context, count)
    context.log["loss_after_each"] = [
        {"block": block, "loss": round(loss, 4)} for block, loss in zip(gone, losses, strict=True)
    ]
    return gone

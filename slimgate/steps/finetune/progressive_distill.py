"""Drops blocks one after another, and lets the model learn from the teacher after each.

    { progressive_distill = { blocks = 3, epochs = 1 } }
    { progressive_distill = { blocks = 2, at_once = 2, order = "top", final_epochs = 3 } }

The importance of a block is T² · KL to the teacher's answers on train rows without it. After each drop the
model is distilled. The options of distill hold, without a transfer set.
Sources: Sajjad et al. 2023 (which layers to drop, iteratively); Xu et al. 2020 (BERT-of-Theseus: gradual).
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from slimgate.errors import SuiteError
from slimgate.models.config import blocks_of
from slimgate.plugins.context import BuildContext
from slimgate.steps.training.distillation_params import InnerParams, TaughtStep


class Params(InnerParams):
    """Options of progressive dropping, beside those of distillation."""

    blocks: int = Field(ge=1)
    """Blocks that stay."""
    at_once: int = Field(default=1, ge=1)
    """Blocks that are dropped before each training."""
    order: Literal["importance", "top"] = "importance"
    """Which blocks go first: those whose absence moves the answers least ("importance"), or the last ones
    ("top")."""
    final_epochs: int | None = Field(default=None, ge=1, le=1000)
    """Epochs after the last drop; default: epochs."""
    stored_logits: Literal[True] | None = None
    """Only true: the teacher's logits are always computed once, before training."""


class ProgressiveDistill(TaughtStep[Params]):
    claims = ("smaller", "fewer_parameters", "faster")
    changes = ("blocks",)

    def check(self, params: Params, config: dict[str, Any]) -> dict[str, Any]:
        """The configuration after the step. Raises SuiteError where there is no block to drop."""
        had = blocks_of(config)
        if had is not None and params.blocks >= had:
            raise SuiteError(
                f"blocks = {params.blocks} came, but the model has {had} at this step, expected fewer"
            )
        return {**config, "num_hidden_layers": params.blocks}

    def apply(self, model: Any, params: Params, context: BuildContext) -> Any:
        """The model with fewer blocks."""
        from slimgate.models.blocks import encoder_layers
        from slimgate.steps.finetune._progressive_distill import distill_progressively

        self.check(params, {"num_hidden_layers": len(encoder_layers(model.network))})
        distill_progressively(model, params, context)
        return model


step = ProgressiveDistill()

"""Keeps some of the transformer's blocks and drops the others.

{ keep_layers = [0, 2, 5] }     blocks by number from 0, in the order in which they shall run
"""

from __future__ import annotations

from typing import Any

from pydantic import RootModel, field_validator

from slimgate.models.config import BlockNumbers, blocks_of, check_numbers
from slimgate.protocols import BuildContext, Step


class Params(RootModel[BlockNumbers]):
    """The numbers of the blocks that stay."""

    @field_validator("root")
    @classmethod
    def _distinct(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if not value:
            raise ValueError("[] came, expected the numbers of the blocks to keep, such as [0, 2, 5]")
        if len(set(value)) < len(value):
            raise ValueError(f"{list(value)} came, expected each block once")
        return value


class KeepLayers(Step[Params]):
    claims = ("smaller", "fewer_parameters", "faster")
    changes = ("blocks",)

    def check(self, params: Params, config: dict[str, Any]) -> dict[str, Any]:
        """The configuration after the step. Raises SuiteError for a block that the model does not have."""
        check_numbers(params.root, blocks_of(config))
        return {**config, "num_hidden_layers": len(params.root)}

    def apply(self, model: Any, params: Params, context: BuildContext) -> Any:
        """The model with only these blocks; its configuration says how many there are."""
        from slimgate.models.block_choice import keep_blocks_
        from slimgate.models.blocks import encoder_layers

        before = len(encoder_layers(model.network))
        check_numbers(params.root, before)
        keep_blocks_(model, params.root)
        context.log.update(blocks_before=before, blocks_after=len(params.root))
        return model


step = KeepLayers()

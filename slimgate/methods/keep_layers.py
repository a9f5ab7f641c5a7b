"""Keeps some of the transformer's blocks and drops the others.

{ keep_layers = [0, 2, 5] }     blocks by number from 0, in the order in which they shall run
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, RootModel, field_validator

from slimgate.errors import SuiteError
from slimgate.protocols import BuildContext

takes = frozenset({"torch"})
gives = None
reads: tuple[str, ...] = ()
uses_teacher = False
stochastic = False
claims = ("smaller", "fewer_parameters", "faster")


class Params(RootModel[tuple[Annotated[int, Field(ge=0, strict=True)], ...]]):
    """The numbers of the blocks that stay."""

    @field_validator("root")
    @classmethod
    def _distinct(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if not value:
            raise ValueError("[] came, expected the numbers of the blocks to keep, such as [0, 2, 5]")
        if len(set(value)) < len(value):
            raise ValueError(f"{list(value)} came, expected each block once")
        return value


def check(params: Params, config: dict[str, Any]) -> dict[str, Any]:
    """The configuration after the step. Raises SuiteError for a block that the model does not have."""
    blocks = config.get("num_hidden_layers", config.get("n_layers", config.get("n_layer")))
    if isinstance(blocks, int) and max(params.root) >= blocks:
        raise SuiteError(f"{list(params.root)} came, but the model has blocks 0 to {blocks - 1} at this step")
    return {**config, "num_hidden_layers": len(params.root)}


def apply(model: Any, params: Params, context: BuildContext) -> Any:
    """The model with only these blocks; its configuration says how many there are."""
    from slimgate.block_choice import keep_blocks_
    from slimgate.blocks import encoder_layers

    before = len(encoder_layers(model.network))
    check(params, {"num_hidden_layers": before})
    keep_blocks_(model, params.root)
    context.log.update(blocks_before=before, blocks_after=len(params.root))
    return model


def restore(network: Any, spec: dict[str, Any]) -> None:
    """Sets what an attention took from the number that its block had."""
    from slimgate.replacing import restore as again

    again(network, spec)

"""Blocks that a step names by number, from 0: the option's type, and whether the model has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field, Strict

from slimgate.errors import SuiteError

BlockNumbers = Annotated[tuple[Annotated[int, Field(ge=0, strict=True)], ...], Strict(False)]


def blocks_of(config: Mapping[str, Any]) -> int | None:
    """How many blocks a model of this configuration has, whatever its architecture calls them; else None."""
    found = config.get("num_hidden_layers", config.get("n_layers", config.get("n_layer")))
    return found if isinstance(found, int) else None


def check_numbers(numbers: Sequence[int], blocks: int | None, option: str = "") -> None:
    """Raises SuiteError for a block that the model does not have. option: what is told before the numbers."""
    if blocks is not None and numbers and max(numbers) >= blocks:
        told = f"{option} {list(numbers)}".strip()
        raise SuiteError(f"{told} came, but the model has blocks 0 to {blocks - 1} at this step")

"""Does a network read from left to right? One that sees the next token predicts it only too well."""

from __future__ import annotations

from typing import Any

import torch

from slimgate.errors import BuildError


@torch.no_grad()
def check_causal(network: Any, name: str) -> None:
    """Raises BuildError where the answer at a place depends on the tokens behind it. name: of the model."""
    ids = torch.full((2, 4), 2, device=next(network.parameters()).device)
    ids[1, -1] = 1
    first, second = network(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
    changed = (first - second).abs()
    # Rows of one batch are rounded apart by some 1e-6 of an answer; one that looks ahead moves far more.
    if bool(changed[:-1].max() > 1e-4 * changed[-1].max()):
        raise BuildError(
            f"{name}: {type(network).__name__} sees the tokens that it is to predict; expected a model that "
            "reads from left to right (of an encoder's family: is_decoder = true in its config.json)"
        )

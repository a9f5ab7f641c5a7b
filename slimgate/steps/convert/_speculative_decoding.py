"""Checks that a model and its draft model fit each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from slimgate.errors import BuildError
from slimgate.models.config import longest_text
from slimgate.models.generate import can_write
from slimgate.models.torch_model import TorchModel
from slimgate.models.write_answers import is_encoder_decoder

if TYPE_CHECKING:
    from torch import nn

    from slimgate.plugins.context import BuildContext


def check_is_greedy(context: BuildContext) -> None:
    """Raises BuildError for a task whose answers are drawn."""
    if temperature := getattr(context.task_params, "temperature", 0):
        raise BuildError(
            f"[task] temperature = {temperature:g} was given, and a draft proposes the likeliest tokens; set "
            "temperature = 0, or leave the step out"
        )


def check_draft(model: TorchModel, draft: object, name: str) -> None:
    """Raises BuildError if the draft cannot propose tokens to the model. name: of the draft."""
    if type(draft) is not TorchModel:
        raise BuildError(f'draft "{name}" is a {type(draft).__name__}, expected a network of PyTorch alone')
    for owner, network in (("the model", model.network), (f'draft "{name}"', draft.network)):
        if not _reads_from_a_cache(network):
            raise BuildError(
                f"{owner} is a {type(network).__name__}, expected a decoder with a key-value cache from "
                "which tokens can be removed"
            )
    sizes = [side.config.vocab_size for side in (model, draft)]
    if sizes[0] != sizes[1] or model.tokenizer.get_vocab() != draft.tokenizer.get_vocab():
        raise BuildError(
            f'draft "{name}" has another vocabulary ({sizes[1]:,} tokens) than the model ({sizes[0]:,}); '
            "expected the same tokenizer and the same number of tokens"
        )
    longest = [longest_text(side.config.to_dict()) for side in (model, draft)]
    if longest[1] is not None and (longest[0] is None or longest[1] < longest[0]):
        raise BuildError(
            f'draft "{name}" has positions for {longest[1]:,} tokens, the model for '
            f"{longest[0] or 'any number'}; expected at least as many"
        )
    if _has_equal_weights(model.network, draft.network):
        raise BuildError(f'draft "{name}" is the model itself, which saves no time; name a smaller variant')


def _reads_from_a_cache(network: nn.Module) -> bool:
    """Whether it is a decoder that is not recurrent: tokens cannot be removed from a recurrent state."""
    recurrent = bool(getattr(network, "_is_stateful", False))
    return can_write(network) and not is_encoder_decoder(network) and not recurrent


def _has_equal_weights(network: nn.Module, other: nn.Module) -> bool:
    weights, other_weights = network.state_dict(), other.state_dict()
    return weights.keys() == other_weights.keys() and all(
        tensor.dtype == other_weights[name].dtype and torch.equal(tensor, other_weights[name])
        for name, tensor in weights.items()
    )

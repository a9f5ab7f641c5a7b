"""The tokens that end an answer: the tokenizer, config.json and generation_config.json may name several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def list_end_tokens(tokenizer: PreTrainedTokenizerBase, network: nn.Module | None = None) -> set[int]:
    """The tokens that end an answer: a tokenizer and two configurations may name one or several each."""
    configs = (getattr(network, "config", None), getattr(network, "generation_config", None))
    ends = {tokenizer.eos_token_id} - {None}
    return ends.union(*(list_ends(getattr(config, "eos_token_id", None)) for config in configs))


def list_ends(eos_token_id: int | Sequence[int] | None) -> list[int]:
    """The end tokens that a configuration names: none, one or several."""
    if isinstance(eos_token_id, list | tuple):
        return list(eos_token_id)
    return [] if eos_token_id is None else [int(cast("int", eos_token_id))]


def add_end_tokens_(network: nn.Module, more: Sequence[int]) -> None:
    """Adds end tokens to the network's configuration, which its artifacts and all conversions keep."""
    config = cast("PreTrainedModel", network).config
    known = list_ends(getattr(config, "eos_token_id", None))
    if added := [token for token in more if token not in known]:
        config.eos_token_id = [*known, *added]


def keep_end_tokens_(network: nn.Module) -> None:
    """Adds the end tokens of a decoder's generation_config to its configuration, which artifacts have."""
    generation = getattr(network, "generation_config", None)
    if generation is not None and not getattr(network.config, "is_encoder_decoder", False):
        add_end_tokens_(network, list_ends(generation.eos_token_id))

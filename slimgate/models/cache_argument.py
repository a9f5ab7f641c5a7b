"""The key-value cache as an argument: `cache` since transformers 5.24, `past_key_values` before."""

from __future__ import annotations

from inspect import signature
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn
    from transformers.cache_utils import Cache

CACHE_NAMES = ("cache", "past_key_values")


def cache_argument(network: nn.Module, cache: Cache) -> dict[str, Any]:
    """The cache by the name that the network's `forward` has for it. It suits `generate` too."""
    names = signature(network.forward).parameters
    return {next((name for name in CACHE_NAMES if name in names), CACHE_NAMES[-1]): cache}

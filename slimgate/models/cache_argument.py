"""The key-value cache as an argument: `cache` since transformers 5.24, `past_key_values` before."""

from __future__ import annotations

from importlib.metadata import version
from inspect import signature
from typing import TYPE_CHECKING, Any

from packaging.version import Version

if TYPE_CHECKING:
    from torch import nn
    from transformers.cache_utils import Cache

NEW, OLD = CACHE_NAMES = ("cache", "past_key_values")
_RENAMED = Version("5.24.0")


def cache_argument(network: nn.Module, cache: Cache) -> dict[str, Any]:
    """The cache by the name that the network's `forward` has for it. It suits `generate` too.

    A wrapper's `forward` may name neither; then the version of transformers decides.
    """
    names = signature(network.forward).parameters
    usual = NEW if Version(version("transformers")) >= _RENAMED else OLD
    return {next((name for name in CACHE_NAMES if name in names), usual): cache}

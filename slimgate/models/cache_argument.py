"""The key-value cache as an argument: `cache` since transformers 5.24, `past_key_values` before."""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import version
from inspect import signature
from typing import TYPE_CHECKING, Any

from packaging.version import Version

if TYPE_CHECKING:
    from torch import nn
    from transformers.cache_utils import Cache

NEW, OLD = CACHE_NAMES = ("cache", "past_key_values")
_RENAMED = Version("5.24.0")


def make_cache_keyword(network: nn.Module, cache: Cache) -> dict[str, Any]:
    """The cache by the name that the network's `forward` has for it. It suits `generate` too."""
    return {_find_argument_name(type(network)): cache}  # type: ignore[arg-type]  # torch types __hash__ of a Module


@lru_cache(maxsize=64)  # called for each token that is timed
def _find_argument_name(network_class: type[nn.Module]) -> str:
    """The name in `forward` of a class. A wrapper may have neither; then the version decides."""
    parameters = signature(network_class.forward).parameters
    default = NEW if Version(version("transformers")) >= _RENAMED else OLD
    return next((name for name in CACHE_NAMES if name in parameters), default)

"""A network while it is exported: its attention written in one way, and nothing cached.

with exportable(network, "eager"):
    program = torch.export.export(network, ...)
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def exportable(network: nn.Module, attention: str) -> Iterator[None]:
    """Attention in the form asked for, and no cache of keys and values among the outputs."""
    changes = {"_attn_implementation": attention, "use_cache": False}
    configs = {id(m.config): m.config for m in network.modules() if hasattr(m, "config")}
    before = [
        (config, key, getattr(config, key))
        for config in configs.values()
        for key in changes
        if getattr(config, key, None) is not None
    ]
    try:
        for config, key, _ in before:
            setattr(config, key, changes[key])
        yield
    finally:
        for config, key, value in before:
            setattr(config, key, value)

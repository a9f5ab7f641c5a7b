"""What the modules of a network give while it runs.

with watched(network, ["bert.encoder.layer.0"]) as outputs:
    network(**batch)
outputs.values["bert.encoder.layer.0"]      # (rows, tokens, features), with its gradient
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn


@dataclass
class Outputs:
    """values: name of a module -> its last output, of a tuple the first part; rotary: (cos, sin) it got."""

    values: dict[str, torch.Tensor] = field(default_factory=dict)
    rotary: dict[str, tuple[torch.Tensor, torch.Tensor]] = field(default_factory=dict)


@contextmanager
def watched(network: nn.Module, names: Iterable[str]) -> Iterator[Outputs]:
    """Fills the outputs whenever the named modules run, until the block is left."""
    outputs = Outputs()
    handles = [
        network.get_submodule(name).register_forward_hook(_keep(name, outputs), with_kwargs=True)
        for name in dict.fromkeys(names)
    ]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


def _keep(name: str, outputs: Outputs) -> Any:
    def hook(_module: nn.Module, _inputs: Any, keywords: dict[str, Any], output: Any) -> None:
        outputs.values[name] = output[0] if isinstance(output, tuple) else output
        if keywords.get("position_embeddings") is not None:
            outputs.rotary[name] = keywords["position_embeddings"]

    return hook

"""Dropout and LayerDrop while a network is trained, taken away again afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from slimgate.models.blocks import encoder_layers


@contextmanager
def regularized(
    network: nn.Module, *, dropout: float | None = None, layer_drop: float = 0.0
) -> Iterator[None]:
    """Other dropout in every layer that has some, and blocks left out at random, while the network trains.

    dropout: the chance of every dropout layer, and of attention that keeps its own number (Llama); None
    leaves them. layer_drop: the chance that a block passes its input on, drawn for each block and forward
    pass (Fan et al. 2020, LayerDrop). In evaluation mode nothing is left out.
    """
    handles = [_skipping(block, layer_drop) for block in encoder_layers(network)] if layer_drop else []
    before = [] if dropout is None else _set_dropout(network, dropout)
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        for module, attribute, value in before:
            setattr(module, attribute, value)


def _set_dropout(network: nn.Module, dropout: float) -> list[tuple[nn.Module, str, float]]:
    before = []
    for module in network.modules():
        attribute = "p" if isinstance(module, nn.Dropout) else "attention_dropout"
        value = getattr(module, attribute, None)
        if isinstance(value, float | int):
            before.append((module, attribute, float(value)))
            setattr(module, attribute, dropout)
    return before


def _skipping(block: nn.Module, chance: float) -> Any:
    def hook(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
        if not module.training or float(torch.rand(())) >= chance:
            return None
        return _passed_on(inputs, output)

    return block.register_forward_hook(hook)


@contextmanager
def skipped(block: nn.Module) -> Iterator[None]:
    """The block passes its input on, in whatever mode the network is."""
    handle = block.register_forward_hook(lambda _module, inputs, output: _passed_on(inputs, output))
    try:
        yield
    finally:
        handle.remove()


def _passed_on(inputs: tuple[Any, ...], output: Any) -> Any:
    return (inputs[0], *output[1:]) if isinstance(output, tuple) else inputs[0]

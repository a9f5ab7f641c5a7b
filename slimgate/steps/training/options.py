"""Contexts for training: frozen weights, dropout and LayerDrop, which hold until the context ends.

Frozen weights have no gradient, no optimizer state and no weight decay. Backpropagation stops at the lowest
block that is trained, so freezing the embeddings saves more than their own share (Lee et al. 2019, "What
would Elsa do? Freezing layers during transformer fine-tuning").
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from slimgate.errors import BuildError
from slimgate.models.blocks import find_only_block_list, list_block_names


@contextmanager
def with_frozen_layers(network: nn.Module, *, embeddings: bool = False, layers: int = 0) -> Iterator[int]:
    """Inside, the embeddings and the lowest blocks require no gradients; yields how many numbers still do.

    embeddings: tables of tokens, positions and types, and other parts of their module, such as a layer
    norm; an output layer that shares a table is frozen with it. layers: how many blocks, from the first.
    Raises BuildError if there are none, or fewer.
    """
    modules = [
        *(_list_embeddings(network) if embeddings else ()),
        *(_list_lowest_blocks(network, layers) if layers else ()),
    ]
    changed = {id(p): p for module in modules for p in module.parameters() if p.requires_grad}
    if sum(parameter.requires_grad for parameter in network.parameters()) == len(changed) > 0:
        raise BuildError("freeze_embeddings and freeze_layers leave no weight to train; freeze less")
    for parameter in changed.values():
        parameter.requires_grad_(False)
    try:
        yield sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
    finally:
        for parameter in changed.values():
            parameter.requires_grad_(True)


def _list_embeddings(network: nn.Module) -> list[nn.Module]:
    """Modules around the tables outside the blocks; only the table, if such a module contains blocks."""
    blocks = [f"{name}." for name in list_block_names(network)]
    tables = [name for name, module in network.named_modules() if isinstance(module, nn.Embedding)]
    outside = [name for name in tables if not name.startswith(tuple(blocks))]
    if not outside:
        raise BuildError(
            f"freeze_embeddings = true was given, but {type(network).__name__} has no "
            "embeddings; leave it out"
        )
    parents = {name: name.rpartition(".")[0] for name in outside}
    holds_blocks = {
        parent: any(block.startswith(f"{parent}.") for block in blocks) or not parent
        for parent in parents.values()
    }
    return [
        network.get_submodule(name if holds_blocks[parent] else parent) for name, parent in parents.items()
    ]


def _list_lowest_blocks(network: nn.Module, layers: int) -> list[nn.Module]:
    blocks = list(find_only_block_list(network))
    if layers > len(blocks):
        raise BuildError(
            f"freeze_layers = {layers} was given, but the model has {len(blocks)} blocks at this step"
        )
    return blocks[:layers]


@contextmanager
def with_regularization(
    network: nn.Module, *, dropout: float | None = None, layer_drop: float = 0.0
) -> Iterator[None]:
    """During training, sets other dropout in every layer that has some, and leaves out blocks at random.

    dropout: the chance of every dropout layer, and of attention that keeps its own number (Llama); None
    keeps them. layer_drop: the chance that a block passes its input on, drawn for each block and forward
    pass (Fan et al. 2020, LayerDrop). In evaluation mode nothing is left out.
    """
    handles = (
        [_add_skipping_hook(block, layer_drop) for block in find_only_block_list(network)]
        if layer_drop
        else []
    )
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


def _add_skipping_hook(block: nn.Module, chance: float) -> Any:
    def hook(
        module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor | tuple[torch.Tensor, ...]
    ) -> torch.Tensor | tuple[torch.Tensor, ...] | None:
        if not module.training or float(torch.rand(())) >= chance:
            return None
        return _pass_input(inputs, output)

    return block.register_forward_hook(hook)


@contextmanager
def without_block(block: nn.Module) -> Iterator[None]:
    """The block passes its input on, in any mode of the network."""
    with block.register_forward_hook(lambda _module, inputs, output: _pass_input(inputs, output)):
        yield


def _pass_input(
    inputs: tuple[torch.Tensor, ...], output: torch.Tensor | tuple[torch.Tensor, ...]
) -> torch.Tensor | tuple[torch.Tensor, ...]:
    return (inputs[0], *output[1:]) if isinstance(output, tuple) else inputs[0]

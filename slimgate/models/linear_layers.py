"""The linear layers of a model that a step may change, including GPT-2's Conv1D and experts.

    for name, layer in find_linear_layers(model).items(): ...

transformers' Conv1D holds its weight transposed, and a mixture of experts holds the weights of all experts in
one parameter, so code that looks for nn.Linear misses them. Here they become nn.Linear first
(plain_layers.py), which the model records. A search that reaches less than nine tenths of the blocks' weights
is an error, because the step would hardly change the model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sized
from typing import TYPE_CHECKING, Literal

from torch import nn

from slimgate.errors import BuildError
from slimgate.models.blocks import find_logits_layer, list_block_modules
from slimgate.models.plain_layers import convert_to_linear_

if TYPE_CHECKING:
    from slimgate.models.torch_model import TorchModel

MIN_REACHED = 0.9


def find_linear_layers(
    model: TorchModel,
    *,
    inside: Literal["blocks", "network"] = "blocks",
    output: bool = False,
    check_reach: bool = True,
    other_changes: Sized = (),
) -> dict[str, nn.Linear]:
    """Name -> layer, in the network's order, after all have become nn.Linear.

    inside: only the transformer blocks, or the whole network; output: with the layer that gives the logits;
    other_changes: the tables that the step changes in addition. Raises BuildError if the layers hold less
    than 90 % of the blocks' float matrices, or if the blocks have none and the step has nothing to change.
    With check_reach = False it raises neither.
    """
    convert_to_linear_(model)
    network = model.network
    in_blocks = {id(m) for block in list_block_modules(network) for m in block.modules()}
    last = None if output else find_logits_layer(network)
    layers = {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear)
        and module is not last
        and (inside == "network" or id(module) in in_blocks)
    }
    if check_reach:
        reached = [module for module in layers.values() if id(module) in in_blocks]
        _check_reach(network, reached, has_changes=bool(layers or other_changes))
    return layers


def group_by_block(model: TorchModel, layers: Mapping[str, nn.Linear]) -> list[dict[str, nn.Linear]]:
    """The layers block by block, in the order in which the blocks run; other layers one by one."""
    blocks = enumerate(list_block_modules(model.network))
    owner = {id(module): str(number) for number, block in blocks for module in block.modules()}
    groups: dict[str, dict[str, nn.Linear]] = {}
    for name, layer in layers.items():
        groups.setdefault(owner.get(id(layer), name), {})[name] = layer
    return list(groups.values())


def _check_reach(network: nn.Module, layers: list[nn.Linear], *, has_changes: bool) -> None:
    matrices = [p for block in list_block_modules(network) for p in block.parameters() if p.dim() >= 2]
    total, reached = sum(p.numel() for p in matrices), sum(layer.weight.numel() for layer in layers)
    if not total and not has_changes:
        raise BuildError(
            f"the blocks of {type(network).__name__} have no float matrices: they are already quantized"
        )
    if reached < MIN_REACHED * total:
        raise BuildError(
            f"the linear layers contain {reached:,} of the {total:,} weights in the blocks of "
            f"{type(network).__name__}, expected at least {MIN_REACHED:.0%}"
        )

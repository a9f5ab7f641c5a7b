"""The layers that a step may change: linear layers, with GPT-2's Conv1D and experts, and tables of tokens.

    for name, layer in find_linear_layers(model).items(): ...

transformers' Conv1D holds its weight transposed, and a mixture of experts holds the weights of all experts in
one parameter, so code that looks for nn.Linear misses them. Here they become nn.Linear first
(plain_layers.py), which the model records. A search that reaches less than nine tenths of the blocks' weights
is an error, because the step would hardly change the model.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Sized
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import torch
from torch import nn

from slimgate.errors import BuildError
from slimgate.models.blocks import find_logits_layer, list_block_modules
from slimgate.models.plain_layers import convert_scaled_tables_, convert_to_linear_

if TYPE_CHECKING:
    from slimgate.models.torch_model import TorchModel

M = TypeVar("M", bound=nn.Module)
# On this device a constructor draws no random numbers, so that the global random state stays unchanged.
META_DEVICE = "meta"
MIN_REACHED = 0.9


def cut_linear(
    model: TorchModel, name: str, *, rows: Sequence[int] | None = None, columns: Sequence[int] | None = None
) -> nn.Linear:
    """Makes a linear layer of some outputs and inputs of the model's layer, which is not changed.

    Args:
        model: the model that has the layer.
        name: the name of the layer.
        rows: the outputs to keep, in their new order; None keeps all.
        columns: the inputs to keep, in their new order; None keeps all.

    Raises:
        BuildError: if the layer is not an nn.Linear.
    """
    layer = find_part_to_cut(model.network, name, nn.Linear)
    weight, bias = _take(_take(layer.weight, rows, 0), columns, 1), layer.bias
    smaller = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device=META_DEVICE)
    _set(smaller, "weight", weight, like=layer.weight)
    if bias is not None:
        _set(smaller, "bias", _take(bias, rows, 0), like=bias)
    return smaller


def cut_embedding(model: TorchModel, name: str, columns: Sequence[int]) -> nn.Embedding:
    """An embedding table with these features only. Raises BuildError if the table is no nn.Embedding."""
    table = find_part_to_cut(model.network, name, nn.Embedding)
    weight = _take(table.weight, columns, 1)
    shape = (len(weight), weight.shape[1])
    smaller = nn.Embedding(*shape, padding_idx=table.padding_idx, device=META_DEVICE)
    _set(smaller, "weight", weight, like=table.weight)
    return smaller


def narrow_embedding_(network: nn.Module, name: str, columns: Sequence[int]) -> None:
    """Removes features, in place, from a table of a transformers class, whose width config.json states."""
    table = check_embedding(network, name)
    _set(table, "weight", _take(table.weight, columns, 1), like=table.weight)
    table.embedding_dim = len(columns)


def check_embedding(network: nn.Module, name: str) -> nn.Embedding:
    """The table with that name. Raises BuildError if another step has put another class there."""
    table = network.get_submodule(name)
    # transformers' own tables, such as OPT's table of positions, which begin with an offset
    if isinstance(table, nn.Embedding) and type(table).__module__.startswith("transformers."):
        return table
    return find_part_to_cut(network, name, nn.Embedding)


def cut_norm_(norm: nn.Module, channels: Sequence[int]) -> None:
    """Removes features from a LayerNorm or RMSNorm, in place. Its statistics are then over the others."""
    for name, parameter in list(norm.named_parameters(recurse=False)):
        _set(norm, name, _take(parameter, channels, 0), like=parameter)
    if isinstance(norm, nn.LayerNorm):
        norm.normalized_shape = (len(channels),)


def find_part_to_cut(network: nn.Module, name: str, kind: type[M]) -> M:
    """The layer with that name. Raises BuildError if another step has put another class there."""
    part = network.get_submodule(name)
    if type(part) is not kind:
        raise BuildError(
            f"{name} is {type(part).__name__}, and only nn.{kind.__name__} can be cut; put the cutting "
            "step before the step that changed this layer"
        )
    return part


def check_linear(network: nn.Module, names: Iterable[str]) -> None:
    """Raises BuildError if a layer is no nn.Linear. Call it before scores are computed in vain."""
    for name in names:
        find_part_to_cut(network, name, nn.Linear)


def _take(values: torch.Tensor, channels: Sequence[int] | None, dim: int) -> torch.Tensor:
    if channels is None:
        return values.detach()
    return values.detach().index_select(dim, torch.as_tensor(channels, device=values.device))


def _set(module: nn.Module, name: str, values: torch.Tensor, *, like: torch.Tensor) -> None:
    setattr(module, name, nn.Parameter(values.clone(), requires_grad=like.requires_grad))


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
            f"{type(network).__name__}, expected at least {100 * MIN_REACHED:.0f} %"
        )


def make_plain_embeddings(model: TorchModel) -> dict[str, nn.Embedding]:
    """`find_token_embeddings` for a step that replaces them: makes scaling tables plain first."""
    convert_scaled_tables_(model)
    return find_token_embeddings(model.network)


def find_token_embeddings(network: nn.Module) -> dict[str, nn.Embedding]:
    """Name -> table with as many rows as the vocabulary; tables of positions and types are left out."""
    vocabulary = getattr(network.config, "vocab_size", None)  # models of images have none
    by_name = {name: m for name, m in network.named_modules() if isinstance(m, nn.Embedding)}
    tables = {name: m for name, m in by_name.items() if m.num_embeddings == vocabulary}
    if len(tables) < 2:
        return tables
    # A model may have as many positions as tokens. Then its input embeddings are the tables of tokens.
    input_modules = {id(m) for source in _find_input_tables(network) for m in source.modules()}
    # Marian has one table under three names, and calls two of them its inputs, so the weights are compared.
    weights = {id(m.weight) for m in tables.values() if id(m) in input_modules}
    return {name: m for name, m in tables.items() if id(m.weight) in weights} or tables


def find_tied_heads(network: nn.Module, tables: Mapping[str, nn.Module]) -> dict[str, str]:
    """Name of each linear layer whose weight is one of these tables -> the table's name."""
    owners = {id(table.weight): name for name, table in tables.items()}
    return {
        name: owners[id(module.weight)]
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear) and id(module.weight) in owners
    }


def share_buffers(layer: nn.Module, table: nn.Module, buffers: Sequence[str]) -> nn.Module:
    """Makes a layer share a table's buffers, which are computed from the same weight. Returns the layer."""
    for name in buffers:
        setattr(layer, name, getattr(table, name))
    return layer


def _find_input_tables(network: nn.Module) -> list[nn.Module]:
    tables: list[nn.Module] = []
    for module in network.modules():
        get_table: Any = getattr(module, "get_input_embeddings", None)
        if get_table is not None:
            tables.append(get_table())
    return tables

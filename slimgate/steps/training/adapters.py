"""Low-rank adapters of a model: put next to its layers, trained alone, then merged or kept.

    with adapters(model, "lora", params, context):
        train(model, …)                                 # changes only the adapters and the head

Float layers get peft's adapters. slimgate's own adapters are for layers that peft does not support: layers of
slimgate.steps.layers, whose integers stay integers while gradients pass them, and pruned layers, whose zeros
stay zeros when the adapter is merged.

The module also decides which layers of a model get an adapter.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from slimgate.errors import BuildError, MissingExtra, format_suggestion
from slimgate.models.blocks import Block, blocks, find_logits_layer
from slimgate.models.plain_layers import convert_to_linear_
from slimgate.models.replace_modules import replace_modules_
from slimgate.models.seeding import isolated_seed
from slimgate.models.sparsity import list_pruned_layers
from slimgate.plugins.context import BuildContext
from slimgate.steps.layers.lora_linear import LoraLinear, SparseLoraLinear, gradients_through
from slimgate.steps.training.params import LoraParams

if TYPE_CHECKING:
    from slimgate.models.torch_model import TorchModel


def find_targets(model: TorchModel, targets: str | tuple[str, ...]) -> dict[str, nn.Module]:
    """Name -> linear layer of any class, in the network's order, after Conv1D layers have become nn.Linear.

    targets: "attention", "linear", or endings of names. A layer that consists of several linear layers (low
    rank) is replaced by these. Raises BuildError if a name fits no layer, or there is an adapter already.
    """
    convert_to_linear_(model)
    network = model.network
    adapted = [name for name, module in network.named_modules() if isinstance(module, LoraLinear)]
    if adapted:
        raise BuildError(f"{adapted[0]} has an adapter already; set merge = true in the step that made it")
    known = _list_linear_layers(network)
    if not isinstance(targets, str):
        return _select_by_endings(known, targets)
    names = {name for block in blocks(network) for name in _list_target_names(block, targets)}
    target_layers = {n: m for n, m in known.items() if n in names or n.rpartition(".")[0] in names}
    if not target_layers:
        raise BuildError(f"{type(network).__name__}: no linear layer to adapt was found in its blocks")
    return target_layers


def _list_target_names(block: Block, targets: str) -> tuple[str, ...]:
    attention, feed_forward = block.attention, block.feed_forward
    names = (attention.query, attention.key, attention.value, attention.output)
    if targets == "attention" or not feed_forward.inputs:
        return names
    return (*names, *feed_forward.inputs, feed_forward.output)


def _select_by_endings(known: dict[str, nn.Module], endings: tuple[str, ...]) -> dict[str, nn.Module]:
    for ending in endings:
        if not any(f".{name}".endswith(f".{ending}") for name in known):
            last = {name.rpartition(".")[2] for name in known}
            raise BuildError(
                f'targets "{ending}": no linear layer of that name{format_suggestion(ending, last)}'
            )
    return {n: m for n, m in known.items() if any(f".{n}".endswith(f".{ending}") for ending in endings)}


def _list_linear_layers(network: nn.Module) -> dict[str, nn.Module]:
    """Layers that map in_features to out_features, both above 0, and contain no such layer."""
    layers = {
        name: module
        for name, module in network.named_modules()
        if getattr(module, "in_features", 0) and getattr(module, "out_features", 0)
    }
    return {n: m for n, m in layers.items() if not any(other.startswith(f"{n}.") for other in layers)}


@contextmanager
def adapters(model: TorchModel, step_name: str, params: LoraParams, context: BuildContext) -> Iterator[None]:
    """Inside, only adapters and the head require gradients; afterwards the adapters are merged or kept.

    step_name: the step whose file has `restore`. context.log gets the numbers of trained and added weights.
    Raises BuildError if there is nothing to adapt or merging is impossible; MissingExtra without peft.
    """
    targets = find_targets(model, params.targets)
    sparse = list_pruned_layers(model) & targets.keys() if params.merge else frozenset()
    custom = {name for name, layer in targets.items() if type(layer) is not nn.Linear} | sparse
    if params.merge:
        _check_mergeable(targets)
    flags = [(parameter, parameter.requires_grad) for parameter in model.network.parameters()]
    model.network.requires_grad_(False)
    with isolated_seed(context.seed):
        _inject_own_(model.network, {name: targets[name] for name in custom}, params, sparse)
        _inject_peft_(model.network, [name for name in targets if name not in custom], params)
    context.log.update(_count_trained_weights(model, targets, params))
    with gradients_through(model.network):
        yield
    adapters_by_name = {name: _convert_to_lora(model.network.get_submodule(name)) for name in targets}
    for parameter, flag in flags:
        parameter.requires_grad_(flag)
    if params.merge:
        for name, layer in adapters_by_name.items():
            model.network.set_submodule(name, layer.merge_adapter())
    else:
        replace_modules_(model, step_name, adapters_by_name)


def _check_mergeable(targets: Mapping[str, nn.Module]) -> None:
    integers = [name for name, layer in targets.items() if type(layer) is not nn.Linear]
    if integers:
        kind = type(targets[integers[0]]).__name__
        raise BuildError(
            f"{len(integers)} of {len(targets)} layers are not nn.Linear, first {integers[0]} ({kind}), into "
            "which no adapter can be merged; set merge = false"
        )


def _inject_own_(
    network: nn.Module, layers: Mapping[str, nn.Module], params: LoraParams, sparse: Collection[str]
) -> None:
    scaling = params.alpha / params.r
    for name, base in layers.items():
        if name in sparse:
            layer: LoraLinear = SparseLoraLinear(base, r=params.r, scaling=scaling)
        else:
            layer = LoraLinear(base, r=params.r, scaling=scaling, dropout=params.dropout)
        network.set_submodule(name, layer.train(base.training))


def _inject_peft_(network: nn.Module, names: list[str], params: LoraParams) -> None:
    if not names:
        return
    try:
        import peft
    except ImportError as error:
        raise MissingExtra('LoRA adapters need an extra: pip install "slimgate[lora]"') from error
    config = peft.LoraConfig(
        r=params.r,
        lora_alpha=params.alpha,  # type: ignore[arg-type]  # peft only divides it by r
        lora_dropout=params.dropout,
        target_modules=names,
        bias="none",
    )
    peft.inject_adapter_in_model(config, network)


def _convert_to_lora(layer: nn.Module) -> LoraLinear:
    """An adapted layer as a LoraLinear, from peft's layer or from slimgate's."""
    if isinstance(layer, LoraLinear):
        return layer
    adapted: Any = layer  # one of peft's LoraLayer
    (name,) = adapted.active_adapters
    a, b = adapted.lora_A[name].weight, adapted.lora_B[name].weight
    ours = LoraLinear(adapted.get_base_layer(), r=len(a), scaling=float(adapted.scaling[name]))
    with torch.no_grad():
        ours.lora_a.copy_(a)
        ours.lora_b.copy_(b)
    return ours.train(layer.training)


def _find_head(model: TorchModel) -> nn.Linear:
    head = find_logits_layer(model.network)
    if head is None:
        name = type(model.network).__name__
        raise BuildError(
            f"{name}: its answers do not come from a linear layer, or this layer is already quantized; "
            "set train_head = false"
        )
    return head


def _count_trained_weights(
    model: TorchModel, targets: Mapping[str, nn.Module], params: LoraParams
) -> dict[str, Any]:
    """Counts of trained weights. It first turns on the head's gradients if the head is to be trained."""
    network = model.network
    adapter = sum(p.numel() for p in network.parameters() if p.requires_grad)
    # an encoder of embeddings has no head
    if params.train_head and getattr(network, "has_logits_layer", True):
        _find_head(model).requires_grad_(True)
    trained = sum(p.numel() for p in network.parameters() if p.requires_grad)
    return {
        "adapted_layers": len(targets),
        "adapter_parameters": adapter,
        "trained_parameters": trained,
        "bytes_added": 0 if params.merge else 4 * adapter,
        "merged": params.merge,
    }

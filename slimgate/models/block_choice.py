"""Keeps some of a transformer's blocks, in a stated order, and removes the others with their notes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import nn

from slimgate.models.blocks import Block, blocks, find_block_lists, find_only_block_list, list_block_names
from slimgate.models.config import check_numbers, replace_block_counts, select_by_block
from slimgate.models.replace_modules import replace_modules_

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

    from slimgate.models.torch_model import TorchModel


def keep_blocks_(model: TorchModel, remaining: Sequence[int]) -> None:
    """Keeps only these blocks, in this order. Updates the configuration and the notes of earlier steps.

    remaining: numbers of blocks from 0, each once.
    """
    layers = find_only_block_list(model.network)
    before, root = len(layers), list_block_names(model.network)[0].rpartition(".")[0]
    norms = _find_moved_norms(root, list(layers), remaining)
    _keep_in_list_(model, root, layers, remaining)
    _shorten(model.config, before, remaining)
    if norms:
        replace_modules_(model, "keep_layers", norms)
    if getattr(model.config, "scale_attn_by_inverse_layer_idx", False):
        # GPT-2 computes the scale from the number of the block, which changes. The blocks keep their scales.
        scaling = {}
        for block in blocks(model.network):
            attention: Any = model.network.get_submodule(block.attention.module)
            scaling[block.attention.module] = {"scaling": attention.scaling}
        replace_modules_(model, "keep_layers", {}, scaling)


def keep_stack_blocks_(model: TorchModel, encoder: Sequence[int], decoder: Sequence[int]) -> None:
    """Keeps these blocks of the encoder and these of the decoder of an encoder-decoder."""
    for (root, layers), remaining in zip(
        find_block_lists(model.network).items(), (encoder, decoder), strict=True
    ):
        _keep_position_scores_(layers, remaining[0])
        _keep_in_list_(model, root, layers, remaining)
    before = model.config.to_dict()
    for key, value in replace_block_counts(before, len(encoder), len(decoder)).items():
        if before.get(key) != value:
            setattr(model.config, key, value)
    for layers in find_block_lists(model.network).values():
        _update_stack_config(model, layers)


def _update_stack_config(model: TorchModel, layers: nn.ModuleList) -> None:
    """Updates the number of blocks in the copies of the configuration that T5's encoder and decoder have."""
    network: Any = model.network
    for stack in (network.get_encoder(), network.get_decoder()):
        if stack.config is not model.config and getattr(stack, "block", None) is layers:
            stack.config.num_layers = len(layers)


def _keep_position_scores_(layers: nn.ModuleList, first: int) -> None:
    """Moves T5's table of relative positions to the new first block; all blocks of a list use it."""
    old, new = (_find_self_attention(layers[number]) for number in (0, first))
    if first and getattr(old, "has_relative_attention_bias", False):
        new.relative_attention_bias, new.has_relative_attention_bias = old.relative_attention_bias, True
        del old.relative_attention_bias
        old.has_relative_attention_bias = False


def _find_self_attention(block: nn.Module) -> Any:
    """The self-attention of a T5 block; None for a block of another family."""
    layers: Any = getattr(block, "layer", None)
    return None if layers is None else getattr(layers[0], "SelfAttention", None)


def _keep_in_list_(model: TorchModel, root: str, layers: nn.ModuleList, remaining: Sequence[int]) -> None:
    remaining_blocks = [layers[i] for i in remaining]
    del layers[:]
    layers.extend(nn.ModuleList(remaining_blocks))
    for number, block in enumerate(remaining_blocks):
        for module in block.modules():
            for name in ("layer_idx", "layer_id"):  # the place in the cache
                if hasattr(module, name):
                    setattr(module, name, number)
    numbers = {f"{root}.{old}": f"{root}.{new}" for new, old in enumerate(remaining)}
    model.modifications[:] = [_rename_blocks(change, root, numbers) for change in model.modifications]


def _find_moved_norms(root: str, layers: list[nn.Module], remaining: Sequence[int]) -> dict[str, nn.Module]:
    """Norms that only a kept block has, or only the block whose number it gets.

    ModernBERT's first block has no norm before its attention, so a network that is made from the
    configuration would have none in a block that moves to the front.
    """
    moved: dict[str, nn.Module] = {}
    for new, old in enumerate(remaining):
        modules_of_place = dict(layers[new].named_modules())
        for name, module in layers[old].named_modules():
            types = type(module), type(modules_of_place.get(name))
            if nn.Identity in types and types[0] is not types[1]:
                moved[f"{root}.{new}.{name}"] = module
    return moved


def select_blocks(network: nn.Module, numbers: Sequence[int]) -> list[Block]:
    """The blocks with these numbers; without numbers all blocks. Raises SuiteError for an unknown number."""
    all_blocks = blocks(network)
    check_numbers(numbers, len(all_blocks), "blocks")
    return [block for number, block in enumerate(all_blocks) if not numbers or number in numbers]


def spread_block_numbers(total: int, count: int) -> list[int]:
    """Numbers of `count` of `total` blocks at equal distances, from the first to the last; one: the first."""
    if count == 1:
        return [0]
    return [round(i * (total - 1) / (count - 1)) for i in range(count)]


def _rename_blocks(noted: object, root: str, numbers: dict[str, str]) -> Any:
    """A note with the new numbers of the kept blocks, and without the modules of removed blocks."""
    if isinstance(noted, dict):
        names = {key: _rename_module(key, root, numbers) for key in noted}
        return {
            name: _rename_blocks(noted[key], root, numbers) for key, name in names.items() if name is not None
        }
    if isinstance(noted, list | tuple):
        return [
            _rename_blocks(value, root, numbers)
            for value in noted
            if not isinstance(value, str) or _rename_module(value, root, numbers) is not None
        ]
    return _rename_module(noted, root, numbers) if isinstance(noted, str) else noted


def _rename_module(name: str, root: str, numbers: dict[str, str]) -> str | None:
    """The new name of a module; None for a name inside a removed block."""
    if not name.startswith(f"{root}."):
        return name
    number, dot, rest = name.removeprefix(f"{root}.").partition(".")
    block = numbers.get(f"{root}.{number}")
    return None if block is None else f"{block}{dot}{rest}"


def _shorten(config: PreTrainedConfig, before: int, remaining: Sequence[int]) -> None:
    """Shortens the settings that have a value for each block to the values of the kept blocks."""
    for key, values in select_by_block(config.to_dict(), before, remaining).items():
        setattr(config, key, values)
    config.num_hidden_layers = len(remaining)

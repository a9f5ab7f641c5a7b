"""Tools that change a torch network in place: torchao and Torch-Pruning, used as their documentation shows.

Each function returns the size of the files that the tool writes, in bytes, and the scores of the network.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from slimgate.models.blocks import Block, blocks, find_output_linear
from tools.peers.peer_case import INPUTS, Case, Result, compute_eager_scores, count_bytes


def measure_torchao_weights(case: Case, *, config: Callable[[Any], Any]) -> Result:
    """torchao.quantization.quantize_ by one of its configurations; saved as torchao does, by torch.save."""
    import torchao.quantization as ao

    network = case.model.network
    head = find_output_linear(network, case.model.config.num_labels)
    ao.quantize_(
        network, config(ao), filter_fn=lambda module, _: isinstance(module, nn.Linear) and module is not head
    )
    torch.save(network.state_dict(), case.folder / "model.pt")
    return Result(count_bytes(case.folder), compute_eager_scores(case))


def measure_torch_pruning(case: Case) -> Result:
    """Torch-Pruning: half of the heads and of the feed-forward width by magnitude, without retraining."""
    import torch_pruning as tp

    network = case.model.network
    layers = blocks(network)
    heads = {
        network.get_submodule(name): block.attention.heads
        for block in layers
        for name in _list_projections(block)
    }
    feed_forward_ratios = {
        network.get_submodule(name): 0.5 for block in layers for name in block.feed_forward.inputs
    }
    example = {name: case.batches[-1][name] for name in INPUTS}
    pruner = tp.pruner.BasePruner(
        network,
        example,
        importance=tp.importance.GroupMagnitudeImportance(),
        pruning_ratio=0.0,
        pruning_ratio_dict=feed_forward_ratios,
        num_heads=heads,
        prune_num_heads=True,
        head_pruning_ratio=0.5,
        ignored_layers=[find_output_linear(network, case.model.config.num_labels)],
        output_transform=lambda output: output.logits.sum(),
    )
    pruner.step()
    for block in layers:
        attention = network.get_submodule(block.attention.module)
        attention.all_head_size = network.get_submodule(block.attention.query).out_features
        attention.num_attention_heads = attention.all_head_size // block.attention.head_dim
    torch.save(network.state_dict(), case.folder / "model.pt")
    return Result(count_bytes(case.folder), compute_eager_scores(case))


def _list_projections(block: Block) -> tuple[str, str, str]:
    return block.attention.query, block.attention.key, block.attention.value

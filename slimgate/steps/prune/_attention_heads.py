"""Attention heads: their importance by weights, and a block's attention without some of them.

A unit is the smallest part that can be removed: a head, or if heads share keys and values (Llama's grouped
heads), a group of query heads with its key and value head, so that the remaining groups have one size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from slimgate.models.blocks import Attention
from slimgate.models.linear_layers import cut_linear, find_part_to_cut

if TYPE_CHECKING:
    from slimgate.models.torch_model import TorchModel

# Settings of attention modules in transformers, by model family: number of heads, width of all heads.
_HEAD_COUNTS = ("num_attention_heads", "num_heads", "n_heads")
_WIDTHS = ("all_head_size", "split_size")


def cut_attention(
    model: TorchModel, attention: Attention, units: Sequence[int]
) -> tuple[dict[str, nn.Linear], dict[str, int]]:
    """The layers of an attention with only these units, and its module's new settings of heads and widths."""
    queries = _list_features(units, attention.head_dim * attention.heads // attention.kv_heads)
    keys = _list_features(units, attention.head_dim)
    layers = {attention.output: cut_linear(model, attention.output, columns=queries)}
    if attention.fused:
        width, inner, _ = attention.widths
        rows = queries + [start + feature for start in (width, width + inner) for feature in keys]
        layers[attention.query] = cut_linear(model, attention.query, rows=rows)
    else:
        layers[attention.query] = cut_linear(model, attention.query, rows=queries)
        layers[attention.key] = cut_linear(model, attention.key, rows=keys)
        layers[attention.value] = cut_linear(model, attention.value, rows=keys)
    settings = dict.fromkeys(_HEAD_COUNTS, len(queries) // attention.head_dim)
    settings |= dict.fromkeys(_WIDTHS, len(queries)) | {"num_key_value_heads": len(units)}
    module = model.network.get_submodule(attention.module)
    return layers, {name: value for name, value in settings.items() if hasattr(module, name)}


def compute_unit_magnitudes(network: nn.Module, attention: Attention) -> npt.NDArray[np.float64]:
    """(units,) the Euclidean norm of the weights of each unit."""
    inputs = [_read_weight(network, name) for name in (attention.query, attention.key, attention.value)]
    if attention.fused:
        inputs = list(torch.split(inputs[0], list(attention.widths)))
    squares = [_sum_squares(weight, attention.kv_heads) for weight in inputs]
    squares.append(_sum_squares(_read_weight(network, attention.output).t(), attention.kv_heads))
    return np.asarray(np.sqrt(np.sum(squares, axis=0)))


def _list_features(units: Sequence[int], width: int) -> list[int]:
    return [unit * width + feature for unit in units for feature in range(width)]


def _read_weight(network: nn.Module, name: str) -> torch.Tensor:
    return find_part_to_cut(network, name, nn.Linear).weight.detach().double()


def _sum_squares(rows: torch.Tensor, units: int) -> npt.NDArray[np.float64]:
    return np.asarray(rows.square().sum(1).reshape(units, -1).sum(1).cpu().numpy())

"""A network whose residual stream is narrower: some features of it are gone everywhere.

Attention and feed-forward keep their inner widths, and so do the inner layers of a classification head. Norms
take their statistics over the features that stay, which is where the answers differ from those of a network
whose features are multiplied by 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from slimgate.compress.calibration import calibration_batches, watch_inputs
from slimgate.compress.prune._residual_stream import Stream
from slimgate.models.blocks import Attention, blocks
from slimgate.models.cutting import cut_embedding, cut_linear, cut_norm_
from slimgate.models.replacing import replace_modules_
from slimgate.protocols import BuildContext


def narrow_(model: Any, method: str, stream: Stream, kept: Sequence[int]) -> None:
    """Leaves only these features of the stream; configuration and notes follow."""
    network, config = model.network, model.config
    settings = {block.attention.module: _settings(network, block.attention) for block in blocks(network)}
    modules: dict[str, nn.Module] = {n: cut_embedding(model, n, kept) for n in stream.tables}
    modules |= {n: cut_linear(model, n, rows=kept) for n in stream.writers}
    modules |= {n: cut_linear(model, n, columns=kept) for n in stream.readers}
    for table in stream.tables:  # a language model's output layer may be its token table
        if network.get_submodule(table).weight is network.get_submodule(stream.head).weight:
            modules[stream.head].weight = modules[table].weight
    # a head's further layers stay, but an empty network would have them in the new width
    modules |= {n: network.get_submodule(n) for n in stream.behind}
    for name in stream.norms:
        cut_norm_(network.get_submodule(name), kept)
    if hasattr(config, "head_dim"):
        config.head_dim = blocks(network)[0].attention.head_dim  # else it would follow the new width
    config.hidden_size = len(kept)
    if getattr(config, "embedding_size", None) == stream.width:
        config.embedding_size = len(kept)
    replace_modules_(model, method, modules, {name: values for name, values in settings.items() if values})


def rescale_norms_(model: Any, stream: Stream, kept: Sequence[int], context: BuildContext) -> None:
    """Makes up, on the average `calibration` token, for statistics that are taken over fewer features.

    To be called before the features go. With mean m and deviation s over all features, m' and s' over those
    that stay, (x - m) / s is (x - m') / s' · s'/s + (m' - m) / s: weights are multiplied by the mean of s'/s,
    and the mean of (m' - m) / s times the weight is added to biases. An RMSNorm has no m.
    """
    norms = {name: model.network.get_submodule(name) for name in stream.norms}
    sums = {name: torch.zeros(3, dtype=torch.float64) for name in norms}

    def see(name: str, tokens: torch.Tensor) -> None:
        centred = isinstance(norms[name], nn.LayerNorm)
        sums[name] += _drift(tokens.double(), list(kept), centred=centred).cpu()

    watch_inputs(model, norms, calibration_batches(model, context), see)
    with torch.no_grad():
        norm: Any
        for name, norm in norms.items():
            ratio, shift = (sums[name][:2] / sums[name][2]).tolist()
            if getattr(norm, "bias", None) is not None:
                norm.bias.add_(norm.weight * shift)
            norm.weight.mul_(ratio)


def _drift(tokens: torch.Tensor, kept: list[int], *, centred: bool) -> torch.Tensor:
    """Sums over the tokens of s'/s and (m' - m) / s, and the number of tokens."""
    fewer = tokens[:, kept]
    if not centred:
        ratio = (fewer.square().mean(1) / tokens.square().mean(1).clamp_min(1e-12)).sqrt()
        return torch.stack([ratio.sum(), ratio.new_zeros(()), ratio.new_tensor(len(ratio))])
    deviation = tokens.var(1, correction=0).clamp_min(1e-12).sqrt()
    ratio = fewer.var(1, correction=0).sqrt() / deviation
    shift = (fewer.mean(1) - tokens.mean(1)) / deviation
    return torch.stack([ratio.sum(), shift.sum(), ratio.new_tensor(len(ratio))])


def _settings(network: nn.Module, attention: Attention) -> dict[str, float]:
    """What an attention derives from the width when it is made, and must keep."""
    holder = network.get_submodule(attention.module)
    inner = attention.heads * attention.head_dim
    known = {
        "attention_head_size": attention.head_dim,
        "head_dim": attention.head_dim,
        "all_head_size": inner,
        "split_size": inner,
        "scaling": getattr(holder, "scaling", None),
    }
    return {name: value for name, value in known.items() if hasattr(holder, name) and value is not None}

"""Converts parts of transformers that store weights in a special form to nn.Linear and nn.Embedding.

| in transformers             | after the conversion               | so that steps                         |
|-----------------------------|------------------------------------|---------------------------------------|
| Conv1D (GPT-2)              | nn.Linear                          | find its weight, not transposed       |
| experts in one parameter    | Experts: three nn.Linear for each  | quantize, prune and factorise each    |
| a table that scales (Gemma) | ScaledEmbedding of an nn.Embedding | replace the table, and keep the scale |

The answers stay the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from transformers.activations import ACT2FN
from transformers.pytorch_utils import Conv1D

from slimgate.models.families import find_family
from slimgate.models.replace_modules import replace_modules_

if TYPE_CHECKING:
    from transformers.models.mixtral.modeling_mixtral import MixtralExperts
    from transformers.models.qwen3_moe.modeling_qwen3_moe import Qwen3MoeExperts

    from slimgate.models.torch_model import TorchModel

# The step that does only this. A saved model records its name, to repeat the conversion on loading.
STEP = "conv1d_to_linear"


class Experts(nn.Module):
    """The experts of a mixture as separate layers; transformers stores them in one stacked parameter.

    Input: tokens (tokens, hidden), the experts chosen for each (tokens, k) and their weights (tokens, k).
    """

    def __init__(self, experts: int, hidden: int, intermediate: int, activation: str) -> None:
        super().__init__()
        self.hidden, self.intermediate, self.activation = hidden, intermediate, activation
        self.act_fn = ACT2FN[activation]
        self.experts = nn.ModuleList(
            nn.ModuleDict(
                {
                    "gate_proj": nn.Linear(hidden, intermediate, bias=False),
                    "up_proj": nn.Linear(hidden, intermediate, bias=False),
                    "down_proj": nn.Linear(intermediate, hidden, bias=False),
                }
            )
            for _ in range(experts)
        )

    @classmethod
    def from_stacked(cls, stacked: MixtralExperts | Qwen3MoeExperts, activation: str) -> Experts:
        """stacked.gate_up_proj: (experts, 2 · intermediate, hidden), down_proj: (experts, hidden, inter.)."""
        count, hidden, intermediate = stacked.down_proj.shape
        experts = cls(count, hidden, intermediate, activation).to(stacked.down_proj)
        with torch.no_grad():
            for number, expert in enumerate(experts.experts):
                gate, up = stacked.gate_up_proj[number].chunk(2)
                for name, weight in (
                    ("gate_proj", gate),
                    ("up_proj", up),
                    ("down_proj", stacked.down_proj[number]),
                ):
                    expert[name].weight.copy_(weight)  # type: ignore[index]
        return experts

    def forward(self, hidden_states: Tensor, top_k_index: Tensor, top_k_weights: Tensor) -> Tensor:
        total = torch.zeros_like(hidden_states)
        for number, expert in enumerate(self.experts):
            token, place = torch.where(top_k_index == number)
            if len(token):
                output = (
                    self._run_expert(cast("nn.ModuleDict", expert), hidden_states[token])
                    * top_k_weights[token, place, None]
                )
                total.index_add_(0, token, output.to(total.dtype))
        return total

    def _run_expert(self, expert: nn.ModuleDict, tokens: Tensor) -> Tensor:
        gated: Tensor = self.act_fn(expert["gate_proj"](tokens)) * expert["up_proj"](tokens)
        output: Tensor = expert["down_proj"](gated)
        return output

    def list_options(self) -> dict[str, Any]:
        """The arguments of its constructor."""
        return {
            "experts": len(self.experts),
            "hidden": self.hidden,
            "intermediate": self.intermediate,
            "activation": self.activation,
        }


class ScaledEmbedding(nn.Module):
    """ids -> table[ids] · scale: (...) int64 -> (..., embedding_dim). A tied output layer has no scale."""

    def __init__(
        self, num_embeddings: int, embedding_dim: int, scale: float, padding_idx: int | None = None
    ) -> None:
        super().__init__()
        self.scale = scale
        self.table = nn.Embedding(num_embeddings, embedding_dim, padding_idx)

    @classmethod
    def from_scaled(cls, table: nn.Embedding) -> ScaledEmbedding:
        """The same weight, from one of transformers' scaled tables."""
        shape = (table.num_embeddings, table.embedding_dim)
        scale: Any = table.embed_scale
        with torch.device("meta"):
            table_layer = cls(*shape, float(scale), table.padding_idx)
        table_layer.table.weight = table.weight
        return table_layer

    def forward(self, ids: Tensor) -> Tensor:
        vectors: Tensor = self.table(ids)
        return vectors * self.scale

    def list_options(self) -> dict[str, Any]:
        """The arguments of its constructor."""
        table: Any = self.table
        shape = {"num_embeddings": table.num_embeddings, "embedding_dim": table.embedding_dim}
        return {**shape, "scale": self.scale, "padding_idx": getattr(table, "padding_idx", None)}


def convert_to_linear_(model: TorchModel) -> list[str]:
    """Replaces Conv1D layers by nn.Linear and stacked experts by `Experts`; returns their names."""
    network = model.network
    layers: dict[str, nn.Module] = {
        name: _make_linear(m) for name, m in network.named_modules() if isinstance(m, Conv1D)
    }
    family = find_family(model.config)
    if family is not None and family.experts:
        layers |= {
            name: Experts.from_stacked(m, model.config.hidden_act)
            for name, m in network.named_modules()
            if type(m).__name__ == family.experts
        }
    if layers:
        replace_modules_(model, STEP, layers)
    return list(layers)


def convert_scaled_tables_(model: TorchModel) -> None:
    """Replaces token tables that scale their output by a plain nn.Embedding with the scale after it."""
    tables = {
        name: ScaledEmbedding.from_scaled(m)
        for name, m in model.network.named_modules()
        if isinstance(m, nn.Embedding) and hasattr(m, "embed_scale")
    }
    if tables:
        replace_modules_(model, STEP, tables)


def _make_linear(layer: Conv1D) -> nn.Linear:
    linear = nn.Linear(layer.nx, layer.nf, bias=layer.bias is not None, device=layer.weight.device)
    with torch.no_grad():
        linear.weight.copy_(layer.weight.t())
        if layer.bias is not None:
            linear.bias.copy_(layer.bias)
    return linear

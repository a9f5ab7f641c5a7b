"""What the queries, keys and values of a block say: attention scores, and relations of tokens.

All of it is computed from what the query, key and value layers give, hence the same for every attention
implementation, and after any change of modules that keeps the layers' names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from slimgate.errors import BuildError
from slimgate.models.blocks import Attention
from slimgate.models.watching import Outputs

Tensor = torch.Tensor


@dataclass(frozen=True)
class AttentionOutputs:
    """The query, key and value layers of a block's attention, and how they are read."""

    parts: Attention
    causal: bool

    @classmethod
    def of(cls, model: Any, parts: Attention) -> AttentionOutputs:
        """Raises BuildError for an attention that a pruning has taken out whole."""
        if not parts.heads:
            raise BuildError(
                f"distill: {parts.module} has no heads left to compare; set attention_weight = 0 and "
                "relation_weight = 0"
            )
        return cls(parts, bool(getattr(model.network.get_submodule(parts.module), "is_causal", False)))

    @property
    def names(self) -> list[str]:
        """The modules to watch."""
        return list(dict.fromkeys((self.parts.module, self.parts.query, self.parts.key, self.parts.value)))

    @property
    def widths(self) -> tuple[int, int, int]:
        inner = self.parts.kv_heads * self.parts.head_dim
        return (self.parts.heads * self.parts.head_dim, inner, inner)

    def projected(self, outputs: Outputs) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values: (rows, tokens, width) float32."""
        if self.parts.fused:
            fused = outputs.values[self.parts.query].float()
            query, key, value = torch.split(fused, list(self.widths), dim=-1)
        else:
            names = (self.parts.query, self.parts.key, self.parts.value)
            query, key, value = (outputs.values[name].float() for name in names)
        return query, key, value

    def scores(self, outputs: Outputs) -> Tensor:
        """What the softmax of the attention gets, without its mask: (rows, heads, tokens, tokens)."""
        query, key, _ = self.projected(outputs)
        queries, keys = _split(query, self.parts.heads), _split(key, self.parts.kv_heads)
        if self.parts.module in outputs.rotary:
            from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

            cos, sin = (part.float() for part in outputs.rotary[self.parts.module])
            queries, keys = apply_rotary_pos_emb(queries, keys, cos, sin)
        keys = keys.repeat_interleave(self.parts.heads // self.parts.kv_heads, dim=1)
        found: Tensor = queries @ keys.transpose(-1, -2) / self.parts.head_dim**0.5
        return found


def relation_loss(
    student: Tensor, teacher: Tensor, mask: Tensor, *, heads: int, causal: bool = False
) -> Tensor:
    """KL between softmax(X X' / sqrt(d)) of both, mean over heads and real tokens: a scalar.

    student, teacher: (rows, tokens, width), of any widths that `heads` divides; mask: (rows, tokens).
    """
    pairs = pair_mask(mask, causal=causal)
    mine, theirs = (_relations(x.float(), heads, pairs) for x in (student, teacher))
    divergence = (theirs.exp() * (theirs - mine) * pairs).sum(-1)
    return divergence.sum() / (heads * mask.sum())


def _relations(values: Tensor, heads: int, pairs: Tensor) -> Tensor:
    """log softmax of the relations: (rows, heads, tokens, tokens)."""
    parts = _split(values, heads)
    scores = parts @ parts.transpose(-1, -2) / parts.shape[-1] ** 0.5
    # a finite number, for 0 · (-inf + inf) would be NaN
    return torch.log_softmax(scores.masked_fill(pairs == 0, -1e9), dim=-1)


def _split(values: Tensor, heads: int) -> Tensor:
    """(rows, tokens, width) -> (rows, heads, tokens, width / heads)."""
    rows, tokens, width = values.shape
    return values.view(rows, tokens, heads, width // heads).transpose(1, 2)


def pair_mask(mask: Tensor, *, causal: bool) -> Tensor:
    """1 where both tokens are real, and in a decoder the second no later: (rows, 1, tokens, tokens) float."""
    real = mask.float()
    pairs = real[:, None, :, None] * real[:, None, None, :]
    return pairs.tril() if causal else pairs

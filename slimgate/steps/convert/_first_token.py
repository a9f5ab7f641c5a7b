"""Computes the last block of an encoder only for the first token, if the head reads no other.

    with first_token_alone(network, batch) as narrowed:
        ...  # the same logits, faster; narrowed is False if the network does not allow it

A head that reads the first token's vector ([CLS]; Devlin et al. 2019, section 3) does not read the last
block's other vectors. For the other tokens the block needs keys and values, but no query, no FFN, no layer
norm. Leaving tokens out is PoWER-BERT's idea (Goyal et al. 2020); here no answer changes. For ONNX graphs,
_onnx_first_token.py does this.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from slimgate.errors import BuildError
from slimgate.models.blocks import find_only_block_list
from slimgate.plugins.base import Arrays

if TYPE_CHECKING:
    from transformers.models.bert.modeling_bert import BertAttention, BertSelfAttention


@contextmanager
def first_token_alone(network: nn.Module, batch: Arrays) -> Iterator[bool]:
    """Narrows the network's last block within the context; gives False if the block stays unchanged.

    batch: rows of several tokens, which show whether the logits depend on other tokens' last vectors, and
    whether the narrow block gives the same logits. Only blocks built like BERT's are narrowed:
    attention.self.query, .key, .value, and attention.output, which adds attention's input. Blocks with these
    names that attend differently (ESM rotates vectors by position) give other logits, and stay unchanged.
    """
    block = _find_last_block(network)
    if block is None or not _is_built_like_bert(block) or not is_first_token_enough(network, batch):
        yield False
        return
    before = _compute_logits(network, batch)
    with ExitStack() as undo:
        _narrow_(block.attention, undo)
        same = torch.allclose(
            _compute_logits(network, batch), before, rtol=1e-3, atol=1e-4 * float(before.std())
        )
        if not same:
            undo.close()
        yield same


def _narrow_(attention: BertAttention, undo: ExitStack) -> None:
    """Makes an attention compute only the first token's output, until `undo` is closed."""
    undo.callback(setattr, attention, "self", attention.self)
    first = attention.output.register_forward_pre_hook(lambda _, inputs: (inputs[0], inputs[1][:, :1]))
    undo.callback(first.remove)
    attention.self = _FirstQuery(attention.self)


def is_first_token_enough(network: nn.Module, batch: Arrays) -> bool:
    """Whether the logits stay the same, to the bit, when the last block's other vectors change."""
    block = _find_last_block(network)
    if block is None:
        return False
    before = _compute_logits(network, batch)
    with block.register_forward_hook(_change_other_tokens):
        after = _compute_logits(network, batch)
    return torch.equal(before, after)


def _compute_logits(network: nn.Module, batch: Arrays) -> torch.Tensor:
    device = next(network.parameters()).device
    inputs = {name: torch.from_numpy(values).to(device) for name, values in batch.items()}
    with torch.inference_mode():
        logits: torch.Tensor = network(**inputs).logits
    return logits


def _change_other_tokens(
    _block: nn.Module, _inputs: object, output: torch.Tensor | tuple[torch.Tensor, ...]
) -> torch.Tensor | tuple[torch.Tensor, ...]:
    vectors = output[0] if isinstance(output, tuple) else output
    changed = torch.cat([vectors[:, :1], 1.0 - vectors[:, 1:]], dim=1)
    return (changed, *output[1:]) if isinstance(output, tuple) else changed


def _find_last_block(network: nn.Module) -> Any:
    try:
        return list(find_only_block_list(network))[-1]
    except (BuildError, IndexError):  # blocks of several kinds: two towers, or a user's network
        return None


def _is_built_like_bert(block: nn.Module) -> bool:
    attention = getattr(block, "attention", None)
    self_attention: Any = getattr(attention, "self", None)
    has_projections = all(
        isinstance(getattr(self_attention, name, None), nn.Module) for name in ("query", "key", "value")
    )
    return (
        has_projections
        and hasattr(attention, "output")
        and hasattr(self_attention, "scaling")
        and hasattr(self_attention, "attention_head_size")
        and not getattr(self_attention, "is_decoder", False)
        and list(inspect.signature(self_attention.forward).parameters)[:2]
        == ["hidden_states", "attention_mask"]
        and hasattr(sys.modules[type(self_attention).__module__], "eager_attention_forward")
    )


class _FirstQuery(nn.Module):
    """BERT's self-attention with the first token as the only query, by the network's attention function."""

    def __init__(self, layer: BertSelfAttention) -> None:
        super().__init__()
        self.layer: Any = layer

    def forward(
        self, hidden_states: torch.Tensor, attention_mask: torch.Tensor | None = None, **_: object
    ) -> tuple[torch.Tensor, Any]:
        layer, rows = self.layer, hidden_states.shape[0]

        def split_heads(vectors: torch.Tensor) -> torch.Tensor:
            return vectors.view(rows, vectors.shape[1], -1, layer.attention_head_size).transpose(1, 2)

        attend = ALL_ATTENTION_FUNCTIONS.get_interface(
            layer.config._attn_implementation, sys.modules[type(layer).__module__].eager_attention_forward
        )
        attended, weights = attend(
            layer,
            split_heads(layer.query(hidden_states[:, :1])),
            split_heads(layer.key(hidden_states)),
            split_heads(layer.value(hidden_states)),
            None if attention_mask is None else attention_mask[:, :, :1],
            dropout=0.0,
            scaling=layer.scaling,
        )
        return attended.reshape(rows, 1, -1), weights

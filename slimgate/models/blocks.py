"""The parts of a transformer that compression acts on, found in each family by the names it gives them.

    for block in blocks(network):
        block.attention.query, block.attention.heads, block.feed_forward.output

Known: BERT, RoBERTa, ELECTRA and their like; DistilBERT; GPT-2 (fused query, key and value); Llama and its
like (grouped key and value heads, gated feed-forward); each tower of CLIP.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.nn.utils.parametrize import ParametrizationList

from slimgate.errors import BuildError


@dataclass(frozen=True)
class Attention:
    """Names of the linear layers of a block's self-attention, from the network's root.

    module: the one that holds head counts. A fused layer is query, key and value at once, in that order.
    heads, kv_heads, head_dim: as the layers' shapes say, which may differ from block to block.
    """

    module: str
    query: str
    key: str
    value: str
    output: str
    heads: int
    kv_heads: int
    head_dim: int

    @property
    def fused(self) -> bool:
        return self.query == self.key


@dataclass(frozen=True)
class FeedForward:
    """Names of the linear layers of a block's feed-forward part: (up,) or (gate, up), then output."""

    inputs: tuple[str, ...]
    output: str
    width: int


@dataclass(frozen=True)
class Block:
    """A transformer block: its name from the network's root, and its two halves."""

    name: str
    attention: Attention
    feed_forward: FeedForward


@dataclass(frozen=True)
class _Family:
    """How a family names the parts, relative to a block."""

    attention: str
    query: str
    key: str
    value: str
    output: str
    inputs: tuple[str, ...]
    down: str


_FAMILIES = (
    _Family(
        "attention.self",
        "attention.self.query",
        "attention.self.key",
        "attention.self.value",
        "attention.output.dense",
        ("intermediate.dense",),
        "output.dense",
    ),
    _Family(
        "attention",
        "attention.q_lin",
        "attention.k_lin",
        "attention.v_lin",
        "attention.out_lin",
        ("ffn.lin1",),
        "ffn.lin2",
    ),
    _Family("attn", "attn.c_attn", "attn.c_attn", "attn.c_attn", "attn.c_proj", ("mlp.c_fc",), "mlp.c_proj"),
    _Family(
        "self_attn",
        "self_attn.q_proj",
        "self_attn.k_proj",
        "self_attn.v_proj",
        "self_attn.o_proj",
        ("mlp.gate_proj", "mlp.up_proj"),
        "mlp.down_proj",
    ),
    _Family(
        "self_attn",
        "self_attn.q_proj",
        "self_attn.k_proj",
        "self_attn.v_proj",
        "self_attn.out_proj",
        ("mlp.fc1",),
        "mlp.fc2",
    ),
)


def encoder_layers(network: nn.Module) -> nn.ModuleList:
    """The list of a transformer's blocks, wherever the architecture keeps it. Raises BuildError."""
    return _named_layers(network)[1]


def block_names(network: nn.Module) -> list[str]:
    """Names of the blocks from the network's root, of any family. Raises BuildError."""
    name, layers = _named_layers(network)
    return [f"{name}.{number}" for number in range(len(layers))]


def output_layer(network: nn.Module, outputs: int) -> nn.Linear:
    """The linear layer that gives the logits: the last one with that many outputs. Raises BuildError."""
    layers = [m for m in network.modules() if isinstance(m, nn.Linear) and m.out_features == outputs]
    if not layers:
        raise BuildError(f"{type(network).__name__}: no linear layer gives {outputs} outputs")
    return layers[-1]


def logits_layer(network: Any) -> nn.Linear | None:
    """The layer that gives the answers: a language model's own, or the last one with a label an output.

    None where it is no nn.Linear any more, and of a network that has none (`has_logits_layer = False`).
    """
    if not getattr(network, "has_logits_layer", True):
        return None
    own = getattr(network, "get_output_embeddings", lambda: None)()
    if own is not None:
        return own if isinstance(own, nn.Linear) else None
    layers = [m for m in network.modules() if isinstance(m, nn.Linear)]
    fitting = [layer for layer in layers if layer.out_features == network.config.num_labels]
    return fitting[-1] if fitting else None


def blocks(network: nn.Module) -> list[Block]:
    """The blocks with their parts. Raises BuildError for a family that is not known.

    Conv1D layers count as linear ones; a step that changes them turns them into nn.Linear first
    (linear_layers.py).
    """
    return [_block(network, name) for name in block_names(network)]


def _named_layers(network: nn.Module) -> tuple[str, nn.ModuleList]:
    config: Any = network.config
    if not hasattr(config, "num_hidden_layers"):
        raise BuildError(
            f"{type(network).__name__} has no one list of transformer blocks; of a model of two towers name "
            'one, or both: in_tower = { tower = "vision", steps = [{ … = {} }] }'
        )
    wanted = int(config.num_hidden_layers)
    found = [
        (name, module)
        for name, module in network.named_modules()
        if isinstance(module, nn.ModuleList)
        and len(module) == wanted
        and wanted > 0
        # what a weight is computed by while a step trains is a list as well, of one module
        and not isinstance(module, ParametrizationList)
    ]
    if not found:
        raise BuildError(f"{type(network).__name__}: no list of its {wanted} transformer blocks was found")
    return found[0]


def _block(network: nn.Module, name: str) -> Block:
    block = network.get_submodule(name)
    inside = {inner for inner, _ in block.named_modules()}
    for family in _FAMILIES:
        if {family.query, family.output, family.down, *family.inputs} <= inside:
            return _parts(network, name, family)
    raise BuildError(
        f"{type(network).__name__}: the parts of its blocks are not known; known are the families of BERT, "
        "DistilBERT, GPT-2, Llama and CLIP"
    )


def _parts(network: nn.Module, name: str, family: _Family) -> Block:
    holder: Any = network.get_submodule(f"{name}.{family.attention}")
    head_dim = int(getattr(holder, "head_dim", None) or holder.attention_head_size)
    query, key = (width(network.get_submodule(f"{name}.{part}"))[1] for part in (family.query, family.key))
    if family.query == family.key:
        query = key = query // 3
    attention = Attention(
        module=f"{name}.{family.attention}",
        query=f"{name}.{family.query}",
        key=f"{name}.{family.key}",
        value=f"{name}.{family.value}",
        output=f"{name}.{family.output}",
        heads=query // head_dim,
        kv_heads=key // head_dim,
        head_dim=head_dim,
    )
    down = f"{name}.{family.down}"
    feed_forward = FeedForward(
        inputs=tuple(f"{name}.{part}" for part in family.inputs),
        output=down,
        width=width(network.get_submodule(down))[0],
    )
    return Block(name, attention, feed_forward)


def width(layer: nn.Module) -> tuple[int, int]:
    """(in_features, out_features) of a linear layer of any class, Conv1D too. Raises BuildError."""
    if hasattr(layer, "nx"):  # transformers' Conv1D
        return int(layer.nx), int(layer.nf)  # type: ignore[arg-type]
    if not hasattr(layer, "in_features"):
        raise BuildError(f"{type(layer).__name__} is no linear layer")
    return int(layer.in_features), int(layer.out_features)  # type: ignore[arg-type]

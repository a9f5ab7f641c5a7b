"""The parts of a transformer that compression changes, found by the names that each family gives them.

    for block in blocks(network):
        block.attention.query, block.attention.heads, block.feed_forward.output

families.py lists the families. A model of another type is recognized if its layers have a family's names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import nn
from torch.nn.utils.parametrize import ParametrizationList

from slimgate.errors import BuildError
from slimgate.models.families import FAMILY_NAMES, LAYOUTS, Layout, find_family

if TYPE_CHECKING:
    from transformers import PreTrainedConfig


@dataclass(frozen=True)
class Attention:
    """Names of the linear layers of a block's self-attention, from the network's root.

    module: the module that holds head counts. A fused layer is query, key and value in one, in that order.
    heads, kv_heads, head_dim: from the layers' shapes, which may differ from block to block.
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

    @property
    def widths(self) -> tuple[int, int, int]:
        """The number of outputs of query, key and value."""
        inner = self.kv_heads * self.head_dim
        return self.heads * self.head_dim, inner, inner


@dataclass(frozen=True)
class FeedForward:
    """Names of the linear layers of a block's feed-forward part: (up,) or (gate, up), then output.

    If a name occurs twice in `inputs`, the layer is fused: the first half of its outputs is the gate, the
    second half is up. width: the number of neurons; 0 if a step has removed the part, and for a mixture of
    experts, which has several such parts.
    """

    inputs: tuple[str, ...]
    output: str
    width: int

    def list_rows(self, neurons: Sequence[int]) -> dict[str, list[int]]:
        """For each input layer, its outputs that form these neurons."""
        rows: dict[str, list[int]] = {}
        for name in self.inputs:
            offset = self.width if name in rows else 0
            rows.setdefault(name, []).extend(offset + neuron for neuron in neurons)
        return rows


@dataclass(frozen=True)
class Block:
    """A transformer block: its name from the network's root, and its two halves."""

    name: str
    attention: Attention
    feed_forward: FeedForward


def find_only_block_list(network: nn.Module) -> nn.ModuleList:
    """The list of a transformer's blocks.

    Raises BuildError if no list is found, and for an encoder-decoder, which has two lists.
    """
    lists = find_block_lists(network)
    if len(lists) > 1:
        raise BuildError(
            f"{type(network).__name__} has {len(lists)} lists of blocks ({', '.join(lists)}), expected one"
        )
    return next(iter(lists.values()))


def find_block_lists(network: nn.Module) -> dict[str, nn.ModuleList]:
    """Name -> list of blocks: one list, or two for an encoder-decoder. Raises BuildError if none is found."""
    config: PreTrainedConfig = network.config
    family = find_family(config)
    lists = {name: layers for name, layers in network.named_modules() if isinstance(layers, nn.ModuleList)}
    if family is None or not family.lists:
        return _select_configured_list(network, lists)
    endings = tuple(f".{ending}" for ending in family.lists)
    block_lists = {name: layers for name, layers in lists.items() if f".{name}".endswith(endings)}
    if not block_lists:
        raise BuildError(f"{type(network).__name__}: no list of its transformer blocks was found")
    return block_lists


def list_block_modules(network: nn.Module) -> list[nn.Module]:
    """All blocks; for an encoder-decoder the encoder's, then the decoder's. Raises BuildError."""
    return [block for layers in find_block_lists(network).values() for block in layers]


def list_block_names(network: nn.Module) -> list[str]:
    """Names of `list_block_modules` from the network's root, for any family. Raises BuildError."""
    lists = find_block_lists(network).items()
    return [f"{name}.{number}" for name, layers in lists for number in range(len(layers))]


def find_output_linear(network: nn.Module, outputs: int) -> nn.Linear:
    """The linear layer that gives the logits: the last layer with that many outputs. Raises BuildError."""
    layers = [m for m in network.modules() if isinstance(m, nn.Linear) and m.out_features == outputs]
    if not layers:
        raise BuildError(f"{type(network).__name__}: no linear layer gives {outputs} outputs")
    return layers[-1]


def find_logits_layer(network: nn.Module) -> nn.Linear | None:
    """The layer that gives the logits: a language model's output layer, or the last with an output per label.

    None if it is no nn.Linear any more, and for a network without one (`has_logits_layer = False`).
    """
    if not getattr(network, "has_logits_layer", True):
        return None
    embeddings = getattr(network, "get_output_embeddings", lambda: None)()
    if embeddings is not None:
        return embeddings if isinstance(embeddings, nn.Linear) else None
    layers = [m for m in network.modules() if isinstance(m, nn.Linear)]
    config: Any = network.config
    fitting = [layer for layer in layers if layer.out_features == config.num_labels]
    return fitting[-1] if fitting else None


def blocks(network: nn.Module) -> list[Block]:
    """Finds the blocks of a network, with their parts.

    Conv1D layers count as linear; a step that changes them turns them into nn.Linear first
    (plain_layers.py).

    Args:
        network: a network of a known family.

    Raises:
        BuildError: for another family, or if no list of blocks is found.
    """
    return [_resolve_block(network, name) for name in list_block_names(network)]


def _select_configured_list(network: nn.Module, lists: dict[str, nn.ModuleList]) -> dict[str, nn.ModuleList]:
    """The first list with as many modules as the configuration has blocks. Raises BuildError."""
    config: PreTrainedConfig = network.config
    if not hasattr(config, "num_hidden_layers"):
        raise BuildError(
            f"{type(network).__name__} does not have a single list of transformer blocks; for a model "
            'with two towers, choose one or both with in_tower = { tower = "vision", steps = [{ … = {} }] '
            "}"
        )
    length = int(config.num_hidden_layers)
    lists_of_length = [
        (name, layers)
        for name, layers in lists.items()
        if len(layers) == length
        and length > 0
        # A parametrization, which computes a weight while a step trains, is also a list, of one module.
        and not isinstance(layers, ParametrizationList)
    ]
    if not lists_of_length:
        raise BuildError(f"{type(network).__name__}: no list of its {length} transformer blocks was found")
    return dict(lists_of_length[:1])


def _resolve_block(network: nn.Module, name: str) -> Block:
    inside = {inner for inner, _ in network.get_submodule(name).named_modules()}
    family = find_family(network.config)
    for layout in LAYOUTS if family is None else family.layouts:
        if layout.names <= inside:
            return _make_block_from_layout(network, name, layout)
    raise BuildError(
        f"{type(network).__name__}: the parts of its blocks are not known; known are the families "
        f"{FAMILY_NAMES}"
    )


def _make_block_from_layout(network: nn.Module, name: str, layout: Layout) -> Block:
    holder: Any = network.get_submodule(f"{name}.{layout.attention}")
    attributes = ("head_dim", "attention_head_size", "key_value_proj_dim")
    head_dim = int(next(value for attribute in attributes if (value := getattr(holder, attribute, None))))
    query, key = (
        read_layer_size(network.get_submodule(f"{name}.{part}"))[1] for part in (layout.query, layout.key)
    )
    if layout.query == layout.key:
        inner = read_layer_size(network.get_submodule(f"{name}.{layout.output}"))[0]
        query, key = inner, (query - inner) // 2
    attention = Attention(
        module=f"{name}.{layout.attention}",
        query=f"{name}.{layout.query}",
        key=f"{name}.{layout.key}",
        value=f"{name}.{layout.value}",
        output=f"{name}.{layout.output}",
        heads=query // head_dim,
        kv_heads=key // head_dim,
        head_dim=head_dim,
    )
    return Block(name, attention, _make_feed_forward(network, name, layout))


def _make_feed_forward(network: nn.Module, name: str, layout: Layout) -> FeedForward:
    if not layout.inputs:
        return FeedForward((), "", 0)
    down = f"{name}.{layout.down}"
    inputs = tuple(f"{name}.{part}" for part in layout.inputs)
    return FeedForward(inputs, down, read_layer_size(network.get_submodule(down))[0])


def read_layer_size(layer: nn.Module) -> tuple[int, int]:
    """(in_features, out_features) of a linear layer of any class, including Conv1D. Raises BuildError."""
    if hasattr(layer, "nx"):  # transformers' Conv1D
        return int(layer.nx), int(layer.nf)  # type: ignore[arg-type]
    if not hasattr(layer, "in_features"):
        raise BuildError(f"{type(layer).__name__} is not a linear layer")
    return int(layer.in_features), int(layer.out_features)  # type: ignore[arg-type]

"""The outputs of a network's modules while it runs.

    with watch_outputs(network, ["bert.encoder.layer.0"]) as outputs:
        network(**batch)
    outputs.values["bert.encoder.layer.0"]      # (rows, tokens, features), with its gradient

It also follows one row through a network: the output shapes of its parts, and the types of their weights.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn

from slimgate.errors import BuildError
from slimgate.models.blocks import list_block_names

if TYPE_CHECKING:
    from slimgate.models.two_towers import TwoTowers

# Errors of an unknown network: its configuration or parts may differ, or it may need other inputs.
UNKNOWN = (AttributeError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError)
_MOST_PROBABLE = 3


@dataclass
class Outputs:
    """What modules gave in a forward pass.

    values: name of a module -> its last output, of a tuple the first part; rotary: (cos, sin) inputs.
    """

    values: dict[str, torch.Tensor] = field(default_factory=dict)
    rotary: dict[str, tuple[torch.Tensor, torch.Tensor]] = field(default_factory=dict)


@contextmanager
def watch_outputs(network: nn.Module, names: Iterable[str]) -> Iterator[Outputs]:
    """Fills the outputs whenever the named modules run, until the block is left."""
    outputs = Outputs()
    with ExitStack() as hooks:
        for name in dict.fromkeys(names):
            module, hook = network.get_submodule(name), _make_hook(name, outputs)
            hooks.enter_context(module.register_forward_hook(hook, with_kwargs=True))
        yield outputs


def _make_hook(name: str, outputs: Outputs) -> Any:
    def hook(
        _module: nn.Module,
        _inputs: object,
        keywords: dict[str, Any],
        output: torch.Tensor | tuple[torch.Tensor, ...],
    ) -> None:
        outputs.values[name] = output[0] if isinstance(output, tuple) else output
        if keywords.get("position_embeddings") is not None:
            outputs.rotary[name] = keywords["position_embeddings"]

    return hook


def follow_row(network: nn.Module, inputs: dict[str, torch.Tensor]) -> dict[str, Any]:
    """Plain facts as in RowShapes of the record, except id; next_tokens are (token id, probability).

    inputs: of one row, on the network's device: input_ids (1, tokens), … A part that the network does not
    have, or that its family does not name, is left out, and `note` says so.
    """
    notes: list[str] = []
    embedding, names = _find_embedding(network), _list_known_blocks(network, notes)
    with (
        watch_outputs(network, [*([embedding] if embedding else []), *names]) as seen,
        torch.inference_mode(),
    ):
        output = network(**inputs)
    if embedding is None:
        notes.append("its token embeddings are not known")
    logits = getattr(output, "logits", None)
    if logits is None:
        notes.append("its output has no logits")
    if unused := [name for name in names if name not in seen.values]:
        notes.append(f"these blocks did not run: {', '.join(unused)}")
    return {
        "inputs": {name: list(tensor.shape) for name, tensor in inputs.items()},
        "embeddings": _make_output_entry(network, embedding, seen.values) if embedding else None,
        "blocks": [_make_output_entry(network, name, seen.values) for name in names if name in seen.values],
        "logits": None if logits is None else {"shape": list(logits.shape), "dtype": _format_dtype(logits)},
        "next_tokens": _find_next_tokens(network, logits),
        "note": "; ".join(notes) or None,
    }


def _list_known_blocks(network: nn.Module, notes: list[str]) -> list[str]:
    try:
        if not hasattr(network, "view_as"):
            return list_block_names(network)
        names = []
        pair = cast("TwoTowers", network)
        for tower in pair.towers:
            with pair.view_as(tower):
                names += list_block_names(network)
        return names
    except (BuildError, *UNKNOWN) as error:
        notes.append(f"its blocks are not known ({error})")
        return []


def _find_embedding(network: nn.Module) -> str | None:
    """The module that turns token ids into vectors, whatever its class after earlier steps."""
    names: dict[int, str] = {id(module): name for name, module in network.named_modules()}
    for module in network.modules():
        get: Any = getattr(module, "get_input_embeddings", None)
        if get is not None and id(get()) in names:
            return names[id(get())]
    return None


def _make_output_entry(network: nn.Module, name: str, seen: dict[str, torch.Tensor]) -> dict[str, Any] | None:
    if name not in seen:
        return None
    value = seen[name]
    return {
        "shape": list(value.shape),
        "dtype": _format_dtype(value),
        "weights": _list_weight_types(network, name),
    }


def _list_weight_types(network: nn.Module, name: str) -> str | None:
    """Types of the matrices that a module stores, the type of most numbers first; packed bits are uint8."""
    counts: Counter[str] = Counter()
    module = network.get_submodule(name)
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.dim() > 1:
            counts[_format_dtype(tensor)] += tensor.numel()
    return ", ".join(name for name, _ in counts.most_common()) or None


def _format_dtype(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _find_next_tokens(network: nn.Module, logits: torch.Tensor | None) -> list[tuple[int, float]]:
    """The most probable tokens after the last one, if the network scores its whole vocabulary."""
    vocabulary = getattr(network.config, "vocab_size", None)
    if logits is None or logits.dim() != 3 or logits.shape[-1] != vocabulary:
        return []
    best = torch.softmax(logits[0, -1].double(), dim=-1).topk(_MOST_PROBABLE)
    return list(zip(best.indices.tolist(), best.values.tolist(), strict=True))

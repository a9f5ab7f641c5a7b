"""In which block do the hidden states of a compressed decoder first differ from the teacher's?

Errors add up from block to block, so the error after a block does not show where it began. So each block of
the variant also gets the hidden states that the teacher's block got. The difference in its output is then
the block's own error.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from slimgate.errors import BuildError
from slimgate.models.blocks import list_block_names
from slimgate.results.behaviour import BlockErrorFacts

EMBEDDINGS, OUTPUT = "embeddings", "output"
# If a block's own error is this many times the median of the blocks, that block is faulty. In the Llama of
# bench/checkpoints.toml the worst block of gptq in 4 bits has 1.8 to 2.8 times the median. A block whose zero
# points are off by one has 17 times, and one with transposed matrices 114 times or more.
STANDS_OUT = 4.0


@dataclass(frozen=True)
class BlockErrors:
    """The parts in order: the embeddings, the blocks, the output (final norm and logits)."""

    parts: tuple[BlockErrorFacts, ...]

    @property
    def worst(self) -> BlockErrorFacts:
        """The part with the largest `own`."""
        return max(self.parts, key=lambda part: part.own)

    @property
    def ratio(self) -> float | None:
        """The largest `own` over the median of the blocks; None if the median is 0."""
        usual = median(part.own for part in self.parts[1:-1])
        return self.worst.own / usual if usual > 0 else None

    @property
    def stands_out(self) -> bool:
        """Whether one part is far worse than the others."""
        return self.worst.own > 0 if self.ratio is None else self.ratio >= STANDS_OUT


@torch.inference_mode()
def measure_block_errors(teacher: nn.Module, variant: nn.Module, inputs: Mapping[str, Tensor]) -> BlockErrors:
    """Measures the errors of the variant's embeddings, blocks and output against the teacher's.

    inputs: input_ids and attention_mask of some rows. Raises BuildError if the networks' blocks differ.
    """
    names, variant_names = list_block_names(teacher), list_block_names(variant)
    if len(names) != len(variant_names):
        raise BuildError(f"the teacher has {len(names)} blocks, the variant {len(variant_names)}")
    expected = _record_states(teacher, names, inputs)
    states = _record_states(variant, variant_names, inputs)
    for before, state in zip(expected, states, strict=True):
        if before.shape != state.shape:
            raise BuildError(
                f"the teacher's hidden states have the shape {tuple(before.shape)}, and the variant's have "
                f"{tuple(state.shape)}; only equal shapes can be compared"
            )
    # the states after each part if the part reads the teacher's states
    part_states = _record_states(variant, variant_names, inputs, replacements=expected)
    is_token = inputs["attention_mask"].bool()
    parts = []
    for place, name in enumerate((EMBEDDINGS, *variant_names, OUTPUT)):
        right, change = expected[place][is_token], _compute_change(expected, place)[is_token]
        own_error = _compute_error(part_states[place][is_token], right, change)
        after = _compute_error(states[place][is_token], right, right)
        parts.append(BlockErrorFacts(name=name, own=own_error, after=after))
    return BlockErrors(tuple(parts))


def _compute_change(states: Sequence[Tensor], place: int) -> Tensor:
    """The change that a part makes to the hidden states; for embeddings and logits the states themselves."""
    return states[place] - states[place - 1] if 0 < place < len(states) - 1 else states[place]


def _compute_error(state: Tensor, expected: Tensor, scale: Tensor) -> float:
    size = float(scale.norm())
    return float((state - expected).norm()) / size if size > 0 else 0.0


def _record_states(
    network: nn.Module,
    names: Sequence[str],
    inputs: Mapping[str, Tensor],
    replacements: Sequence[Tensor] | None = None,
) -> list[Tensor]:
    """Float32: the input of the first block, the output of each block, and the logits minus their mean.

    replacements: such states of another network, which each block and the output part get as inputs.
    """
    states: list[Tensor] = []
    blocks = [network.get_submodule(name) for name in names]
    with _with_recording_hooks(blocks, states, replacements):
        logits = network(**inputs, use_cache=False).logits.float()
    return [*states, logits - logits.mean(-1, keepdim=True)]


@contextmanager
def _with_recording_hooks(
    blocks: Sequence[nn.Module], states: list[Tensor], replacements: Sequence[Tensor] | None
) -> Iterator[None]:
    """Inside, adds the first block's input and each block's output to `states`. replacements: as above."""

    def make_input_hook(block: int) -> Any:
        def hook(_block: nn.Module, args: tuple[Tensor, ...], keywords: dict[str, Tensor]) -> Any:
            state = args[0] if args else keywords["hidden_states"]
            if block == 0:
                states.append(state.float())
            if replacements is None:
                return None
            state = replacements[block].to(state.dtype)
            return ((state, *args[1:]), keywords) if args else (args, {**keywords, "hidden_states": state})

        return hook

    def make_output_hook(block: int) -> Any:
        def hook(_block: nn.Module, _args: object, output: Tensor | tuple[Tensor, ...]) -> Any:
            state = output[0] if isinstance(output, tuple) else output
            states.append(state.float())
            if replacements is None or block < len(blocks) - 1:
                return None
            state = replacements[-2].to(state.dtype)
            return (state, *output[1:]) if isinstance(output, tuple) else state

        return hook

    with ExitStack() as hooks:
        for number, block in enumerate(blocks):
            input_hook = make_input_hook(number)
            hooks.enter_context(block.register_forward_pre_hook(input_hook, with_kwargs=True))
            hooks.enter_context(block.register_forward_hook(make_output_hook(number)))
        yield

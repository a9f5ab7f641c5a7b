"""Writes text with a causal language model, from the first tokens of other texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

import torch

from slimgate.errors import BuildError
from slimgate.models.config import read_max_positions
from slimgate.models.seeding import isolated_seed
from slimgate.models.special_tokens import list_end_tokens

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

BATCH_ROWS = 128


class Sampling(Protocol):
    """How answers are drawn. tokens: the most new tokens; top_k = 0 draws from the whole vocabulary."""

    @property
    def tokens(self) -> int: ...
    @property
    def temperature(self) -> float: ...
    @property
    def top_k(self) -> int: ...


def can_write(network: nn.Module | None) -> bool:
    """Whether the network is a language model of transformers."""
    return bool(getattr(network, "can_generate", lambda: False)())


@torch.inference_mode()
def continue_prompts(
    network: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Sequence[int]],
    sampling: Sampling,
    *,
    seed: int,
    endless: bool = False,
    on_progress: Callable[[int], object] = lambda _done: None,
) -> list[list[int]]:
    """The new token ids after each prompt, up to the model's end token. prompts: at least one token each.

    endless: the end token never occurs, so that all texts have the same length. on_progress: called with the
    number of finished prompts. Raises BuildError for a network that writes no text.
    """
    if not can_write(network):
        raise BuildError(
            f"{type(network).__name__} does not generate text: expected a causal language model of "
            "transformers"
        )
    _check_positions(network, prompts, sampling.tokens)
    ends = list_end_tokens(tokenizer, network)
    answers: list[list[int]] = []
    with isolated_seed(seed):
        for start in range(0, len(prompts), BATCH_ROWS):
            batch = prompts[start : start + BATCH_ROWS]
            answers += _write_batch(network, tokenizer, batch, sampling, ends=ends, endless=endless)
            on_progress(len(answers))
    return answers


def count_positions(network: PreTrainedModel) -> int | None:
    """How many tokens a text of the network may have; None if its configuration does not say."""
    return read_max_positions(network.config.to_dict())


def _check_positions(network: PreTrainedModel, prompts: Sequence[Sequence[int]], tokens: int) -> None:
    longest, max_positions = max(map(len, prompts), default=0), count_positions(network)
    if max_positions is not None and longest + tokens > max_positions:
        raise BuildError(
            f"{tokens} new tokens after prompts of {longest}, but {type(network).__name__} has positions "
            f"for {max_positions} tokens; lower tokens or prompt_tokens"
        )


def _write_batch(
    network: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Sequence[int]],
    sampling: Sampling,
    *,
    ends: set[int],
    endless: bool,
) -> list[list[int]]:
    """Writes to some prompts, padded on the left, so that nothing is between a prompt and its text."""
    padding, width = tokenizer.pad_token_id or 0, max(map(len, prompts))
    suppressed = {tokenizer.pad_token_id} - {None} - ends | (ends if endless else set())
    ids = [[padding] * (width - len(prompt)) + list(prompt) for prompt in prompts]
    mask = [[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts]
    device = next(network.parameters()).device
    written = network.eval().generate(
        input_ids=torch.tensor(ids, device=device),
        attention_mask=torch.tensor(mask, device=device),
        max_new_tokens=sampling.tokens,
        do_sample=True,
        temperature=sampling.temperature,
        top_k=sampling.top_k,
        top_p=1.0,
        pad_token_id=min(ends, default=padding),  # fills up texts that have ended
        eos_token_id=sorted(ends) or None,
        suppress_tokens=sorted(suppressed) or None,
        use_cache=True,
    )
    return [_cut_at_end(row, ends) for row in written[:, width:].tolist()]


def _cut_at_end(ids: list[int], ends: set[int]) -> list[int]:
    """The ids before the first end token."""
    stop = next((place for place, token in enumerate(ids) if token in ends), len(ids))
    return ids[:stop]

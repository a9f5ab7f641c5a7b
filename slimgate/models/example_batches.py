"""Random token ids as inputs: an exporter takes shapes from them, and two forms of a model are compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from slimgate.plugins.base import Arrays

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase

ROWS = (3, 5)
TOKENS = (12, 9)
PADDED = 3
SEED = 0


def draw_example_batches(
    tokenizer: PreTrainedTokenizerBase, config: PreTrainedConfig
) -> tuple[Arrays, Arrays]:
    """Two batches that differ in rows and in tokens; the last row of each ends in padding.

    Their names are those of the tokenizer's outputs: (rows, tokens) int64.
    """
    generator = np.random.default_rng(SEED)
    names = list(tokenizer("a"))
    first, other = (
        _draw_batch(tokenizer, config, names, generator, (rows, tokens))
        for rows, tokens in zip(ROWS, TOKENS, strict=True)
    )
    return first, other


def _draw_batch(
    tokenizer: PreTrainedTokenizerBase,
    config: PreTrainedConfig,
    names: list[str],
    generator: np.random.Generator,
    shape: tuple[int, int],
) -> Arrays:
    padding = tokenizer.pad_token_id
    known = np.arange(min(len(tokenizer), config.vocab_size))
    ids = generator.choice(known[known != padding], shape)
    mask = np.ones(shape, dtype=np.int64)
    end = slice(-PADDED, None) if tokenizer.padding_side == "right" else slice(None, PADDED)
    ids[-1, end], mask[-1, end] = padding, 0
    arrays = {"input_ids": ids.astype(np.int64), "attention_mask": mask}
    return {name: arrays.get(name, np.zeros(shape, dtype=np.int64)) for name in names}

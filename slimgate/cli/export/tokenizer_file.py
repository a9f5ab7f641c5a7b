"""Stores in tokenizer.json how texts are cut and padded, so that the library `tokenizers` needs no options.

Then the lines of an exported graph call that library directly. It is faster than transformers' tokenizer, and
it is what slimgate times in calls from text to answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase

FILE = "tokenizer.json"
# A tokenizer without a limit has a larger model_max_length.
LONGEST = 10**9


def store_length_rules(tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Writes truncation and padding into tokenizer.json, as the tokenizer's own attributes state them.

    transformers ignores both: its calls state what they want. Does nothing without the file.
    """
    file = folder / FILE
    if not file.exists():
        return
    from tokenizers import Tokenizer

    stored = Tokenizer.from_file(str(file))
    if tokenizer.model_max_length < LONGEST:
        stored.enable_truncation(tokenizer.model_max_length, direction=tokenizer.truncation_side)
    else:
        stored.no_truncation()
    stored.enable_padding(
        direction=tokenizer.padding_side,
        pad_id=tokenizer.pad_token_id,
        pad_type_id=tokenizer.pad_token_type_id,
        pad_token=str(tokenizer.pad_token),
    )
    stored.save(str(file), pretty=False)


def is_enough(tokenizer: PreTrainedTokenizerBase, folder: Path, columns: Sequence[Sequence[str]]) -> bool:
    """Whether `tokenizers` alone, with tokenizer.json, gives the tokens that transformers gives.

    tokenizer: of transformers. columns: one sequence of texts for each text column. Two are also compared as
    pairs.
    """
    if not (folder / FILE).exists() or tokenizer.split_special_tokens:
        return False
    from tokenizers import Tokenizer

    stored = Tokenizer.from_file(str(folder / FILE))
    inputs: list[list[Any]] = [list(column) for column in columns]
    if len(columns) == 2:
        inputs.append(list(zip(*columns, strict=True)))
    return all(_has_same_tokens(stored, tokenizer, texts) for texts in inputs)


def _has_same_tokens(stored: Tokenizer, tokenizer: PreTrainedTokenizerBase, texts: list[Any]) -> bool:
    rows = stored.encode_batch_fast(texts)
    columns = {
        "input_ids": [row.ids for row in rows],
        "attention_mask": [row.attention_mask for row in rows],
        "token_type_ids": [row.type_ids for row in rows],
    }
    expected = tokenizer(texts, padding=True, truncation=True)
    return all(columns.get(name) == values for name, values in expected.items())

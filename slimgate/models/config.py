"""Facts in a model's config.json: its blocks, the longest text, the labels of its outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field, Strict

from slimgate.errors import SuiteError
from slimgate.plugins.base import Json
from slimgate.plugins.models import ModelRef

# Block numbers in the options of a step, from 0.
BlockNumbers = Annotated[tuple[Annotated[int, Field(ge=0, strict=True)], ...], Strict(False)]

# Families that number positions from the padding token's id plus one.
OFFSET_POSITIONS = frozenset(
    {
        "camembert",
        "data2vec-text",
        "esm",
        "ibert",
        "longformer",
        "mpnet",
        "roberta",
        "roberta-prelayernorm",
        "xlm-roberta",
        "xlm-roberta-xl",
        "xmod",
    }
)
# Families whose attention uses distances, so that texts may have any length.
RELATIVE_POSITIONS = frozenset({"t5", "mt5", "umt5", "longt5"})
# The names in T5's config.json, and in that of BART and Marian, whose num_hidden_layers is the encoder's too.
_BLOCKS = ("num_hidden_layers", "n_layers", "n_layer", "encoder_layers", "num_layers")
_DECODER_BLOCKS = ("decoder_layers", "num_decoder_layers")
# Keys with a value for each block whose names do not begin with "layer", as layer_types does.
_BY_BLOCK = frozenset({"attention_layers", "attention_window", "mlp_layer_types", "no_rope_layers"})


def find_stated_value(config: Json, *names: str) -> Any:
    """The value of the first of these keys that the configuration states; null is no value. Else None."""
    return next((config[name] for name in names if config.get(name) is not None), None)


def count_blocks(config: Json) -> int | None:
    """The number of blocks of a model with this configuration, under any name; None if it states none."""
    blocks = find_stated_value(config, *_BLOCKS)
    return blocks if isinstance(blocks, int) else None


def compute_head_size(config: Json) -> int | None:
    """hidden_size / num_attention_heads; None if the configuration leaves one of them to its default."""
    width, heads = config.get("hidden_size"), config.get("num_attention_heads")
    return width // heads if width and heads else None


def count_decoder_blocks(config: Json) -> int | None:
    """The number of an encoder-decoder's decoder blocks; T5's equals the encoder's if it is not stated."""
    blocks = find_stated_value(config, *_DECODER_BLOCKS, "num_layers")
    return blocks if isinstance(blocks, int) else None


def replace_block_counts(config: Json, encoder: int | None, decoder: int | None) -> dict[str, Any]:
    """The configuration of an encoder-decoder with these numbers of blocks; None keeps a number."""
    encoder, decoder = encoder or count_blocks(config), decoder or count_decoder_blocks(config)
    counts = {**dict.fromkeys(_BLOCKS, encoder), **dict.fromkeys(_DECODER_BLOCKS, decoder)}
    replaced = {key: count for key, count in counts.items() if config.get(key) is not None}
    if "num_layers" in replaced:  # T5: without its own number, the decoder has the encoder's
        replaced["num_decoder_layers"] = decoder
    return {**config, **replaced}


def select_by_block(config: Json, blocks: int, remaining: Sequence[int]) -> dict[str, list[Any]]:
    """The settings that have a value for each block, such as layer_types, with the values of these blocks.

    blocks: of the configuration; remaining: numbers of blocks from 0.
    """
    selected = {
        key: [value[number] for number in remaining]
        for key, value in config.items()
        if isinstance(value, list | tuple)
        and len(value) == blocks
        and (key.startswith("layer") or key in _BY_BLOCK)
    }
    if "attention_layers" in selected:  # which GPT-Neo makes from patterns and their counts
        selected["attention_types"] = [[selected["attention_layers"], 1]]
    return selected


def check_numbers(numbers: Sequence[int], blocks: int | None, option: str = "") -> None:
    """Raises SuiteError for a block that the model does not have. option: text before the numbers.

    blocks: how many the model has; None: unknown.
    """
    if blocks is not None and numbers and max(numbers) >= blocks:
        choice = f"{option} {list(numbers)}".strip()
        raise SuiteError(f"{choice} was given, but the model has blocks 0 to {blocks - 1} at this step")


def read_max_positions(config: Json) -> int | None:
    """How many tokens a model of this config.json has positions for; None if it does not say."""
    if config.get("model_type") in RELATIVE_POSITIONS:
        return None
    longest = find_stated_value(config, "max_position_embeddings", "n_positions")
    if not isinstance(longest, int):
        return None
    if config.get("model_type") in OFFSET_POSITIONS:
        padding = config.get("pad_token_id")
        longest -= (1 if padding is None else int(padding)) + 1
    return longest


def check_positions(max_tokens: int, ref: ModelRef, config: Json) -> None:
    """Checks that a model has positions for a row's tokens.

    Args:
        max_tokens: the tokens of a row.
        ref: names the model, for the message.
        config: its config.json.

    Raises:
        SuiteError: if the model has fewer positions.
    """
    longest = read_max_positions(config)
    if longest is not None and max_tokens > longest:
        raise SuiteError(f"max_tokens = {max_tokens}, but {ref.text} has positions for {longest} tokens")


def list_model_labels(config: Json) -> list[str]:
    """The label of each output, as the model's configuration names them.

    Raises SuiteError if id2label is not a table of numbers and names.
    """
    labels = config.get("id2label") or {i: f"LABEL_{i}" for i in range(config.get("num_labels") or 2)}
    try:
        return [str(labels[key]) for key in sorted(labels, key=int)]
    except (TypeError, ValueError, IndexError):
        raise SuiteError(
            f'id2label of a model\'s config.json is {labels!r:.60}, expected {{"0": name, "1": name, …}}'
        ) from None

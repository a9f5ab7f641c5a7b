"""Trims a vocabulary to the tokens that rows use, in the tokenizer and the model."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from slimgate.errors import BuildError
from slimgate.models.config import OFFSET_POSITIONS
from slimgate.models.saved_files import load_tokenizer
from slimgate.plugins.base import Json
from slimgate.plugins.context import BuildContext
from slimgate.steps.factorize._tokenizer_json import (
    list_common_ids,
    list_needed_ids,
    read_state,
    trim_tokenizer,
)
from slimgate.steps.factorize._vocabulary import Counts, count_tokens, trim_network_

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from slimgate.models.torch_model import TorchModel
    from slimgate.steps.factorize.trim_vocabulary import Params


def trim_vocabulary_(model: TorchModel, params: Params, context: BuildContext) -> Json:
    """Trims the model's tokenizer and its token tables; returns the log. Raises BuildError, DataError."""
    counts = count_tokens(model, context, params.corpus)
    if "selection" not in counts and len(context.splits.get("selection", ())):
        counts |= count_tokens(model, context, ("selection",))
    state = read_state(model.tokenizer)
    always = _list_required_ids(model, params.keep)
    kept_ids = _choose_kept_ids(state, _sum_counts(counts, params.corpus), always, params)
    if kept_ids[-1] >= model.config.vocab_size:
        raise BuildError(
            f"the tokenizer has the token id {kept_ids[-1]}, the model {model.config.vocab_size} token "
            "vectors"
        )
    before = len(model.tokenizer)
    model.tokenizer = rebuild_tokenizer(
        model.tokenizer, trim_tokenizer(state, kept_ids), kept_ids, context.scratch / "tokenizer"
    )
    tables = trim_network_(model, kept_ids)
    log: Json = {"tokens_before": before, "tokens_after": len(kept_ids), "trimmed": tables}
    return {**log, **_compute_shares(state, counts, always, kept_ids, params)}


def _sum_counts(counts: Mapping[str, Counts], splits: Sequence[str]) -> Counts:
    return np.sum([counts[split] for split in splits if split in counts], axis=0)  # type: ignore[no-any-return]


def _choose_kept_ids(state: Json, counts: Counts, always: Collection[int], params: Params) -> list[int]:
    """Ids that stay: those used often enough, limited to vocab_size, or filled up to it."""
    often = [int(i) for i in np.argsort(-counts, kind="stable") if counts[i] >= params.min_count]
    if params.vocab_size is None:
        return list_needed_ids(state, {*often, *always})
    often = list(dict.fromkeys([*often, *list_common_ids(state)]))

    def size(used: int) -> int:
        return len(list_needed_ids(state, {*often[:used], *always}))

    if size(0) > params.vocab_size:
        raise BuildError(
            f"vocab_size = {params.vocab_size}: special tokens and fallback characters alone need {size(0)}"
        )
    used = bisect_right(range(1, len(often) + 1), params.vocab_size, key=size)
    return list_needed_ids(state, {*often[:used], *always})


def _list_required_ids(model: TorchModel, words: Sequence[str]) -> set[int]:
    """Ids that always stay: special ones, the words', and the one that positions count from."""
    config, tokenizer = model.config, model.tokenizer
    numbers = [value for key, value in config.to_dict().items() if key.endswith("_token_id")]
    ids = {i for value in numbers for i in (value if isinstance(value, list) else [value]) if i is not None}
    ids |= set(tokenizer.all_special_ids)
    for word in words:
        ids |= {
            i for text in (word, f" {word}") for i in tokenizer(text, add_special_tokens=False)["input_ids"]
        }
    if config.model_type in OFFSET_POSITIONS:
        ids |= set(range(config.pad_token_id + 1))  # positions depend on its id, which must not change
    known = set(tokenizer.get_vocab().values())
    return {i for i in ids if i in known}


def rebuild_tokenizer(
    tokenizer: PreTrainedTokenizerBase, state: Json, kept_ids: Sequence[int], folder: Path
) -> Any:
    """The tokenizer loaded from a file of this state. Raises BuildError if ids differ."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save_pretrained(folder)
    (folder / "tokenizer.json").write_text(json.dumps(state, ensure_ascii=False), "utf-8")
    settings = folder / "tokenizer_config.json"
    config = json.loads(settings.read_text("utf-8"))
    config.pop("added_tokens_decoder", None)  # tokenizer.json holds them, with their new ids
    settings.write_text(json.dumps(config), "utf-8")
    rebuilt_tokenizer = load_tokenizer(folder)
    tokens = tokenizer.convert_ids_to_tokens(list(kept_ids))
    same_ids = rebuilt_tokenizer.convert_tokens_to_ids(tokens) == list(range(len(kept_ids)))
    if not same_ids or len(rebuilt_tokenizer) != len(kept_ids):
        raise BuildError(
            f"{type(tokenizer).__name__} cannot be trimmed: it was written with {len(kept_ids)} of its "
            f"{len(tokenizer)} tokens; loaded again, it has {len(rebuilt_tokenizer)} tokens, or some of them "
            "have other ids"
        )
    return rebuilt_tokenizer


def _compute_shares(
    state: Json,
    counts: Mapping[str, Counts],
    always: Collection[int],
    kept_ids: Sequence[int],
    params: Params,
) -> Json:
    """Shares of tokens that are no longer in the vocabulary, so that other pieces replace them.

    In the corpus, in `selection`, and in `selection` if it were not in the corpus, which estimates the share
    for new rows.
    """
    log = {"corpus_tokens_changed": _compute_share(_sum_counts(counts, params.corpus), kept_ids)}
    if "selection" in counts:
        log["selection_tokens_changed"] = _compute_share(counts["selection"], kept_ids)
        further = [split for split in params.corpus if split != "selection" and split in counts]
        if further and "selection" in params.corpus:
            unseen = _choose_kept_ids(state, _sum_counts(counts, further), always, params)
            log["new_rows_tokens_changed"] = _compute_share(counts["selection"], unseen)
    return log


def _compute_share(counts: Counts, kept_ids: Sequence[int]) -> float:
    return round(1 - float(counts[list(kept_ids)].sum() / counts.sum()), 5)

"""A tokenizer's file (tokenizer.json) with only some of its tokens, which splits texts into them as before.

    state = read_state(tokenizer)
    kept = list_needed_ids(state, used)     # with special tokens, fallback characters, intermediate merges
    smaller = trim_tokenizer(state, kept)   # the tokens renumbered 0, 1, … in the order of `kept`

A text whose tokens are all kept is split as before: WordPiece takes the longest piece, which is still there;
a BPE token is reached by its own merges, all of which stay; Unigram's best path is still the best. Other
words fall back to shorter pieces, to characters, to bytes, or to the unknown token.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from slimgate.errors import BuildError
from slimgate.plugins.base import Json

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

ASCII = frozenset(map(chr, range(33, 127)))
# sentencepiece's and byte-level BPE's marks of a space
SPACES = frozenset("▁Ġ")
BYTE = re.compile(r"<0x[0-9A-F]{2}>")
# byte-level alphabets have 256 characters, which are cheap and leave no text without tokens
SMALL_ALPHABET = 512


def read_state(tokenizer: PreTrainedTokenizerBase) -> Json:
    """The content of tokenizer.json. Raises BuildError if there is none, or its model is unknown."""
    inner = getattr(tokenizer, "backend_tokenizer", None)
    if inner is None:
        raise BuildError(f"{type(tokenizer).__name__} has no tokenizer.json, whose tokens could be trimmed")
    state: Json = json.loads(inner.to_str())
    kind = state["model"].get("type")
    if kind not in _FALLBACKS:
        known = ", ".join(_FALLBACKS)
        raise BuildError(
            f"{type(tokenizer).__name__}: a tokenizer of kind {kind} was given, expected one of {known}"
        )
    return state


def _read_ids(model: Json) -> dict[str, int]:
    """Token -> id of the model's own vocabulary, without added tokens that are not in it."""
    vocabulary = model["vocab"]
    if isinstance(vocabulary, dict):
        return vocabulary
    return {token: number for number, (token, _) in enumerate(vocabulary)}


def list_needed_ids(state: Json, used: Collection[int]) -> list[int]:
    """The ids, in order, that texts of `used` tokens and the fallback for all others need."""
    ids = _read_ids(state["model"])
    added = {int(token["id"]) for token in state["added_tokens"]}
    own_tokens = [token for token, number in ids.items() if number in used and number not in added]
    fallback_tokens = _FALLBACKS[state["model"]["type"]](state["model"], own_tokens)
    return sorted({*used, *added, *(ids[token] for token in fallback_tokens if token in ids)})


def list_common_ids(state: Json) -> list[int]:
    """Ids of words and pieces, the most common in the tokenizer's training data first.

    Vocabularies have that order, and those of Unigram have log-probabilities. Characters and placeholders
    such as [unused7] are left out.
    """
    vocabulary, ids = state["model"]["vocab"], _read_ids(state["model"])
    added = {int(token["id"]) for token in state["added_tokens"]}
    prefix = state["model"].get("continuing_subword_prefix") or ""
    rank = ids if isinstance(vocabulary, dict) else {token: -score for token, score in vocabulary}
    pieces = [t for t in ids if len(t.removeprefix(prefix).strip("".join(SPACES))) > 1 and t[0] not in "[<"]
    return [ids[token] for token in sorted(pieces, key=rank.__getitem__) if ids[token] not in added]


def trim_tokenizer(state: Json, kept_ids: Sequence[int]) -> Json:
    """The state with only these tokens, renumbered by their position in `kept_ids`."""
    new_ids = {old: new for new, old in enumerate(kept_ids)}
    result = {**state, "model": _renumber_model(state["model"], new_ids)}
    result["added_tokens"] = [{**token, "id": new_ids[token["id"]]} for token in state["added_tokens"]]
    result["post_processor"] = _renumber_processor(state.get("post_processor"), new_ids)
    if state.get("padding"):
        result["padding"] = {**state["padding"], "pad_id": new_ids.get(state["padding"]["pad_id"], 0)}
    return result


def _renumber_model(model: Json, new_ids: dict[int, int]) -> Json:
    """The model with only the tokens that have a new id, and with the merges that make them."""
    result = dict(model)
    if isinstance(model["vocab"], list):
        result["vocab"] = [entry for old, entry in enumerate(model["vocab"]) if old in new_ids]
        result["unk_id"] = None if model.get("unk_id") is None else new_ids[model["unk_id"]]
        return result
    kept_tokens = sorted((new_ids[old], token) for token, old in model["vocab"].items() if old in new_ids)
    result["vocab"] = {token: new for new, token in kept_tokens}
    if "merges" in model:
        prefix = len(model.get("continuing_subword_prefix") or "")
        pairs = ((merge, *_split_merge(merge)) for merge in model["merges"])
        result["merges"] = [
            merge for merge, a, b in pairs if {a, b, a + b[prefix:]} <= result["vocab"].keys()
        ]
    return result


def _renumber_processor(processor: Any, new_ids: dict[int, int]) -> Any:
    """The post-processor. Its templates hold the ids of the special tokens that they put around a text."""
    if not isinstance(processor, dict):
        return processor
    result = dict(processor)
    if "processors" in result:
        result["processors"] = [_renumber_processor(part, new_ids) for part in result["processors"]]
    if isinstance(result.get("special_tokens"), dict):
        result["special_tokens"] = {
            name: {**token, "ids": [new_ids[old] for old in token["ids"]]}
            for name, token in result["special_tokens"].items()
        }
    for key in ("sep", "cls"):
        if isinstance(result.get(key), list):
            result[key] = [result[key][0], new_ids[result[key][1]]]
    return result


def _list_word_piece_tokens(model: Json, tokens: list[str]) -> Iterator[str]:
    """The unknown token, and characters of the kept tokens and of ASCII, at the start and inside of words."""
    prefix = model["continuing_subword_prefix"]
    yield model["unk_token"]
    for character in ASCII | {c for token in tokens for c in token.removeprefix(prefix)}:
        yield from (character, prefix + character)


def _list_word_level_tokens(model: Json, _own: list[str]) -> Iterator[str]:
    """The unknown token, which replaces every other word."""
    yield model["unk_token"]


def _list_unigram_tokens(model: Json, tokens: list[str]) -> Iterator[str]:
    """The unknown token, bytes, characters, and the least probable token.

    That token sets the cost of the unknown token.
    """
    vocabulary = model["vocab"]
    if model.get("unk_id") is not None:
        yield vocabulary[model["unk_id"]][0]
    yield min(vocabulary, key=lambda entry: entry[1])[0]
    yield from (token for token, _ in vocabulary if BYTE.fullmatch(token))
    yield from ASCII | SPACES | {c for token in tokens for c in token}


def _list_bpe_tokens(model: Json, tokens: list[str]) -> Iterator[str]:
    """The unknown token, bytes, the alphabet, and the intermediate merges of each token."""
    prefix, suffix = model.get("continuing_subword_prefix") or "", model.get("end_of_word_suffix") or ""
    pairs = [_split_merge(merge) for merge in model["merges"]]
    merged = {a + b[len(prefix) :] for a, b in pairs}
    alphabet = [token for token in _read_ids(model) if token not in merged]
    if model.get("unk_token"):
        yield model["unk_token"]
    characters = ASCII | SPACES | {c for token in tokens for c in token}
    keeps_alphabet = len(alphabet) <= SMALL_ALPHABET or not (
        model.get("unk_token") or model.get("byte_fallback")
    )
    for token in alphabet:
        if (
            keeps_alphabet
            or BYTE.fullmatch(token)
            or token.removeprefix(prefix).removesuffix(suffix) in characters
        ):
            yield token
    ranks = {pair: rank for rank, pair in enumerate(pairs)}
    for token in tokens:
        if token in merged:
            yield from _iter_symbols(_split_symbols(token, prefix, suffix), ranks, len(prefix))


def _split_symbols(token: str, prefix: str, suffix: str) -> list[str]:
    """The symbols before merging: the characters, marked as inside a word or at its end."""
    inside, ends = bool(prefix) and token.startswith(prefix), bool(suffix) and token.endswith(suffix)
    body = token.removeprefix(prefix).removesuffix(suffix)
    symbols = [prefix + c if inside or place else c for place, c in enumerate(body)]
    return [*symbols[:-1], symbols[-1] + suffix] if ends and symbols else symbols


def _iter_symbols(symbols: list[str], ranks: dict[tuple[str, str], int], prefix: int) -> Iterator[str]:
    """Every symbol that merging by rank makes, including the first ones."""
    yield from symbols
    while len(symbols) > 1:
        order = [ranks.get(pair, len(ranks)) for pair in pairwise(symbols)]
        best = min(range(len(order)), key=order.__getitem__)
        if order[best] == len(ranks):
            return
        symbols = [*symbols[:best], symbols[best] + symbols[best + 1][prefix:], *symbols[best + 2 :]]
        yield symbols[best]


def _split_merge(merge: str | Sequence[str]) -> tuple[str, str]:
    first, second = merge.split(" ") if isinstance(merge, str) else merge
    return first, second


_FALLBACKS: dict[str, Callable[[Json, list[str]], Iterator[str]]] = {
    "WordPiece": _list_word_piece_tokens,
    "BPE": _list_bpe_tokens,
    "Unigram": _list_unigram_tokens,
    "WordLevel": _list_word_level_tokens,
}

"""Answers that a language model writes to prompts, greedy or sampled.

A network of transformers writes with its `generate` and a key-value cache: a decoder after prompts padded on
the left, an encoder-decoder to texts padded on the right. With a draft model a decoder answers one prompt
after the other (models/speculative.py). A runtime that generates itself does so. A model with neither, such
as an ONNX graph, is called once for each token on prompts padded on the right, without a cache.

Sampling adds Gumbel noise to the logits and takes the largest (Gumbel 1954), which draws from the softmax.
The noise at a position depends only on the seed, the row, the repeat and the position, and on no other row of
the batch. Teacher and variant get the same noise, so that they differ by their knowledge and not by chance.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch

from slimgate.errors import MeasureError
from slimgate.models.cache_argument import make_cache_keyword
from slimgate.models.config import read_max_positions
from slimgate.models.generate import can_write
from slimgate.models.special_tokens import decode_answer, list_end_tokens
from slimgate.models.speculative import SpeculativeAnswer, write_with_draft
from slimgate.models.write_by_length import has_ended

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from slimgate.plugins.models import Predictor

Ids = Sequence[int]
# Settings in an encoder-decoder's files that its answers need: the first tokens, and tokens never written.
_REQUIRED_SETTINGS = ("decoder_start_token_id", "forced_bos_token_id", "bad_words_ids")


@dataclass(frozen=True)
class SamplingParams:
    """How answers are written. temperature: 0 takes the likeliest token. stop: texts that end an answer."""

    max_new_tokens: int
    temperature: float = 0.0
    seed: int = 0
    stop: tuple[str, ...] = ()


@dataclass(frozen=True)
class Written:
    """One answer.

    text: up to the first stop string. ids: its tokens, without the end token; for a server's answer, numbers
    of its words. ended: by an end token or a stop string, not by length. tokens: a server's count of tokens.
    failed: there is no answer, because the request failed for good. verified: for a model with a draft, the
    number of tokens after the first, and of the main model's passes that gave them.
    """

    text: str
    ids: tuple[int, ...]
    ended: bool
    tokens: int | None = None
    failed: bool = False
    verified: tuple[int, int] | None = field(default=None, compare=False)


@runtime_checkable
class Writer(Protocol):
    """A predictor of a runtime that generates by itself. It may have `end_tokens`, those of its files."""

    def write(
        self, prompts: Sequence[Ids], sampling: SamplingParams, *, min_new_tokens: int = 0
    ) -> list[list[int]]:
        """The ids of the greedy answers, of at least `min_new_tokens` tokens each.

        Raises MeasureError if the temperature is above 0.
        """


@runtime_checkable
class DraftWriter(Protocol):
    """A predictor that may have a draft model, which proposes tokens to it. draft: None if it has none."""

    draft: Any

    def begin_with_draft(self, prompt: Ids, count: int, ends: Collection[int] = ()) -> SpeculativeAnswer:
        """An answer of `count` tokens, none of which is written yet. ends: after them nothing is proposed."""


@torch.inference_mode()
def write_answers(
    predictor: Predictor,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Ids],
    keys: Sequence[str],
    sampling: SamplingParams,
) -> list[Written]:
    """The answers to one batch of prompts. keys: a name for each answer, for the noise of its sampling.

    Raises MeasureError if a prompt and its answer do not fit into the model's positions.
    """
    network = getattr(predictor, "network", None)
    ends = list_end_tokens(tokenizer, network) | set(getattr(predictor, "end_tokens", ()))
    if can_write(network):
        _check_positions(network, prompts, sampling)
    if isinstance(predictor, DraftWriter) and predictor.draft is not None:
        begin = partial(predictor.begin_with_draft, count=sampling.max_new_tokens, ends=ends)
        written = [write_with_draft(begin(prompt), tokenizer, sampling) for prompt in prompts]
        return [
            replace(_read_answer(tokenizer, ids, ends, sampling), verified=(len(ids) - 1, passes))
            for ids, passes in written
        ]
    if can_write(network):
        answers = _write_by_generate(network, tokenizer, prompts, keys, sampling, ends)
    elif isinstance(predictor, Writer):
        answers = predictor.write(prompts, sampling)
    else:
        answers = _write_by_forward(predictor, tokenizer, prompts, keys, sampling, ends)
    return [_read_answer(tokenizer, ids, ends, sampling) for ids in answers]


def write_tokens(
    network: PreTrainedModel, input_ids: torch.Tensor, attention_mask: torch.Tensor, count: int
) -> torch.Tensor:
    """(rows, count) tokens that an encoder-decoder writes greedily, past its end token, for timed calls."""
    from transformers import GenerationConfig

    config = GenerationConfig(
        min_new_tokens=count,
        max_new_tokens=count,
        do_sample=False,
        pad_token_id=network.config.pad_token_id,
        eos_token_id=network.config.eos_token_id,
        use_cache=True,
        **_read_required_settings(network),
    )
    with _plain_generation(network):
        written: torch.Tensor = network.generate(
            input_ids=input_ids,
            attention_mask=attention_mask,
            generation_config=config,
            **_make_cache_argument(network),
        )
    return written[:, 1:]


def is_encoder_decoder(network: nn.Module) -> bool:
    """Whether the answer is a separate sequence, and does not follow the prompt."""
    return bool(getattr(network.config, "is_encoder_decoder", False))


def read_decoder_start(network: PreTrainedModel) -> int:
    """The token that an encoder-decoder begins an answer with. Raises MeasureError if its files name none."""
    start_token = _read_required_settings(network).get("decoder_start_token_id")
    if start_token is None:
        raise MeasureError(f"the files of {type(network).__name__} have no decoder_start_token_id")
    return int(start_token)


def _read_required_settings(network: PreTrainedModel) -> dict[str, Any]:
    """The settings of an encoder-decoder that generation needs, each None if unknown; empty for a decoder."""
    if not is_encoder_decoder(network):
        return {}
    configs = (network.generation_config, network.config)
    settings = {name: [getattr(config, name, None) for config in configs] for name in _REQUIRED_SETTINGS}
    return {
        name: next((value for value in values if value is not None), None)
        for name, values in settings.items()
    }


def _make_cache_argument(network: PreTrainedModel) -> dict[str, Any]:
    """For an encoder-decoder, a cache sized by its decoder: transformers sizes T5's cache by its encoder."""
    from transformers import DynamicCache, EncoderDecoderCache

    if not is_encoder_decoder(network):
        return {}
    return make_cache_keyword(network, EncoderDecoderCache(DynamicCache(), DynamicCache()))


def _write_by_generate(
    network: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Ids],
    keys: Sequence[str],
    sampling: SamplingParams,
    ends: set[int],
) -> list[list[int]]:
    """The ids of the answers, which `generate` of transformers writes."""
    from transformers import GenerationConfig

    follows_prompt = not is_encoder_decoder(network)
    padding = tokenizer.pad_token_id or 0
    if follows_prompt:
        padding = min(ends, default=padding)
    ids, mask = _pad(prompts, padding, left=follows_prompt)
    written_before = ids.shape[1] if follows_prompt else 1
    device = next(network.parameters()).device
    config = GenerationConfig(
        max_new_tokens=sampling.max_new_tokens,
        do_sample=False,
        pad_token_id=padding,
        eos_token_id=sorted(ends) or None,
        use_cache=True,
        **_read_required_settings(network),
    )
    noise = [_Noise(keys, sampling, written_before)] if sampling.temperature else []
    with _plain_generation(network):
        written = network.generate(
            input_ids=ids.to(device),
            attention_mask=mask.to(device),
            generation_config=config,
            logits_processor=noise,
            **_make_cache_argument(network),
            stopping_criteria=[_Stops(tokenizer, sampling, written_before)] if sampling.stop else [],
        )
    return [list(row) for row in written[:, written_before:].tolist()]


def _pad(prompts: Sequence[Ids], padding: int, *, left: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """(rows, tokens) ids and attention mask."""
    width = max(map(len, prompts))
    ids, mask = np.full((len(prompts), width), padding, dtype=np.int64), np.zeros((len(prompts), width), int)
    for row, prompt in enumerate(prompts):
        columns = slice(width - len(prompt), width) if left else slice(len(prompt))
        ids[row, columns], mask[row, columns] = prompt, 1
    return torch.from_numpy(ids), torch.from_numpy(mask)


@contextmanager
def _plain_generation(network: PreTrainedModel) -> Any:
    """Hides the network's generation settings, such as a penalty, so that all models write the same way."""
    from transformers import GenerationConfig

    defaults = network.generation_config
    network.generation_config = GenerationConfig()
    try:
        yield
    finally:
        network.generation_config = defaults


class _Stops:
    """A stopping criterion of transformers: whether a stop text is in the answer. width: tokens before it.

    transformers' own criterion reads each token's text from the vocabulary, which not every tokenizer has.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, sampling: SamplingParams, width: int) -> None:
        self._tokenizer, self._sampling, self._width = tokenizer, sampling, width

    def __call__(self, input_ids: torch.Tensor, _scores: torch.Tensor, **_more: object) -> torch.Tensor:
        texts = self._tokenizer.batch_decode(input_ids[:, self._width :], skip_special_tokens=True)
        matches = [any(stop in text for stop in self._sampling.stop) for text in texts]
        return torch.tensor(matches, device=input_ids.device)


class _Noise:
    """A logits processor of transformers: logits / temperature, plus Gumbel noise.

    keys: of the answers, as in `write_answers`. width: the tokens before an answer.
    """

    def __init__(self, keys: Sequence[str], sampling: SamplingParams, width: int) -> None:
        self._keys, self._sampling, self._width = keys, sampling, width

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        position = input_ids.shape[1] - self._width
        noise = [draw_gumbel_noise(self._sampling.seed, key, position, scores.shape[1]) for key in self._keys]
        return scores.float() / self._sampling.temperature + torch.from_numpy(np.stack(noise)).to(
            scores.device
        )


def draw_gumbel_noise(seed: int, key: str, position: int, size: int) -> npt.NDArray[np.float32]:
    """(size,) noise of one position of one answer, for each token of the vocabulary. key: of the answer."""
    generator = np.random.Generator(
        np.random.Philox(key=[seed, zlib.crc32(key.encode())], counter=position << 32)
    )
    return generator.gumbel(size=size).astype(np.float32)


def _write_by_forward(
    predictor: Predictor,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Ids],
    keys: Sequence[str],
    sampling: SamplingParams,
    ends: set[int],
) -> list[list[int]]:
    """The ids of the answers of a model without a cache, which is called on the whole text for each token."""
    texts, written = [list(prompt) for prompt in prompts], [[] for _ in prompts]  # type: list[list[int]], list[list[int]]
    unfinished = list(range(len(prompts)))
    for position in range(sampling.max_new_tokens):
        logits = _predict_next(predictor, [texts[row] for row in unfinished], tokenizer.pad_token_id or 0)
        for row, scores in zip(unfinished, logits, strict=True):
            if sampling.temperature:
                scores = scores / sampling.temperature + draw_gumbel_noise(
                    sampling.seed, keys[row], position, len(scores)
                )
            token = int(scores.argmax())
            texts[row].append(token)
            written[row].append(token)
        unfinished = [
            row for row in unfinished if not has_ended(tokenizer, written[row], ends, sampling.stop)
        ]
        if not unfinished:
            break
    return written


def _predict_next(predictor: Predictor, texts: Sequence[Ids], padding: int) -> list[npt.NDArray[np.float32]]:
    """For each text the (tokens of the vocabulary,) logits after its last token."""
    ids, mask = (tensor.numpy() for tensor in _pad(texts, padding, left=False))
    output = predictor.fetch(predictor.forward(predictor.prepare({"input_ids": ids, "attention_mask": mask})))
    return [output[row, len(text) - 1] for row, text in enumerate(texts)]


def _read_answer(
    tokenizer: PreTrainedTokenizerBase, ids: Ids, ends: set[int], sampling: SamplingParams
) -> Written:
    """An answer cut before the first end token, and its text before the first stop string."""
    end = next((position for position, token in enumerate(ids) if token in ends), None)
    answer_ids = tuple(ids[:end])
    text = decode_answer(tokenizer, answer_ids)
    stops = [start for start in (text.find(stop) for stop in sampling.stop) if start >= 0]
    ended = end is not None or bool(stops)
    return Written(text[: min(stops, default=len(text))], answer_ids, ended)


def _check_positions(network: PreTrainedModel, prompts: Sequence[Ids], sampling: SamplingParams) -> None:
    """Raises MeasureError if a prompt and its answer do not fit into the model's positions.

    In an encoder-decoder, prompts and answers each have all positions.
    """
    longest, limit = max(map(len, prompts)), read_max_positions(network.config.to_dict())
    follows_prompt = not is_encoder_decoder(network)
    needed = (
        longest + sampling.max_new_tokens if follows_prompt else max(longest, 1 + sampling.max_new_tokens)
    )
    if limit is not None and needed > limit:
        raise MeasureError(
            f"a prompt has {longest} tokens and max_new_tokens is {sampling.max_new_tokens}, but "
            f"{type(network).__name__} has positions for {limit}; lower max_new_tokens or "
            + ("leave it out" if follows_prompt else "max_tokens")
        )

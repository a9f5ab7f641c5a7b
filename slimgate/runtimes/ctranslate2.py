"""CTranslate2: a C++ runtime that writes the answers of encoder-decoders and decoders, often in int8.

    runtime = { name = "ctranslate2" }

The runtime runs the artifacts of to_ctranslate2 in the number type of their weights. Answers are greedy. A
decoder also computes the scores of complete texts, so it serves every task of causal language models. Prompts
of one length are answered together. An encoder-decoder only writes text, so it serves text_to_text.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from slimgate._system.json_text import read_json
from slimgate.errors import BuildError, MeasureError
from slimgate.models.ctranslate2_model import (
    KIND,
    VOCABULARY,
    CTranslate2Model,
    copy_for_export,
    load_ctranslate2_model,
)
from slimgate.models.write_by_length import Greedy, Ids, has_ended, read_prompts
from slimgate.plugins.base import Arrays
from slimgate.plugins.context import BuildContext
from slimgate.plugins.models import NEW_TOKENS
from slimgate.plugins.params import Table
from slimgate.plugins.runtime import Form, Runtime
from slimgate.runtimes._ctranslate2 import USER, CTranslate2Predictor, OnToken, TokenizedPrompts

if TYPE_CHECKING:
    import ctranslate2
    from transformers import PreTrainedTokenizerBase

    from slimgate.models.write_answers import SamplingParams


class Params(Table):
    """runtime = { name = "ctranslate2" } has no options."""


TRANSLATOR = Form(
    name=KIND,
    package="ctranslate2",
    imports="import ctranslate2\nfrom transformers import AutoTokenizer\n",
    load='translator = ctranslate2.Translator(".")',
    predict='ids = tokenizer(texts, truncation=True)["input_ids"]\n'
    "tokens = [tokenizer.convert_ids_to_tokens(text_ids) for text_ids in ids]\n"
    "results = translator.translate_batch(\n"
    "    tokens, beam_size=1, max_input_length=0, max_decoding_length=64{prefix}\n"
    ")",
    tail="written = [tokenizer.convert_tokens_to_ids(result.hypotheses[0]) for result in results]\n"
    "answers = [tokenizer.decode(ids, skip_special_tokens=True) for ids in written]\n"
    'print(*answers, sep="\\n")',
    own_config=True,
)
GENERATOR = replace(
    TRANSLATOR,
    imports="import json\nimport ctranslate2\nfrom transformers import AutoTokenizer\n",
    load='generator = ctranslate2.Generator(".")\nends = json.load(open("config.json"))["slimgate"]["ends"]',
    predict='ids = tokenizer(texts)["input_ids"]\n'
    "tokens = [tokenizer.convert_ids_to_tokens(text_ids) for text_ids in ids]\n"
    "results = generator.generate_batch(\n"
    "    tokens, max_length=64, end_token=ends, include_prompt_in_result=False\n"
    ")",
    tail="written = [result.sequences_ids[0] for result in results]\n"
    "answers = [tokenizer.decode(ids, skip_special_tokens=True) for ids in written]\n"
    'print(*answers, sep="\\n")',
)


class CTranslate2(Runtime[Params]):
    kinds = frozenset({KIND})
    default_for = kinds
    packages = ("ctranslate2",)
    times_writing = True
    form = replace(TRANSLATOR, of_decoders=GENERATOR)

    def copy(self, artifact: Path, folder: Path) -> None:
        """Copies CTranslate2's files to the top of the folder, where the library looks for them."""
        copy_for_export(artifact, folder)

    def load(self, folder: Path, params: Params, *, device: str, threads: int) -> CTranslate2Predictor:
        """A predictor for the artifact, on `threads` threads."""
        return _open_predictor(load_ctranslate2_model(folder), device=device, threads=threads)

    def load_model(self, folder: Path, device: str) -> CTranslate2Model:
        """The CTranslate2Model of a folder."""
        return load_ctranslate2_model(folder)

    def open_model(self, model: CTranslate2Model, context: BuildContext) -> CTranslate2Predictor:
        """A predictor for a CTranslate2Model that a step has made."""
        return _open_predictor(model, device=context.device, threads=context.threads)


def _open_predictor(model: CTranslate2Model, *, device: str, threads: int) -> CTranslate2Predictor:
    predictor = GeneratorPredictor if model.answers.decoder else TranslatorPredictor
    return predictor(model, device=device, threads=threads)


runtime = CTranslate2()


@dataclass(frozen=True)
class _ScoredTexts:
    """(rows, tokens) ids whose scores are computed, and (rows,) their lengths, as views of the library.

    arrays: the arrays whose memory the views use.
    """

    ids: Any
    lengths: Any
    arrays: tuple[npt.NDArray[np.int32], ...]


class GeneratorPredictor(CTranslate2Predictor):
    """A decoder. end_tokens: the tokens that end an answer."""

    opener = "Generator"

    def __init__(self, model: CTranslate2Model, *, device: str, threads: int) -> None:
        super().__init__(model, device=device, threads=threads)
        self._vocabulary: list[str] = read_json(model.written / VOCABULARY)
        self.end_tokens = frozenset(model.answers.ends)
        self._greedy = Greedy(
            KIND, model.tokenizer, model.answers.longest, self.end_tokens, model.answers.limit
        )

    def prepare(self, batch: Arrays) -> object:
        """The tokens of prompts, or the ids of texts whose scores are computed."""
        prompts = read_prompts(batch, self._answers.longest, self._answers.limit)
        if prompts.count:
            return TokenizedPrompts(self._to_tokens(prompts.ids), prompts.count)
        ids = np.ascontiguousarray(prompts.ids, dtype=np.int32)
        lengths = np.full(len(ids), ids.shape[1], dtype=np.int32)
        view = self._package.StorageView.from_array
        return _ScoredTexts(view(ids), view(lengths), (ids, lengths))

    def forward(self, prepared: TokenizedPrompts | _ScoredTexts) -> object:
        """The scores of whole texts, or an answer."""
        if isinstance(prepared, TokenizedPrompts):
            return super().forward(prepared)
        self._stop()
        return self._engine.forward_batch(prepared.ids, prepared.lengths)

    def fetch(self, output: Sequence[Sequence[int]] | ctranslate2.StorageView) -> npt.NDArray[np.float32]:
        """(rows, tokens, vocabulary) scores, or (rows, new tokens) ids."""
        if isinstance(output, list):
            return super().fetch(output)
        package = self._package
        scores = cast("ctranslate2.StorageView", output)
        host = scores.to_device(package.Device.cpu).to(package.DataType.float32)
        return np.array(host)[..., : len(self._vocabulary)]  # a GPU pads the vocabulary

    def write(
        self, prompts: Sequence[Sequence[int]], sampling: SamplingParams, *, min_new_tokens: int = 0
    ) -> list[list[int]]:
        """The ids of the greedy answers, with the end token. Raises MeasureError if it has to draw."""
        self._stop()
        return self._greedy.write_complete(
            prompts, sampling, lambda ids: self._answer(ids, sampling, min_new_tokens)
        )

    def _answer(self, ids: Ids, sampling: SamplingParams, min_new_tokens: int) -> list[list[int]]:
        ends = sorted(self.end_tokens)
        stops = _make_stop_callback(sampling.stop, self._tokenizer) if sampling.stop else None
        tokens = self._to_tokens(ids)
        return self._to_ids(
            self._generate(
                tokens, sampling.max_new_tokens, min_length=min_new_tokens, end_token=ends, callback=stops
            )
        )

    def _write(self, prompts: TokenizedPrompts, on_token: OnToken | None = None) -> Any:
        """Writes tokens; end tokens do not end an answer."""
        return self._generate(
            prompts.tokens,
            prompts.new_tokens,
            end_token=[],
            asynchronous=on_token is not None,
            callback=on_token,
        )

    def _generate(self, tokens: list[list[str]], max_tokens: int, **options: object) -> Any:
        return self._engine.generate_batch(
            tokens,
            beam_size=1,
            max_length=max_tokens,
            include_prompt_in_result=False,
            return_end_token=True,
            **options,
        )

    def _to_tokens(self, ids: Ids) -> list[list[str]]:
        """Tokens by their index in the library's vocabulary, which a tokenizer may not fill."""
        return [[self._vocabulary[token] for token in row] for row in ids.tolist()]

    def _to_ids(self, results: Sequence[ctranslate2.GenerationResult]) -> list[list[int]]:
        return [result.sequences_ids[0] for result in results]

    def _count_cached(self, prompts: TokenizedPrompts) -> int:
        """The cached tokens, without the last token of the answer, which is not read."""
        return sum(map(len, prompts.tokens)) + len(prompts.tokens) * (prompts.new_tokens - 1)


def _make_stop_callback(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> OnToken:
    """A callback that says after each token whether the answer of its row has a stop text.

    It must not refer to the predictor. The library's thread releases the callback last, and a model that is
    freed in its own thread waits for itself.
    """
    written: dict[int, list[int]] = defaultdict(list)

    def ends(step: ctranslate2.GenerationStepResult) -> bool:
        ids = written[step.batch_id]
        ids.append(step.token_id)
        return has_ended(tokenizer, ids, (), texts)

    return ends


class TranslatorPredictor(CTranslate2Predictor):
    """An encoder-decoder."""

    opener = "Translator"

    def __init__(self, model: CTranslate2Model, *, device: str, threads: int) -> None:
        super().__init__(model, device=device, threads=threads)
        self._forced: list[str] = model.tokenizer.convert_ids_to_tokens(list(model.answers.forced))

    def prepare(self, batch: Arrays) -> object:
        """The tokens of a batch whose call writes text. Raises BuildError if it asks for scores."""
        if NEW_TOKENS not in batch:
            raise BuildError(
                f"{USER} writes text, but gives no scores of an encoder-decoder; use it in the task "
                "text_to_text"
            )
        texts = [
            ids[mask.astype(bool)].tolist()
            for ids, mask in zip(batch["input_ids"], batch["attention_mask"], strict=True)
        ]
        return TokenizedPrompts(self._to_tokens(texts), int(batch[NEW_TOKENS][0]))

    def write(
        self, prompts: Sequence[Sequence[int]], sampling: SamplingParams, *, min_new_tokens: int = 0
    ) -> list[list[int]]:
        """The ids of the greedy answers, with the end token. Raises MeasureError if it has to draw."""
        if sampling.temperature:
            raise MeasureError(f"{USER} can only choose the most likely token; set temperature = 0")
        self._stop()
        return self._to_ids(
            self._translate(self._to_tokens(prompts), sampling.max_new_tokens, min_new_tokens)
        )

    def _write(self, prompts: TokenizedPrompts, on_token: OnToken | None = None) -> Any:
        return self._translate(prompts.tokens, prompts.new_tokens, prompts.new_tokens, on_token)

    def _translate(
        self, tokens: list[list[str]], max_tokens: int, min_tokens: int, on_token: OnToken | None = None
    ) -> Any:
        return self._engine.translate_batch(
            tokens,
            target_prefix=[self._forced] * len(tokens) if self._forced else None,
            beam_size=1,
            max_input_length=0,
            max_decoding_length=max_tokens,
            min_decoding_length=min_tokens,
            return_end_token=True,
            disable_unk=False,
            asynchronous=on_token is not None,
            callback=on_token,
        )

    def _to_tokens(self, texts: Sequence[Sequence[int]]) -> list[list[str]]:
        return [self._tokenizer.convert_ids_to_tokens(list(ids)) for ids in texts]

    def _to_ids(self, results: Sequence[ctranslate2.TranslationResult]) -> list[list[int]]:
        return [self._tokenizer.convert_tokens_to_ids(result.hypotheses[0]) for result in results]

    def _count_cached(self, prompts: TokenizedPrompts) -> int:
        """The cached tokens, with the start token, and without the answer's last one, which is not read."""
        return len(prompts.tokens) * (max(map(len, prompts.tokens)) + prompts.new_tokens)

"""An encoder-decoder of CTranslate2: it writes text, and gives no scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from slimgate.errors import BuildError, MeasureError
from slimgate.plugins.base import Arrays
from slimgate.plugins.models import NEW_TOKENS
from slimgate.runtimes._ctranslate2 import USER, CTranslate2Predictor, OnToken, Texts

if TYPE_CHECKING:
    import ctranslate2

    from slimgate.models.ctranslate2_model import CTranslate2Model
    from slimgate.models.write_answers import SamplingParams


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
        return Texts(self._to_tokens(texts), int(batch[NEW_TOKENS][0]))

    def write(
        self, prompts: Sequence[Sequence[int]], sampling: SamplingParams, *, least: int = 0
    ) -> list[list[int]]:
        """The ids of the greedy answers, with the end token. Raises MeasureError if it has to draw."""
        if sampling.temperature:
            raise MeasureError(f"{USER} can only choose the most likely token; set temperature = 0")
        self._stop()
        return self._to_ids(self._translate(self._to_tokens(prompts), sampling.max_new_tokens, least))

    def _write(self, texts: Texts, on_token: OnToken | None = None) -> Any:
        return self._translate(texts.tokens, texts.count, texts.count, on_token)

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

    def _count_cached(self, texts: Texts) -> int:
        """The cached tokens, with the start token, and without the answer's last one, which is not read."""
        return len(texts.tokens) * (max(map(len, texts.tokens)) + texts.count)

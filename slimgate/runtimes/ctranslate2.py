"""CTranslate2: a C++ runtime that writes the answers of encoder-decoders (T5, BART, Marian), often in int8.

    runtime = { name = "ctranslate2" }

It runs the artifacts of to_ctranslate2, in the types that their weights were stored in. Answers are greedy.
It writes text and gives no scores, so it serves the task text_to_text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from slimgate.errors import BuildError, MeasureError
from slimgate.params import Table
from slimgate.protocols import NEW_TOKENS, Arrays, BuildContext, Form, Runtime

if TYPE_CHECKING:
    from slimgate.models.ctranslate2_model import CTranslate2Model
    from slimgate.models.write_answers import Writing

KIND = "ctranslate2"


class Params(Table):
    """runtime = { name = "ctranslate2" } has no options."""


@dataclass(frozen=True)
class _Texts:
    """Tokens of each text, and how many are to be written."""

    tokens: list[list[str]]
    count: int


class CTranslate2Predictor:
    """A Translator behind the Predictor's calls."""

    def __init__(self, model: CTranslate2Model, *, device: str, threads: int) -> None:
        """Raises BuildError where the device is not there, MissingExtra without the package."""
        from slimgate.models.ctranslate2_model import load_package

        kind, _, number = device.partition(":")
        try:
            self._translator: Any = load_package("runtime ctranslate2").Translator(
                str(model.written),
                device=kind,
                device_index=int(number or 0),
                inter_threads=1,
                intra_threads=threads,
            )
        except (RuntimeError, ValueError) as error:
            raise BuildError(f"CTranslate2 cannot load the model: {' '.join(str(error).split())}") from error
        self._tokenizer: Any = model.tokenizer
        self._forced: list[str] = model.tokenizer.convert_ids_to_tokens(list(model.forced))

    def prepare(self, batch: Arrays) -> object:
        """The tokens of a batch whose call writes text. Raises BuildError for one that wants scores."""
        if NEW_TOKENS not in batch:
            raise BuildError("runtime ctranslate2 writes text and gives no scores; use it in text_to_text")
        texts = [
            ids[kept.astype(bool)].tolist()
            for ids, kept in zip(batch["input_ids"], batch["attention_mask"], strict=True)
        ]
        return _Texts(self._to_tokens(texts), int(batch[NEW_TOKENS][0]))

    def forward(self, prepared: Any) -> object:
        """Writes that many tokens to each text."""
        return self._translate(prepared.tokens, most=prepared.count, least=prepared.count)

    def fetch(self, output: Any) -> npt.NDArray[np.float32]:
        """(rows, tokens) ids, -1 behind the last one."""
        found = self._to_ids(output)
        ids = np.full((len(found), max(map(len, found))), -1, dtype=np.float32)
        for line, own in zip(ids, found, strict=True):
            line[: len(own)] = own
        return ids

    def write(self, prompts: Sequence[Sequence[int]], how: Writing, *, least: int = 0) -> list[list[int]]:
        """The ids of the greedy answers, with the end token. Raises MeasureError where `how` draws."""
        if how.temperature:
            raise MeasureError("runtime ctranslate2 takes the likeliest token here; set temperature = 0")
        tokens = self._to_tokens(prompts)
        return self._to_ids(self._translate(tokens, most=how.max_new_tokens, least=least))

    def close(self) -> None:
        """Drops the model."""
        self._translator = None

    def _translate(self, tokens: list[list[str]], *, most: int, least: int) -> Any:
        return self._translator.translate_batch(
            tokens,
            target_prefix=[self._forced] * len(tokens) if self._forced else None,
            beam_size=1,
            max_input_length=0,
            max_decoding_length=most,
            min_decoding_length=least,
            return_end_token=True,
            disable_unk=False,
        )

    def _to_tokens(self, texts: Sequence[Sequence[int]]) -> list[list[str]]:
        return [self._tokenizer.convert_ids_to_tokens(list(ids)) for ids in texts]

    def _to_ids(self, results: Any) -> list[list[int]]:
        return [self._tokenizer.convert_tokens_to_ids(one.hypotheses[0]) for one in results]


class CTranslate2(Runtime[Params]):
    kinds = frozenset({KIND})
    default_for = kinds
    packages = ("ctranslate2",)
    form = Form(
        name=KIND,
        package="ctranslate2",
        imports="import ctranslate2\nfrom transformers import AutoTokenizer\n",
        load='translator = ctranslate2.Translator(".")',
        predict='ids = tokenizer(texts, truncation=True)["input_ids"]\n'
        "tokens = [tokenizer.convert_ids_to_tokens(one) for one in ids]\n"
        "found = translator.translate_batch(\n"
        "    tokens, beam_size=1, max_input_length=0, max_decoding_length=64{prefix}\n"
        ")",
        tail="written = [tokenizer.convert_tokens_to_ids(one.hypotheses[0]) for one in found]\n"
        "answers = [tokenizer.decode(one, skip_special_tokens=True) for one in written]\n"
        'print(*answers, sep="\\n")',
        own_config=True,
    )

    def copy(self, artifact: Path, folder: Path) -> None:
        """CTranslate2's files at the top of the folder, which `ctranslate2.Translator` opens."""
        from slimgate.models.ctranslate2_model import copy_for_export

        copy_for_export(artifact, folder)

    def load(self, folder: Path, params: Params, *, device: str, threads: int) -> CTranslate2Predictor:
        """The artifact's model, on `threads` threads."""
        from slimgate.models.ctranslate2_model import load_ctranslate2_model

        return CTranslate2Predictor(load_ctranslate2_model(folder), device=device, threads=threads)

    def load_model(self, folder: Path, device: str) -> Any:
        """The CTranslate2Model of a folder."""
        from slimgate.models.ctranslate2_model import load_ctranslate2_model

        return load_ctranslate2_model(folder)

    def open_model(self, model: Any, context: BuildContext) -> CTranslate2Predictor:
        """A CTranslate2Model that a step has made."""
        return CTranslate2Predictor(model, device=context.device, threads=context.threads)


runtime = CTranslate2()

"""ONNX Runtime GenAI: a C++ runtime that writes the answers of decoders with a key-value cache, on the CPU.

    runtime = { name = "onnxruntime_genai" }

It runs the artifacts of to_onnx_genai, in the types that their weights were stored in. Answers are greedy.
It gives the scores of whole texts too, so it serves every task of a causal language model. Prompts of one
length are answered together, so that nothing is padded.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from slimgate._system.json_text import read_json
from slimgate._system.requirements import import_extra
from slimgate.errors import BuildError, MeasureError, to_one_line
from slimgate.models.onnx_genai_model import (
    CONFIG,
    KIND,
    PACKAGE,
    OnnxGenaiModel,
    copy_files,
    load_onnx_genai_model,
)
from slimgate.models.saved_files import load_companions
from slimgate.models.write_by_length import Greedy, PromptIds, read_prompts
from slimgate.plugins.base import Arrays
from slimgate.plugins.context import BuildContext
from slimgate.plugins.params import Table
from slimgate.plugins.runtime import Form, Runtime

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from slimgate.models.write_answers import SamplingParams

Ids = npt.NDArray[np.int32]
# Search settings that replace those of a folder, so that answers are greedy.
GREEDY = {
    "do_sample": False,
    "num_beams": 1,
    "repetition_penalty": 1.0,
    "no_repeat_ngram_size": 0,
}
# The most rows of one call of the library.
MAX_ROWS = 32
# An id that no token has. Otherwise the library would take a token of a prompt for padding, and skip it.
NO_TOKEN = -1


class Params(Table):
    """runtime = { name = "onnxruntime_genai" } has no options."""


@dataclass(frozen=True)
class _StartedAnswers:
    """A generator that has chosen the first token of each answer.

    prompt_tokens: the length of each prompt. remaining: how many more tokens each answer gets.
    """

    generator: Any
    rows: int
    prompt_tokens: int
    remaining: int


class GenaiPredictor:
    """Wraps a Model as a Predictor. end_tokens: the tokens that end an answer."""

    def __init__(
        self, folder: Path, tokenizer: PreTrainedTokenizerBase, *, device: str, threads: int
    ) -> None:
        """Raises BuildError for a device that is not the CPU, MissingExtra without the package."""
        if device != "cpu":
            raise BuildError(f"to_onnx_genai makes graphs for the CPU, and {device} was given as device")
        self._package: Any = import_extra(PACKAGE, KIND, "runtime onnxruntime_genai")
        model_config = read_json(folder / CONFIG)["model"]
        self._context_length = int(model_config["context_length"])
        self._layers = int(model_config["decoder"]["num_hidden_layers"])
        self._names = model_config["decoder"]["outputs"]
        self.end_tokens = frozenset(np.atleast_1d(model_config["eos_token_id"]).tolist())
        self._greedy = Greedy("onnxruntime_genai", tokenizer, self._context_length, self.end_tokens)
        config = self._package.Config(str(folder))
        config.overlay(json.dumps(_make_overlay(threads)))
        try:
            self._model: Any = self._package.Model(config)
        except Exception as error:  # its exceptions have no class of their own
            raise BuildError(f"ONNX Runtime GenAI cannot load the model: {to_one_line(error)}") from error

    def prepare(self, batch: Arrays) -> PromptIds:
        """The ids of a batch, as the int32 that the library reads."""
        prompts = read_prompts(batch, self._context_length)
        return replace(prompts, ids=prompts.ids.astype(np.int32))

    def forward(self, prepared: PromptIds) -> object:
        """The scores of whole texts; or if tokens must follow them, the ids of the answers."""
        if prepared.count:
            return self.decode(self.prefill(prepared))
        starts = range(0, len(prepared.ids), MAX_ROWS)
        generators = [
            self._start_generator(prepared.ids[start : start + MAX_ROWS], 1, min_new_tokens=0)
            for start in starts
        ]
        scores = [
            np.array(generator.get_output(self._names["logits"]), dtype=np.float32)
            for generator in generators
        ]
        return np.concatenate(scores)

    def prefill(self, prepared: PromptIds) -> _StartedAnswers:
        """Reads the prompts and chooses the first token of each answer.

        Raises MeasureError for more rows than the library takes.
        """
        if len(prepared.ids) > MAX_ROWS:
            raise MeasureError(
                f"ONNX Runtime GenAI writes at most {MAX_ROWS} answers at once, but {len(prepared.ids)} "
                f"were given; use a workload with batch = {MAX_ROWS} or less"
            )
        generator = self._start_generator(prepared.ids, prepared.count, min_new_tokens=prepared.count)
        generator.generate_next_token()
        rows, prompt_tokens = prepared.ids.shape
        return _StartedAnswers(generator, rows, prompt_tokens, prepared.count - 1)

    def decode(self, state: _StartedAnswers) -> Ids:
        """(rows, new tokens) ids. Where an end token is most likely, they have the next likeliest token."""
        for _ in range(state.remaining):
            state.generator.generate_next_token()
        new_ids = [state.generator.get_sequence(row)[state.prompt_tokens :] for row in range(state.rows)]
        return np.stack(new_ids)

    def cache_bytes(self, state: _StartedAnswers) -> int:
        """Bytes of the keys and values, including memory that is allocated ahead."""
        return sum(state.generator.get_output(name).nbytes for name in self._list_cache_names())

    def _list_cache_names(self) -> Iterator[str]:
        for kind in ("present_key_names", "present_value_names"):
            for layer in range(self._layers):
                yield self._names[kind] % layer

    def _start_generator(self, ids: npt.NDArray[np.integer], count: int, *, min_new_tokens: int) -> Any:
        """A generator that has read the texts. Raises BuildError if the library fails.

        ids: (rows, tokens). count, min_new_tokens: the largest and smallest number of new tokens.
        """
        generator_params = self._package.GeneratorParams(self._model)
        lengths = {"max_length": ids.shape[1] + count, "min_length": ids.shape[1] + min_new_tokens}
        generator_params.set_search_options(**GREEDY, batch_size=len(ids), **lengths)
        try:
            generator = self._package.Generator(self._model, generator_params)
            generator.append_tokens(ids)
        except RuntimeError as error:
            raise BuildError(f"ONNX Runtime GenAI cannot run the model: {to_one_line(error)}") from error
        return generator

    def fetch(self, output: npt.NDArray[np.float32] | Ids) -> npt.NDArray[np.float32]:
        """(rows, tokens, vocabulary) scores, or (rows, new tokens) ids."""
        return np.asarray(output, dtype=np.float32)

    def write(
        self, prompts: Sequence[Sequence[int]], sampling: SamplingParams, *, min_new_tokens: int = 0
    ) -> list[list[int]]:
        """The ids of the greedy answers, with the end token. Raises MeasureError if it has to draw."""
        return self._greedy.write(
            prompts,
            sampling,
            lambda ids: self._generate_tokens(ids, sampling.max_new_tokens, min_new_tokens),
            max_rows=MAX_ROWS,
        )

    def _generate_tokens(self, ids: npt.NDArray[np.int64], count: int, min_new_tokens: int) -> Iterator[Ids]:
        """Yields the (rows,) next tokens. ids: (rows, tokens). count: the largest number of new tokens."""
        generator = self._start_generator(ids.astype(np.int32), count, min_new_tokens=min_new_tokens)
        while True:
            generator.generate_next_token()
            yield generator.get_next_tokens()

    def close(self) -> None:
        """Drops the model."""
        self._model = None


def _make_overlay(threads: int) -> dict[str, Any]:
    """Settings that override a folder's genai_config.json: no busy waiting between calls, and no padding."""
    session = {
        "intra_op_num_threads": threads,
        "inter_op_num_threads": 1,
        "session.force_spinning_stop": "1",
    }
    return {"model": {"decoder": {"session_options": session}, "pad_token_id": NO_TOKEN}}


class OnnxRuntimeGenai(Runtime[Params]):
    kinds = frozenset({KIND})
    default_for = kinds
    packages = ("onnxruntime-genai", "onnxruntime")
    times_writing = True
    form = Form(
        name=KIND,
        package="onnxruntime-genai",
        imports="import onnxruntime_genai\nfrom transformers import AutoTokenizer\n",
        load='model = onnxruntime_genai.Model(".")',
        predict="def answer(text):\n"
        '    ids = tokenizer(text)["input_ids"]\n'
        "    how = onnxruntime_genai.GeneratorParams(model)\n"
        "    how.set_search_options(do_sample=False, max_length=len(ids) + 64)\n"
        "    generator = onnxruntime_genai.Generator(model, how)\n"
        "    generator.append_tokens(ids)\n"
        "    while not generator.is_done():\n"
        "        generator.generate_next_token()\n"
        "    return tokenizer.decode(generator.get_sequence(0)[len(ids):], skip_special_tokens=True)",
        tail='answers = [answer(text) for text in texts]\nprint(*answers, sep="\\n")',
    )

    def copy(self, artifact: Path, folder: Path) -> None:
        """The library's files, which `onnxruntime_genai.Model` opens."""
        copy_files(artifact, folder)

    def load(self, folder: Path, params: Params, *, device: str, threads: int) -> GenaiPredictor:
        """The model of an artifact or of an exported folder, on `threads` threads."""
        return GenaiPredictor(folder, load_companions(folder)["tokenizer"], device=device, threads=threads)

    def load_model(self, folder: Path, device: str) -> OnnxGenaiModel:
        """The OnnxGenaiModel of a folder."""
        return load_onnx_genai_model(folder)

    def open_model(self, model: OnnxGenaiModel, context: BuildContext) -> GenaiPredictor:
        """An OnnxGenaiModel that a step has made."""
        return GenaiPredictor(model.written, model.tokenizer, device=context.device, threads=context.threads)


runtime = OnnxRuntimeGenai()

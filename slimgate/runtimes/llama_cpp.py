"""llama.cpp: runs GGUF files with their blocks unchanged, on the CPU.

    runtime = { name = "llama_cpp", kv_cache = "q8_0" }

It runs the files that to_gguf writes, and any other GGUF file, including architectures that transformers does
not read from GGUF: for those it is the default. Without it transformers unpacks a GGUF file, and slimgate
judges it by its answers and does not time it. It gives the scores of every token, greedy answers, and the
vectors of sentence encoders. llama.cpp must read each gate row as the same tokens as the tokenizer. Prompts
of one length are answered together, so that nothing is padded. Memory counts the pages of the file that were
read: they still belong to the file (`mmap`), and the system may drop them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from slimgate.errors import BuildError, MeasureError
from slimgate.models.gguf_file import list_gguf_files
from slimgate.models.llama_cpp_context import ContextOptions, LlamaContext, LlamaText
from slimgate.models.llama_cpp_library import DISTRIBUTION, LlamaModel
from slimgate.models.quantized_files import CHECKPOINT, SERVED
from slimgate.models.saved_files import SPECULATIVE_GGUF, load_tokenizer
from slimgate.models.write_by_length import Greedy, Ids, PromptIds, check_length, read_prompts
from slimgate.plugins.base import Arrays
from slimgate.plugins.context import BuildContext
from slimgate.plugins.params import Table
from slimgate.plugins.runtime import Runtime

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from slimgate.models.gguf_model import DraftFile, GgufModel
    from slimgate.models.speculative import SpeculativeAnswer
    from slimgate.models.write_answers import SamplingParams
    from slimgate.plugins.base import Json

GGUF = "gguf"
USER = "runtime llama_cpp"
# The most texts of one call: llama.cpp keeps a separate sequence for each.
MAX_ROWS = 64
Scores = npt.NDArray[np.float32]


class Params(Table):
    mmap: bool = True
    """Map the weights from the file, whose pages are read when they are first used; false reads them into
    memory of the process. Weights that llama.cpp repacks for the processor are in both."""
    batch: int = Field(default=2048, ge=1)
    """Largest number of tokens of a call."""
    micro_batch: int = Field(default=512, ge=1)
    """Largest number of tokens that go through the network at once."""
    context: int | None = Field(default=None, ge=1)
    """Tokens of a text and its answer for which the key-value cache has room, as on a server; longer ones are
    refused. Default: room for each call's, up to the length that the model was trained on."""
    kv_cache: Literal["f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl"] = "f16"
    """Format of the keys and values of earlier tokens. Below 16 bits it needs flash attention."""
    flash_attention: Literal["auto", "on", "off"] = "auto"
    """Compute attention in one operator; "auto": if llama.cpp can."""


@dataclass(frozen=True)
class _Texts:
    """Texts of a sentence encoder, without padding."""

    ids: list[Ids]


@dataclass(frozen=True)
class _StartedAnswers:
    """Answers after their first token.

    token: (rows,) ids; position: of the next token; remaining: how many tokens follow.
    """

    token: Ids
    position: int
    remaining: int


class _Room:
    """A context of a model, which is made again if it is too small.

    cells: tokens of a text for which it has room; None: as many as a call needs. embeddings: it gives vectors
    instead of scores.
    """

    def __init__(
        self, model: LlamaModel, options: ContextOptions, cells: int | None, *, embeddings: bool = False
    ) -> None:
        self._model, self._options, self._cells = model, options, cells
        self._embeddings = embeddings
        self._context: LlamaContext | None = None

    @property
    def context(self) -> LlamaContext:
        """The context that `make` has made."""
        assert self._context is not None
        return self._context

    def make(self, rows: int, tokens: int) -> LlamaContext:
        """A context for `rows` rows, with room for `tokens` tokens each."""
        cells, context = self._cells or tokens, self._context
        if context is None or context.rows < rows or context.tokens < cells:
            self.close()
            context = self._context = LlamaContext(
                self._model, self._options, rows=rows, tokens=cells, embeddings=self._embeddings
            )
        return context

    def close(self) -> None:
        """Frees the context."""
        if self._context is not None:
            self._context.close()
        self._context = None


@dataclass(frozen=True)
class _Draft:
    """The model that proposes tokens, and how many it proposes for each pass."""

    model: LlamaModel
    room: _Room
    tokens: int


class LlamaPredictor:
    """Wraps a model as a Predictor.

    load_tokenizer(): called when an answer must end; loading it imports torch, which scores do not need.
    config: the folder's config.json. draft: the file of the model that proposes tokens.
    """

    def __init__(
        self,
        file: Path,
        load_tokenizer: Callable[[], PreTrainedTokenizerBase],
        config: Json,
        params: Params,
        *,
        threads: int,
        draft: DraftFile | None = None,
    ) -> None:
        """Raises BuildError for a file that llama.cpp cannot load, MissingExtra without the package."""
        self._model = LlamaModel(file, user=USER, mmap=params.mmap)
        self._params = params
        options = ContextOptions(
            batch=params.batch,
            micro_batch=params.micro_batch,
            kv_cache=params.kv_cache,
            flash_attention=params.flash_attention,
            threads=threads,
        )
        self._config = config
        self._sentence: Json | None = config.get("sentence")
        self._longest = params.context or self._model.longest
        self._load_tokenizer = load_tokenizer
        self._room = _Room(self._model, options, params.context, embeddings=self._sentence is not None)
        self.draft: _Draft | None = None
        if draft is not None:
            draft_model = LlamaModel(draft.file, user=USER, mmap=params.mmap)
            _check_sizes(self._model, draft_model)
            self.draft = _Draft(draft_model, _Room(draft_model, options, params.context), draft.tokens)

    @cached_property
    def _tokenizer(self) -> PreTrainedTokenizerBase:
        return self._load_tokenizer()

    @cached_property
    def end_tokens(self) -> frozenset[int]:
        """The tokens that end an answer, for llama.cpp, the tokenizer or config.json."""
        from slimgate.models.special_tokens import list_end_tokens, list_ends

        configured = list_ends(self._config.get("eos_token_id"))
        return self._model.list_end_tokens() | list_end_tokens(self._tokenizer) | frozenset(configured)

    def prepare(self, batch: Arrays) -> object:
        """The ids of a batch, and a context with room for them."""
        if self._sentence is not None:
            masks = batch["attention_mask"].astype(bool)
            texts = [ids[mask] for ids, mask in zip(batch["input_ids"], masks, strict=True)]
            longest = max(map(len, texts))
            check_length(longest, 0, self._longest)
            self._room.make(MAX_ROWS, longest)
            return _Texts(texts)
        prompts = read_prompts(batch, self._longest)
        rows, tokens = prompts.ids.shape
        self._room.make(min(rows, MAX_ROWS), tokens + prompts.count)
        return prompts

    def forward(self, prepared: _Texts | PromptIds) -> object:
        """The scores of whole texts, the vectors of sentences, or an answer."""
        if isinstance(prepared, _Texts):
            return self._embed(prepared.ids)
        if prepared.count:
            return self.decode(self.prefill(prepared))
        parts = (prepared.ids[start : start + MAX_ROWS] for start in range(0, len(prepared.ids), MAX_ROWS))
        return np.concatenate([self._score(ids) for ids in parts])

    def _score(self, ids: Ids) -> Scores:
        """(rows, tokens, vocabulary) scores."""
        context = self._room.make(*ids.shape)
        context.clear()
        scores = context.read(ids, position=0, outputs=np.ones(ids.shape, dtype=np.bool_))
        return scores.reshape(*ids.shape, -1)

    def _embed(self, texts: list[Ids]) -> Scores:
        """(rows, dims), or (rows, 2, dims) for rows of two texts, whose first texts come first."""
        assert self._sentence is not None
        context = self._room.make(MAX_ROWS, max(map(len, texts)))
        vectors = np.concatenate([context.embed(part) for part in self._cut(texts)])
        if self._sentence["normalize"]:
            norms = np.linalg.norm(vectors, axis=1, keepdims=True)
            vectors = vectors / np.maximum(norms, np.finfo(np.float32).tiny)
        if (texts_of_row := self._sentence["texts"]) > 1:
            vectors = vectors.reshape(texts_of_row, -1, vectors.shape[-1]).swapaxes(0, 1)
        return vectors

    def _cut(self, texts: list[Ids]) -> Iterator[list[Ids]]:
        """Texts for one call: at most MAX_ROWS, with at most `batch` tokens together, or a single text."""
        part: list[Ids] = []
        for text in texts:
            if part and (len(part) == MAX_ROWS or sum(map(len, part)) + len(text) > self._params.batch):
                yield part
                part = []
            part.append(text)
        yield part

    def prefill(self, prepared: PromptIds) -> _StartedAnswers | list[SpeculativeAnswer]:
        """The answer after its first token; with a draft, one for each row.

        Raises MeasureError for more rows than a call takes.
        """
        rows, tokens = prepared.ids.shape
        if rows > MAX_ROWS:
            raise MeasureError(
                f"runtime llama_cpp writes at most {MAX_ROWS} answers at once, but {rows} were given; use "
                f"a workload with batch = {MAX_ROWS} or less"
            )
        if self.draft is not None:
            self._make_rooms(rows, tokens + prepared.count)
            answers = [
                self._begin_in_row(row, ids, prepared.count) for row, ids in enumerate(prepared.ids.tolist())
            ]
            for answer in answers:
                answer.begin()
            return answers
        scores = self._begin(prepared.ids, prepared.count)
        return _StartedAnswers(scores.argmax(-1), tokens, prepared.count - 1)

    def begin_with_draft(
        self, prompt: Sequence[int], count: int, ends: Collection[int] = ()
    ) -> SpeculativeAnswer:
        """An answer of `count` tokens, of which none is written. ends: tokens that end an answer.

        It replaces the answer before. Raises MeasureError if the answer may get longer than the longest text.
        """
        check_length(len(prompt), count, self._longest)
        self._make_rooms(1, len(prompt) + count)
        return self._begin_in_row(0, prompt, count, ends)

    def _make_rooms(self, rows: int, tokens: int) -> None:
        """Room for the texts of the model and of the draft."""
        assert self.draft is not None
        self._room.make(rows, tokens)
        self.draft.room.make(rows, tokens)

    def _begin_in_row(
        self, row: int, prompt: Sequence[int], count: int, ends: Collection[int] = ()
    ) -> SpeculativeAnswer:
        from slimgate.models.speculative import SpeculativeAnswer

        assert self.draft is not None
        main, draft = (LlamaText(room.context, row) for room in (self._room, self.draft.room))
        return SpeculativeAnswer(main, draft, self.draft.tokens, prompt, count, ends)

    def _begin(self, ids: Ids, new_tokens: int) -> Scores:
        """(rows, vocabulary) scores after the texts, which the cache then holds."""
        context = self._room.make(len(ids), ids.shape[1] + new_tokens)
        context.clear()
        last = np.zeros(ids.shape, dtype=np.bool_)
        last[:, -1] = True
        return context.read(ids, position=0, outputs=last)

    def _score_next(self, tokens: Ids, position: int) -> Scores:
        """(rows, vocabulary) scores after one more token of each row. tokens: (rows,)."""
        outputs = np.ones((len(tokens), 1), dtype=np.bool_)
        return self._room.context.read(tokens[:, None], position=position, outputs=outputs)

    def decode(self, state: _StartedAnswers | list[SpeculativeAnswer]) -> Ids:
        """(rows, new tokens) ids, possibly with end tokens, which do not end an answer here."""
        if isinstance(state, list):
            for answer in state:
                while answer.remaining:
                    answer.extend()
            return np.asarray([answer.written for answer in state])
        written = [state.token]
        for step in range(state.remaining):
            written.append(self._score_next(written[-1], state.position + step).argmax(-1))
        return np.stack(written, axis=1)

    def cache_bytes(self, state: _StartedAnswers | list[SpeculativeAnswer]) -> int:
        """Bytes of the keys and values, including a draft's, as llama.cpp writes them to a session file."""
        rooms = [self._room, *([self.draft.room] if self.draft else [])]
        return sum(room.context.cache_bytes() for room in rooms)

    def fetch(self, output: Scores | Ids) -> Scores:
        """(rows, tokens, vocabulary) scores, (rows, dims) vectors, or (rows, new tokens) ids."""
        return np.asarray(output, dtype=np.float32)

    def write(
        self, prompts: Sequence[Sequence[int]], sampling: SamplingParams, *, min_new_tokens: int = 0
    ) -> list[list[int]]:
        """The ids of the greedy answers, with the end token. Raises MeasureError if it has to draw."""
        greedy = Greedy("llama_cpp", self._tokenizer, self._longest, self.end_tokens)
        return greedy.write(
            prompts,
            sampling,
            lambda ids: self._generate_tokens(ids, sampling.max_new_tokens, min_new_tokens),
            max_rows=MAX_ROWS,
        )

    def _generate_tokens(self, ids: Ids, new_tokens: int, min_new_tokens: int) -> Iterator[Ids]:
        """(rows,) next tokens, one after another. ids: (rows, tokens)."""
        ends, scores = sorted(self.end_tokens), self._begin(ids, new_tokens)
        for step in count():
            if step < min_new_tokens:
                scores[:, ends] = -np.inf
            tokens = scores.argmax(-1)
            yield tokens
            scores = self._score_next(tokens, ids.shape[1] + step)

    def close(self) -> None:
        """Frees the contexts and the weights."""
        self._room.close()
        self._model.close()
        if self.draft is not None:
            self.draft.room.close()
            self.draft.model.close()


def _check_sizes(model: LlamaModel, draft: LlamaModel) -> None:
    if model.vocabulary_size != draft.vocabulary_size:
        raise BuildError(
            f"the draft scores {draft.vocabulary_size:,} tokens and the model {model.vocabulary_size:,}, "
            "expected the same number"
        )


class LlamaCpp(Runtime[Params]):
    kinds = frozenset({GGUF, SPECULATIVE_GGUF, SERVED, CHECKPOINT})
    formats = frozenset({GGUF})
    default_for = frozenset({GGUF, SPECULATIVE_GGUF})
    packages = (DISTRIBUTION, "gguf")
    times_writing = True

    def load(self, folder: Path, params: Params, *, device: str, threads: int) -> LlamaPredictor:
        """The file of an artifact's folder, on `threads` threads. Raises BuildError off the CPU."""
        from slimgate.models.gguf_model import find_draft_file

        _check_device(device)
        config = json.loads((folder / "config.json").read_text("utf-8"))
        return LlamaPredictor(
            _find_gguf_file(folder),
            lambda: load_tokenizer(folder),
            config,
            params,
            threads=threads,
            draft=find_draft_file(folder),
        )

    def check_rows(self, folder: Path, texts: Sequence[str]) -> None:
        """Raises MeasureError if llama.cpp reads a row as other tokens than the folder's tokenizer."""
        from slimgate.models.gguf_model import check_tokens

        model = LlamaModel(_find_gguf_file(folder), user=USER, vocabulary_alone=True)
        try:
            check_tokens(model, load_tokenizer(folder), texts)
        finally:
            model.close()

    def load_model(self, folder: Path, device: str) -> Any:
        """The GgufModel of a file, or of a folder with one."""
        from tempfile import TemporaryDirectory

        from slimgate.models.gguf_model import open_gguf_model

        with TemporaryDirectory(prefix="slimgate-gguf-") as scratch:
            return open_gguf_model(folder if folder.is_file() else _find_gguf_file(folder), Path(scratch))

    def open_model(self, model: GgufModel, context: BuildContext) -> LlamaPredictor:
        """A GgufModel, ready to predict."""
        from slimgate.models.gguf_model import DraftFile, SpeculativeGguf

        _check_device(context.device)
        draft = (
            DraftFile(model.draft.file, model.draft_tokens) if isinstance(model, SpeculativeGguf) else None
        )
        return LlamaPredictor(
            model.file,
            lambda: model.tokenizer,
            vars(model.config),
            Params(),
            threads=context.threads,
            draft=draft,
        )


def _check_device(device: str) -> None:
    if device != "cpu":
        raise BuildError(f"runtime llama_cpp computes on the CPU, and {device} was given as device")


def _find_gguf_file(folder: Path) -> Path:
    files = list_gguf_files(folder)
    if len(files) != 1:
        raise BuildError(f"{folder} contains {len(files)} GGUF files, expected one")
    return files[0]


runtime = LlamaCpp()

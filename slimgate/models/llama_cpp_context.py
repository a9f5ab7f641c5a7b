"""A context of llama.cpp: it reads rows of tokens, and returns scores of positions or a vector for each row.

Every row is a separate sequence with separate cells in the key-value cache, so that no row sees another.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from slimgate.errors import BuildError
from slimgate.models.llama_cpp_library import LlamaModel, describe_log

Ids = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float32]
# llama.cpp allocates the cells of a row's cache in steps of this many.
CELLS = 256
FLASH_ATTENTION = {"auto": -1, "off": 0, "on": 1}


@dataclass(frozen=True)
class ContextOptions:
    """A user's options of a context. batch: tokens of a call; micro_batch: tokens of a graph pass.

    kv_cache: type of the keys and values, such as q8_0; threads: for prompts and for single tokens.
    """

    batch: int
    micro_batch: int
    kv_cache: str
    flash_attention: str
    threads: int


class LlamaContext:
    """Room for `rows` sequences of `tokens` tokens each. embeddings: it gives vectors instead of scores."""

    def __init__(
        self, model: LlamaModel, options: ContextOptions, *, rows: int, tokens: int, embeddings: bool = False
    ) -> None:
        """Raises BuildError if llama.cpp makes no such context."""
        self._library, self._model = model.library, model
        self.rows, self.tokens = rows, -(-tokens // CELLS) * CELLS
        self.options = self._make_options(options, embeddings=embeddings)
        self._handle: Any = self._library.llama_init_from_model(model.handle, self.options)
        if not self._handle:
            raise BuildError(
                f"llama.cpp cannot make a context of {rows} texts of {tokens} tokens: {describe_log()}"
            )
        self._memory = self._library.llama_get_memory(self._handle)

    def _make_options(self, options: ContextOptions, *, embeddings: bool) -> Any:
        library, params = self._library, self._library.llama_context_default_params()
        params.n_ctx = self.rows * self.tokens
        params.n_seq_max = self.rows
        # A model with attention in both directions takes whole texts, in one pass.
        params.n_batch = max(options.batch, self.tokens) if embeddings else options.batch
        params.n_ubatch = params.n_batch if embeddings else min(options.micro_batch, options.batch)
        params.n_threads = params.n_threads_batch = options.threads
        params.flash_attn_type = FLASH_ATTENTION[options.flash_attention]
        params.type_k = params.type_v = getattr(library, f"GGML_TYPE_{options.kv_cache.upper()}")
        params.embeddings = embeddings
        params.no_perf = True
        params.offload_kqv = params.op_offload = False
        return params

    def clear(self) -> None:
        """Removes the tokens of all rows."""
        if self._memory:
            self._library.llama_memory_clear(self._memory, False)

    def read(self, ids: Ids, *, position: int, outputs: npt.NDArray[np.bool_]) -> Scores:
        """Reads further tokens of every row, in order. Returns (wanted positions, vocabulary) scores.

        ids, outputs: (rows, tokens); position: the position of the first token in its row.
        """
        rows, tokens = ids.shape
        sequences = np.repeat(np.arange(rows, dtype=np.int32), tokens)
        positions = np.tile(np.arange(position, position + tokens, dtype=np.int32), rows)
        return self._read(ids.reshape(-1).astype(np.int32), positions, sequences, outputs.reshape(-1))

    def read_row(self, row: int, ids: Sequence[int], *, position: int, count: int) -> Scores:
        """Reads further tokens of one row. Returns (count, vocabulary) scores, of its last `count` tokens."""
        positions = np.arange(position, position + len(ids), dtype=np.int32)
        outputs = np.arange(len(ids)) >= len(ids) - count
        sequences = np.full(len(ids), row, dtype=np.int32)
        return self._read(np.asarray(ids, dtype=np.int32), positions, sequences, outputs)

    def keep_first(self, row: int, tokens: int) -> None:
        """Removes the tokens of a row after its first `tokens`. Raises BuildError for a recurrent model."""
        if not self._library.llama_memory_seq_rm(self._memory, row, tokens, -1):
            raise BuildError("llama.cpp cannot remove tokens from the memory of a recurrent model")

    def _read(
        self,
        flat: npt.NDArray[np.int32],
        positions: npt.NDArray[np.int32],
        sequences: npt.NDArray[np.int32],
        outputs: npt.NDArray[np.bool_],
    ) -> Scores:
        """(wanted positions, vocabulary) scores. All arrays: (tokens,)."""
        scores = np.empty((int(outputs.sum()), self._model.vocabulary_size), dtype=np.float32)
        done, step = 0, int(self.options.n_batch)
        for start in range(0, len(flat), step):
            part = slice(start, start + step)
            self._decode(flat[part], positions[part], sequences[part], outputs[part])
            if count := int(outputs[part].sum()):
                scores[done : done + count] = self._read_scores(count)
            done += count
        return scores

    def embed(self, texts: Sequence[Ids]) -> Scores:
        """(texts, dims): a vector for each text, pooled as the model's file says.

        It takes at most `rows` texts, with at most `batch` tokens in total.
        """
        self.clear()
        flat = np.concatenate(texts).astype(np.int32)
        lengths = [len(text) for text in texts]
        sequences = np.repeat(np.arange(len(texts), dtype=np.int32), lengths)
        positions = np.concatenate([np.arange(length, dtype=np.int32) for length in lengths])
        self._decode(flat, positions, sequences, np.ones(len(flat), dtype=np.bool_))
        width = int(self._library.llama_model_n_embd_out(self._model.handle))
        vectors = [self._library.llama_get_embeddings_seq(self._handle, text) for text in range(len(texts))]
        return np.stack([np.ctypeslib.as_array(vector, (width,)).copy() for vector in vectors])

    def _decode(
        self,
        ids: npt.NDArray[np.int32],
        positions: npt.NDArray[np.int32],
        sequences: npt.NDArray[np.int32],
        outputs: npt.NDArray[np.bool_],
    ) -> None:
        """Makes one call. All arrays: (tokens,). llama.cpp's batch only points to them."""
        library, count = self._library, len(ids)
        ids, positions, sequences = map(np.ascontiguousarray, (ids, positions, sequences))
        single, flags = np.ones(count, dtype=np.int32), outputs.astype(np.int8)
        addresses = sequences.ctypes.data + sequences.itemsize * np.arange(count, dtype=np.uint64)
        fields = dict(library.llama_batch._fields_)
        batch = library.llama_batch(
            count,
            ids.ctypes.data_as(fields["token"]),
            None,
            positions.ctypes.data_as(fields["pos"]),
            single.ctypes.data_as(fields["n_seq_id"]),
            addresses.ctypes.data_as(fields["seq_id"]),
            flags.ctypes.data_as(fields["logits"]),
        )
        code = library.llama_decode(self._handle, batch)
        if code:
            raise BuildError(f"llama.cpp cannot read {count} tokens (code {code}): {describe_log()}")

    def _read_scores(self, count: int) -> Scores:
        address = self._library.llama_get_logits(self._handle)
        pointer = ctypes.cast(address, ctypes.POINTER(ctypes.c_float))
        return np.ctypeslib.as_array(pointer, (count, self._model.vocabulary_size))

    def cache_bytes(self) -> int:
        """Bytes that the keys and values of all rows take, as llama.cpp writes them to a session file."""
        return sum(self._library.llama_state_seq_get_size(self._handle, row) for row in range(self.rows))

    def close(self) -> None:
        """Frees its memory."""
        if self._handle:
            self._library.llama_free(self._handle)
        self._handle = None


class LlamaText:
    """A CachedText (slimgate/models/speculative.py) in one row of a context, which is empty at first."""

    def __init__(self, context: LlamaContext, row: int) -> None:
        self._context, self._row = context, row
        self.length = 0
        context.keep_first(row, 0)

    def predict(self, ids: Sequence[int], count: int) -> list[int]:
        """See CachedText."""
        scores = self._context.read_row(self._row, ids, position=self.length, count=count)
        self.length += len(ids)
        tokens: list[int] = scores.argmax(-1).tolist()
        return tokens

    def remove_last(self, count: int) -> None:
        """See CachedText. Raises BuildError for a recurrent model."""
        if count:
            self.length -= count
            self._context.keep_first(self._row, self.length)

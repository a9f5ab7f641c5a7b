"""Calls llama.cpp through the C interface of the package llama-cpp-python: models, vocabularies, its log.

    model = LlamaModel(file, user="runtime llama_cpp")
    model.tokenize("a text")
    model.close()

If llama.cpp cannot load a file, a BuildError has the line of its log that says why. llama.cpp ends the
process if one of its own checks fails, so slimgate opens files of unknown origin in a worker first
(gguf_model.py).
"""

from __future__ import annotations

import ctypes
from collections import deque
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from slimgate._system.requirements import import_extra
from slimgate.errors import BuildError, to_one_line

PACKAGE, EXTRA = "llama_cpp", "llama-cpp"
DISTRIBUTION = "llama-cpp-python"
# The latest warnings and errors of llama.cpp's log.
_LOG: deque[str] = deque(maxlen=40)
_WARNING, _ERROR = 3, 4


def load_library(user: str) -> Any:
    """Imports the package and collects its log instead of printing it. user: what needs it, for messages.

    Raises MissingExtra without the package, BuildError if it cannot be loaded.
    """
    try:
        library = import_extra(PACKAGE, EXTRA, user)
    except (OSError, RuntimeError) as error:  # a shared library is missing, or is for another processor
        problem = to_one_line(error)
        raise BuildError(f"{user}: {DISTRIBUTION} cannot be loaded: {problem}") from error
    _keep_log(library)
    return library


@cache
def _keep_log(library: ModuleType) -> Any:
    """Sets the callback for the log. The cache keeps it alive, because the library calls it later."""

    @library.llama_log_callback  # type: ignore[untyped-decorator]
    def keep(level: int, text: bytes, _user: object) -> None:
        if level in (_WARNING, _ERROR):
            _LOG.append(text.decode("utf-8", errors="replace").strip())

    library.llama_log_set(keep, ctypes.c_void_p(0))
    library.llama_backend_init()
    return keep


def describe_log() -> str:
    """The line of llama.cpp's log that most likely says why it failed, without the name of its function."""
    lines = [line for line in _LOG if line and "failed to load model" not in line] or list(_LOG)
    last_line = lines[-1] if lines else "it does not say why"
    reason = next((line for line in reversed(lines) if "error" in line or "missing" in line), last_line)
    return " ".join(reason.split()).removeprefix("llama_model_load: ")[:200]


class LlamaModel:
    """A model of a GGUF file, on the CPU.

    mmap: whether to map the weights from the file instead of reading them. vocabulary_alone: whether to load
    no weights. check: whether to read every weight, and refuse NaN and infinite scales.
    """

    def __init__(
        self,
        file: Path,
        *,
        user: str,
        mmap: bool = True,
        vocabulary_alone: bool = False,
        check: bool = False,
    ) -> None:
        """Raises BuildError for a file that llama.cpp cannot load, MissingExtra without the package."""
        self.library: Any = load_library(user)
        options = self.library.llama_model_default_params()
        options.n_gpu_layers = 0
        options.vocab_only = vocabulary_alone
        options.check_tensors = check
        options.load_mode = self.library.LLAMA_LOAD_MODE_MMAP if mmap else self.library.LLAMA_LOAD_MODE_NONE
        _LOG.clear()
        self.handle: Any = self.library.llama_model_load_from_file(str(file).encode(), options)
        if not self.handle:
            raise BuildError(f"llama.cpp cannot load {file.name}: {describe_log()}")
        self._vocabulary = self.library.llama_model_get_vocab(self.handle)
        self.vocabulary_size = int(self.library.llama_vocab_n_tokens(self._vocabulary))

    @property
    def longest(self) -> int:
        """The number of tokens that the model was trained to read at most."""
        return int(self.library.llama_model_n_ctx_train(self.handle))

    def tokenize(self, text: str) -> list[int]:
        """The ids of a text. Special tokens in the text are recognized; none are added."""
        raw = text.encode("utf-8")
        room = len(raw) + 8
        while True:
            ids = (self.library.llama_token * room)()
            count = self.library.llama_tokenize(self._vocabulary, raw, len(raw), ids, room, False, True)
            if count >= 0:
                return list(ids[:count])
            room = -count

    def list_end_tokens(self) -> frozenset[int]:
        """The tokens at which llama.cpp ends an answer."""
        is_end = self.library.llama_vocab_is_eog
        return frozenset(token for token in range(self.vocabulary_size) if is_end(self._vocabulary, token))

    def close(self) -> None:
        """Frees the weights."""
        if self.handle:
            self.library.llama_model_free(self.handle)
        self.handle = None

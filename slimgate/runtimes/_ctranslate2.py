"""Shared code of CTranslate2's predictors: opening a model, and timing its answers in two parts."""

from __future__ import annotations

import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from slimgate._system.requirements import import_extra
from slimgate.errors import BuildError
from slimgate.models.ctranslate2_model import KIND
from slimgate.plugins.base import Arrays

if TYPE_CHECKING:
    from slimgate.models.ctranslate2_model import CTranslate2Model


# Seconds between checks whether writing has failed before the first token.
_LOOK = 0.2


class PausedWriting:
    """Answers after their first token."""

    def __init__(self, start: Callable[[Callable[[Any], bool]], Sequence[Any]]) -> None:
        """start(on_token): starts the library, and returns its results, which have done() and result()."""
        self._gate = _Gate()
        self._results = start(self._gate.on_token)
        # Also at the end of the process: the library would wait for its thread, and the thread would wait
        # here.
        self._end = weakref.finalize(self, self._gate.stop, self._results)

    def wait(self) -> None:
        """Waits until the first tokens are chosen. Raises the library's error."""
        while not self._gate.begun.wait(_LOOK):
            if all(result.done() for result in self._results):
                self.finish()
                return

    def finish(self) -> list[Any]:
        """The results of all rows. Raises the library's error."""
        self._gate.goes_on.set()
        self._end.detach()
        return [result.result() for result in self._results]

    def stop(self) -> None:
        """Ends the answers at their last token; does nothing if they are finished."""
        self._end()


class _Gate:
    """Blocks the library's thread. It holds no answers, so that these can be freed while the thread waits."""

    def __init__(self) -> None:
        self.begun, self.goes_on, self._stopped = Event(), Event(), False

    def on_token(self, _step: object) -> bool:
        """Waits at the first row's first token, because all rows' are chosen by then. True ends the row."""
        if not self.begun.is_set():
            self.begun.set()
            self.goes_on.wait()
        return self._stopped

    def stop(self, results: Sequence[Any]) -> None:
        """Ends all rows, and waits until they have ended."""
        self._stopped = True
        self.goes_on.set()
        for result in results:
            result.result()


OnToken = Callable[[Any], bool]
USER = "runtime ctranslate2"


@dataclass(frozen=True)
class TokenizedPrompts:
    """The tokens of each text, and how many tokens to write after each."""

    tokens: list[list[str]]
    new_tokens: int


@dataclass(frozen=True)
class _StartedAnswers:
    """Answers after their first token. cached_tokens: of all rows, when the answers are complete."""

    writing: PausedWriting
    cached_tokens: int


class CTranslate2Predictor(ABC):
    """Wraps a model of the library as a Predictor. opener: the name of the library's class that opens it."""

    opener: ClassVar[str]

    def __init__(self, model: CTranslate2Model, *, device: str, threads: int) -> None:
        """Raises BuildError if the device does not exist, MissingExtra without the package."""
        kind, _, number = device.partition(":")
        self._package: Any = import_extra(KIND, KIND, USER)
        try:
            self._engine: Any = getattr(self._package, self.opener)(
                str(model.written),
                device=kind,
                device_index=int(number or 0),
                inter_threads=1,
                intra_threads=threads,
            )
        except (RuntimeError, ValueError) as error:
            raise BuildError(f"CTranslate2 cannot load the model: {' '.join(str(error).split())}") from error
        self._answers, self._tokenizer = model.answers, model.tokenizer
        self._paused: PausedWriting | None = None

    @abstractmethod
    def prepare(self, batch: Arrays) -> object:
        """The input of `forward` or `prefill`."""

    def forward(self, prepared: TokenizedPrompts) -> object:
        """The ids of each row's new tokens, as many as the batch asks for."""
        self._stop()
        return self._to_ids(self._write(prepared))

    def prefill(self, prepared: TokenizedPrompts) -> _StartedAnswers:
        """The answer after its first token, after which the library's thread waits."""
        self._stop()
        self._paused = PausedWriting(lambda on_token: self._write(prepared, on_token))
        self._paused.wait()
        return _StartedAnswers(self._paused, self._count_cached(prepared))

    def decode(self, state: _StartedAnswers) -> list[list[int]]:
        """The ids of each row's new tokens."""
        return self._to_ids(state.writing.finish())

    def cache_bytes(self, state: _StartedAnswers) -> int:
        """Bytes of the keys and values of the complete answer, from their shapes.

        The library does not report these bytes.
        """
        number_bytes = 2 if "float16" in self._engine.compute_type else 4  # bfloat16 too
        return number_bytes * self._answers.cache_numbers * state.cached_tokens

    def fetch(self, output: Sequence[Sequence[int]]) -> npt.NDArray[np.float32]:
        """(rows, tokens) ids, -1 after the last one."""
        ids = np.full((len(output), max(map(len, output))), -1, dtype=np.float32)
        for line, row_ids in zip(ids, output, strict=True):
            line[: len(row_ids)] = row_ids
        return ids

    def close(self) -> None:
        """Drops the model."""
        self._stop()
        self._engine = None

    def _stop(self) -> None:
        """Ends an answer that was begun and not decoded, because the library would wait for it."""
        if self._paused is not None:
            self._paused.stop()
        self._paused = None

    @abstractmethod
    def _write(self, prompts: TokenizedPrompts, on_token: OnToken | None = None) -> Any:
        """The library's result for each prompt.

        on_token: called after each token, returns True to end the row. With it, the results are still being
        written.
        """

    @abstractmethod
    def _to_ids(self, results: Sequence[Any]) -> list[list[int]]:
        """The new tokens of each row."""

    @abstractmethod
    def _count_cached(self, prompts: TokenizedPrompts) -> int:
        """Tokens of all rows in the cache after the answer."""
